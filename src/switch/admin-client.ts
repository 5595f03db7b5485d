/** The asking end of the admin socket: finds it, asks, and turns what can go wrong into errors with a mend. */
import { readdirSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { ERROR_CODES, SutureError } from '../platform/errors.js';
import type { AgentView, FlowDetail, FlowView, StatsView } from './admin-protocol.js';
import { socketOccupant } from './admin-socket.js';

export const ADMIN_DIRECTORY = '/run/suture';
const TIMEOUT_MS = 10_000;

/** The socket's path, from what was given with `--admin`, or the only one of a running switch here. */
export async function findAdminSocket(
  given: string | undefined,
  directory = ADMIN_DIRECTORY,
): Promise<string> {
  if (given !== undefined) {
    const path = given.startsWith('unix:') ? given.slice(5) : given;
    if (path.startsWith('/')) return path;
    throw new SutureError('SUT_USAGE', `--admin: found ${JSON.stringify(given)}, expected unix:/PATH`);
  }
  const paths = sockets(directory);
  if (paths.length === 1) return paths[0] ?? '';
  // What a killed switch left behind is no choice.
  const occupants = await Promise.all(
    paths.map((path) => socketOccupant(path).catch(() => 'alive' as const)),
  );
  const alive = paths.filter((_, i) => occupants[i] === 'alive');
  const [only, ...others] = alive;
  if (only === undefined) {
    const message = `no switch runs on this host: there is no live socket in ${directory}; start one, or give --admin unix:/PATH`;
    throw new SutureError('SUT_ADMIN_UNREACHABLE', message);
  }
  if (others.length > 0) {
    const list = alive.map((path) => `unix:${path}`).join(', ');
    throw new SutureError('SUT_USAGE', `more than one switch runs here: choose with --admin, one of ${list}`);
  }
  return only;
}

function sockets(directory: string): string[] {
  try {
    const names = readdirSync(directory).filter((name) => name.endsWith('.sock'));
    return names.sort().map((name) => `${directory}/${name}`);
  } catch {
    return [];
  }
}

export class AdminClient {
  constructor(readonly path: string) {}

  flows(filter: { readonly state?: string; readonly agent?: string } = {}): Promise<FlowView[]> {
    const query = new URLSearchParams({ ...filter }).toString();
    return this.#json('GET', query === '' ? '/flows' : `/flows?${query}`);
  }

  flow(id: string): Promise<FlowDetail> {
    return this.#json('GET', `/flows/${encodeURIComponent(id)}`);
  }

  close(id: string): Promise<FlowDetail> {
    return this.#json('POST', `/flows/${encodeURIComponent(id)}/close`);
  }

  agents(): Promise<AgentView[]> {
    return this.#json('GET', '/agents');
  }

  move(agent: string, peer?: string): Promise<AgentView> {
    const query = peer === undefined ? '' : `?${new URLSearchParams({ peer }).toString()}`;
    return this.#json('POST', `/agents/${encodeURIComponent(agent)}/move${query}`);
  }

  stats(): Promise<StatsView> {
    return this.#json('GET', '/stats');
  }

  promote(): Promise<StatsView> {
    return this.#json('POST', '/promote');
  }

  /** Every change of a flow from now on; ends when the switch stops or the signal aborts. */
  async *watch(signal?: AbortSignal): AsyncGenerator<FlowDetail> {
    try {
      const { status, body } = await this.#request('GET', '/events', signal);
      if (status !== 200) throw this.#refusal(undefined, status);
      let rest = '';
      for await (const text of body.setEncoding('utf8')) {
        const lines = `${rest}${text}`.split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) yield this.#parse(line) as FlowDetail;
      }
    } catch (error) {
      if (!signal?.aborted) throw this.#unreachable(error);
    }
  }

  async #json<T>(method: string, path: string): Promise<T> {
    const { status, body } = await this.#request(method, path);
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of body) chunks.push(chunk as Buffer);
    } catch (error) {
      throw this.#unreachable(error);
    }
    const reply = this.#parse(Buffer.concat(chunks).toString('utf8'));
    if (status === 200) return reply as T;
    throw this.#refusal(reply, status);
  }

  #request(method: string, path: string, signal?: AbortSignal) {
    type Reply = { readonly status: number; readonly body: IncomingMessage };
    return new Promise<Reply>((resolve, reject) => {
      const options = { socketPath: this.path, method, path, timeout: TIMEOUT_MS, ...(signal && { signal }) };
      const sent = request(options, (body) => {
        // A watcher may wait for the next event as long as it likes.
        body.socket.setTimeout(0);
        resolve({ status: body.statusCode ?? 0, body });
      });
      sent.on('timeout', () => sent.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)));
      sent.on('error', (error) => reject(this.#unreachable(error)));
      sent.end();
    });
  }

  #parse(text: string): unknown {
    try {
      return JSON.parse(text);
    } catch (error) {
      const message = `what answers on unix:${this.path} does not speak the admin protocol: is it a switch?`;
      throw new SutureError('SUT_ADMIN_PROTOCOL', message, { cause: error });
    }
  }

  #refusal(reply: unknown, status: number): SutureError {
    const error: unknown =
      typeof reply === 'object' && reply !== null && 'error' in reply ? reply.error : undefined;
    if (typeof error === 'object' && error !== null && 'code' in error && 'message' in error) {
      // A newer switch may know codes that this program does not.
      const code = ERROR_CODES.find((known) => known === error.code) ?? 'SUT_ADMIN_PROTOCOL';
      return new SutureError(code, String(error.message));
    }
    return new SutureError('SUT_ADMIN_PROTOCOL', `the switch answered with status ${status} and no reason`);
  }

  #unreachable(error: unknown): SutureError {
    if (error instanceof SutureError) return error;
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    const why = error instanceof Error ? error.message : String(error);
    if (code === 'EACCES' || code === 'EPERM') {
      const message = `not allowed to use unix:${this.path}; run as the user that runs the switch`;
      return new SutureError('SUT_PERMISSION', message, { cause: error });
    }
    const message = `no switch answers on unix:${this.path} (${why}); start it, or give --admin unix:/PATH`;
    return new SutureError('SUT_ADMIN_UNREACHABLE', message, { cause: error });
  }
}
