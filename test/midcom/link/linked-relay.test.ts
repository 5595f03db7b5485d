/** The two ends of a stream on a real HTTP/2 connection: back-pressure, and ends that must not be mistaken. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect as http2Connect, createServer as http2Server, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { controlFrame, FrameType, frameHeader, positionPayload } from '../../../src/midcom/link/codec.js';
import type { FrameStream } from '../../../src/midcom/link/frame-stream.js';
import { LinkedRelay } from '../../../src/midcom/link/linked-relay.js';
import { framesOn, STREAM_WINDOW, sessionOptions } from '../../../src/midcom/link/service.js';
import { dial, listen, readAll, until } from '../../shell/support.js';

const BUFFER = 16 * 1024;
/** One read of a socket. */
const READ = 64 * 1024;
const MB = 1024 * 1024;

/** A TCP connection whose two ends are both here. */
async function socketPair(t: Test): Promise<[near: Socket, far: Socket]> {
  const accepted: Socket[] = [];
  const [server, at] = await listen((socket) => accepted.push(socket.pause()));
  const far = await dial(at);
  await until(() => accepted.length === 1, 'accepted');
  server.close();
  const near = accepted[0] as Socket;
  t.teardown(() => [near, far].forEach((socket) => void socket.destroy()));
  return [near, far];
}

interface Rigged {
  /** Opens a stream, with a relay at each of its ends; gives the outer ends of their sockets. */
  open(): Promise<{ a: LinkedRelay; b: LinkedRelay; atA: Socket; atB: Socket }>;
}

async function rig(t: Test): Promise<Rigged> {
  const streams: ServerHttp2Stream[] = [];
  const server = http2Server(sessionOptions(10));
  server.on('stream', (stream) => {
    stream.on('error', () => {});
    stream.respond({ ':status': 200 });
    streams.push(stream);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const session = http2Connect(
    `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sessionOptions(10),
  );
  t.teardown(() => {
    session.destroy();
    server.close();
  });
  const relayOn = (near: Socket, frames: FrameStream): LinkedRelay =>
    new LinkedRelay(near, frames, { bufferBytes: BUFFER, onControl: () => {}, onFarLeft: () => {} });
  return {
    async open() {
      const before = streams.length;
      const stream = session.request({ ':method': 'POST' }, { endStream: false });
      await once(stream, 'response');
      await until(() => streams.length > before, 'the stream came');
      const [[nearA, atA], [nearB, atB]] = [await socketPair(t), await socketPair(t)];
      const a = relayOn(nearA, framesOn(stream));
      const b = relayOn(nearB, framesOn(streams[before] as ServerHttp2Stream));
      for (const one of [a, b]) one.start(Buffer.alloc(0));
      return { a, b, atA, atB };
    },
  };
}

t.test('a reader that does not read stops its writer, and nobody else', async (t) => {
  const link = await rig(t);
  const slow = await link.open();
  const quick = await link.open();
  const sent = createHash('sha256');
  const total = 48 * MB;
  const chunk = Buffer.alloc(MB);
  for (let at = 0; at < total; at += MB) {
    chunk.fill(at / MB);
    sent.update(chunk);
    slow.atA.write(Buffer.from(chunk));
  }
  slow.atA.end();
  // Until it stands still: the kernel's buffers are full as well.
  let [before, still] = [-1, 0];
  while (still < 10) {
    still = slow.a.sent === before ? still + 1 : 0;
    before = slow.a.sent;
    await sleep(10);
  }
  t.ok(slow.a.sent < total, `${slow.a.sent} of ${total} bytes`);
  t.ok(slow.a.held <= BUFFER + 2 * READ + READ, `the sender holds ${slow.a.held}`);
  t.ok(slow.b.held <= BUFFER + STREAM_WINDOW + READ, `the receiver holds ${slow.b.held}`);
  quick.atA.end('quick');
  t.match(await readAll(quick.atB), { data: Buffer.from('quick'), how: 'end' });
  const { data, how } = await readAll(slow.atB);
  t.equal(how, 'end');
  t.equal(data.length, total);
  t.equal(createHash('sha256').update(data).digest('hex'), sent.digest('hex'));
});

t.test('an end in order, first the one and then the other', async (t) => {
  const { a, b, atA, atB } = await (await rig(t)).open();
  atA.end('one');
  t.match(await readAll(atB), { data: Buffer.from('one'), how: 'end' });
  atB.end('two');
  t.match(await readAll(atA), { data: Buffer.from('two'), how: 'end' });
  t.same(await Promise.all([a.closed, b.closed]), [{ moved: false }, { moved: false }]);
});

t.test('frames that can not be reset the connection, with nothing of them passed on', async (t) => {
  const wrong: Record<string, Buffer> = {
    'a position that is not what came': controlFrame(FrameType.End, positionPayload(7)),
    'bytes behind the end': Buffer.concat([
      controlFrame(FrameType.End, positionPayload(0)),
      frameHeader(FrameType.Data, 4),
      Buffer.from('evil'),
    ]),
    'an unknown type': Buffer.from([99, 0, 0, 0, 0]),
    'two positions to leave at': Buffer.concat([
      controlFrame(FrameType.Switch, positionPayload(0)),
      controlFrame(FrameType.Switch, positionPayload(0)),
    ]),
  };
  for (const [what, bytes] of Object.entries(wrong)) {
    const server = http2Server();
    server.on('stream', (stream) => {
      stream.on('error', () => {});
      stream.respond({ ':status': 200 });
      stream.write(bytes);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const session = http2Connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const stream = session.request({ ':method': 'POST' }, { endStream: false });
    await once(stream, 'response');
    const [near, far] = await socketPair(t);
    const end = readAll(far);
    const relay = new LinkedRelay(near, framesOn(stream), {
      bufferBytes: BUFFER,
      onControl: () => {},
      onFarLeft: () => {},
    });
    relay.start(Buffer.alloc(0));
    t.equal((await end).data.length, 0, what);
    t.match(await relay.closed, { moved: false, cause: /^the other end of the link sent/ });
    t.ok(near.destroyed && !stream.readable, 'both are gone');
    session.destroy();
    server.close();
  }
});
