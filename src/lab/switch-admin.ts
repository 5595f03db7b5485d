/**
 * What a demo or a test asks of its own switch over the admin socket (`src/switch/admin-protocol.ts`): only
 * reading, and always on a socket that it has named itself.
 */
import { type IncomingMessage, request } from 'node:http';
import { SutureError } from '../platform/errors.js';
import type { AgentView, FlowDetail, FlowView, StatsView } from '../switch/admin-protocol.js';

export class SwitchAdmin {
  constructor(readonly socketPath: string) {}

  flows(): Promise<FlowView[]> {
    return this.#read('/flows');
  }

  flow(id: string): Promise<FlowDetail> {
    return this.#read(`/flows/${encodeURIComponent(id)}`);
  }

  agents(): Promise<AgentView[]> {
    return this.#read('/agents');
  }

  stats(): Promise<StatsView> {
    return this.#read('/stats');
  }

  /** Every change of a flow from now on; ends when the switch stops or the signal aborts. */
  async *watch(signal: AbortSignal): AsyncGenerator<FlowDetail> {
    try {
      let rest = '';
      for await (const text of (await this.#get('/events', signal)).setEncoding('utf8')) {
        const lines = `${rest}${text}`.split('\n');
        rest = lines.pop() ?? '';
        for (const line of lines) yield JSON.parse(line) as FlowDetail;
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async #read<T>(path: string): Promise<T> {
    let text = '';
    for await (const piece of (await this.#get(path)).setEncoding('utf8')) text += piece;
    return JSON.parse(text) as T;
  }

  #get(path: string, signal?: AbortSignal): Promise<IncomingMessage> {
    const { socketPath } = this;
    return new Promise((resolve, reject) => {
      const fail = (why: string): void =>
        reject(new SutureError('SUT_ADMIN_UNREACHABLE', `the switch at unix:${socketPath}, ${path}: ${why}`));
      const asked = request({ socketPath, path, ...(signal && { signal }) }, (answer) => {
        if (answer.statusCode === 200) return resolve(answer);
        answer.resume();
        fail(`status ${answer.statusCode}`);
      });
      asked.on('error', (error) => fail(error.message));
      asked.end();
    });
  }
}
