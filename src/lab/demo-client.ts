/**
 * The demo's client, a program that runs in E: all connections at once, each telling in one JSON line when it
 * has opened and in another what it sent and received.
 *
 * Argument: the tasks as JSON. Hashes of what the client sends are made here, of what the workload sends there.
 */
import { createHash, randomFillSync } from 'node:crypto';
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http';
import type { Socket } from 'node:net';
import { systemClock } from '../platform/clock.js';
import { asSutureError } from '../platform/errors.js';
import { formatEndpoint } from '../wire/endpoint.js';
import type { DemoTask } from './demo-plan.js';

/** One direction: SHA-256 as its sender and as its receiver made it. */
export interface StreamHashes {
  readonly sent: string;
  readonly received: string;
  readonly bytes: number;
}

export interface TaskResult {
  readonly name: string;
  /** The client's end of the connection. */
  readonly peer: string;
  /** Everything that its socket carried, HTTP included. */
  readonly written: number;
  readonly read: number;
  readonly up?: StreamHashes;
  readonly down?: StreamHashes;
  readonly error?: string;
}

type Outcome = Pick<TaskResult, 'up' | 'down'>;

const CHUNK = 65_536;
const BETWEEN_REQUESTS_MS = 100;

class Connection {
  socket: Socket | undefined;
  peer = '';
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });

  constructor(readonly task: DemoTask) {}

  ask(method: 'GET' | 'POST', path: string): ClientRequest {
    const { host, port } = this.task;
    const asked = request({ host, port, agent: this.#agent, method, path });
    asked.on('socket', (socket) => {
      if (this.socket === socket) return;
      this.socket = socket;
      socket.once('connect', () => {
        this.peer = formatEndpoint({ address: socket.localAddress ?? '', port: socket.localPort ?? 0 });
      });
    });
    return asked;
  }

  /** Ends it in order; resolves when both sides have. */
  async close(): Promise<void> {
    const { socket } = this;
    if (!socket || socket.closed) return;
    // The agent has let go of the idle socket, and nothing else would keep this process waiting for it.
    socket.ref();
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.end();
    await closed;
  }
}

async function answerTo(asked: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => asked.once('response', resolve).once('error', reject));
}

async function receive(answer: IncomingMessage): Promise<{ hash: string; bytes: number; text: string }> {
  const hash = createHash('sha256');
  let bytes = 0;
  let text = '';
  for await (const piece of answer as AsyncIterable<Buffer>) {
    hash.update(piece);
    bytes += piece.length;
    if (text.length < CHUNK) text += piece.toString('latin1');
  }
  return { hash: hash.digest('hex'), bytes, text };
}

/** Random bytes with back-pressure; resolves to their hash. */
async function send(asked: ClientRequest, bytes: number): Promise<string> {
  const hash = createHash('sha256');
  for (let left = bytes; left > 0; left -= CHUNK) {
    const chunk = randomFillSync(Buffer.allocUnsafe(Math.min(left, CHUNK)));
    hash.update(chunk);
    if (!asked.write(chunk)) await new Promise((resolve) => asked.once('drain', resolve));
  }
  asked.end();
  return hash.digest('hex');
}

async function get(connection: Connection, path: string): Promise<StreamHashes> {
  const asked = connection.ask('GET', path);
  const answering = answerTo(asked);
  asked.end();
  const answer = await answering;
  const { hash, bytes } = await receive(answer);
  return { sent: String(answer.trailers['x-sha256']), received: hash, bytes };
}

/** Many requests on one connection; the hash is one over the hashes of all answers. */
async function requests(connection: Connection): Promise<Outcome> {
  const { bytes, count } = connection.task;
  const sent = createHash('sha256');
  const received = createHash('sha256');
  for (let i = 0; i < count; i++) {
    const answer = await get(connection, `/download?bytes=${bytes}&seed=${i + 1}`);
    sent.update(answer.sent);
    received.update(answer.received);
    await systemClock.sleep(BETWEEN_REQUESTS_MS);
  }
  return { down: { sent: sent.digest('hex'), received: received.digest('hex'), bytes: bytes * count } };
}

async function upload(connection: Connection): Promise<Outcome> {
  const asked = connection.ask('POST', '/upload');
  const answering = answerTo(asked);
  const [sent, answer] = await Promise.all([send(asked, connection.task.bytes), answering]);
  const { sha256, bytes } = JSON.parse((await receive(answer)).text) as { sha256: string; bytes: number };
  return { up: { sent, received: sha256, bytes } };
}

async function both(connection: Connection): Promise<Outcome> {
  const asked = connection.ask('POST', `/both?bytes=${connection.task.bytes}&seed=1`);
  const receiving = answerTo(asked).then(async (answer) => ({ body: await receive(answer), answer }));
  const [sent, { body, answer }] = await Promise.all([send(asked, connection.task.bytes), receiving]);
  const trailer = (name: string): string => String(answer.trailers[name]);
  return {
    up: { sent, received: trailer('x-upload-sha256'), bytes: Number(trailer('x-upload-bytes')) },
    down: { sent: trailer('x-sha256'), received: body.hash, bytes: body.bytes },
  };
}

const TASKS: Readonly<Record<DemoTask['kind'], (connection: Connection) => Promise<Outcome>>> = {
  requests,
  download: async (one) => ({ down: await get(one, `/download?bytes=${one.task.bytes}&seed=1`) }),
  upload,
  both,
  stream: async (one) => ({ down: await get(one, `/stream?seconds=${one.task.count}&interval=100`) }),
};

async function perform(task: DemoTask): Promise<TaskResult> {
  const connection = new Connection(task);
  let outcome: Outcome & { error?: string };
  try {
    outcome = await TASKS[task.kind](connection);
    await connection.close();
  } catch (error) {
    outcome = { error: asSutureError(error).message };
  }
  const { socket, peer } = connection;
  return {
    name: task.name,
    peer,
    written: socket?.bytesWritten ?? 0,
    read: socket?.bytesRead ?? 0,
    ...outcome,
  };
}

/** Imported for its types by the demo, run as a program by node. */
if (process.argv[1]?.endsWith('demo-client.js')) {
  const tasks = JSON.parse(process.argv[2] ?? '[]') as DemoTask[];
  await Promise.all(
    tasks.map(async (task) => process.stdout.write(`${JSON.stringify(await perform(task))}\n`)),
  );
}
