/** What the switch says of the flows of a measurement: whether they were stitched, and what reached the shell then. */
import type { FlowDetail } from '#suture/switch/admin-protocol.js';
import type { Lab } from './labs.js';

const CLOSE_MS = 15_000;
/** A client is over when its connections are closing: how long the other side takes is nobody's number here. */
const OVER: ReadonlySet<string> = new Set(['closing', 'closed', 'broken']);

export interface StitchCheck {
  readonly flows: number;
  readonly stitched: number;
  /** Of stitched flows, from then on, as the switch counts them. */
  readonly bytesToShell: number;
}

/** Tells the flows of one measurement from those before it. */
export class FlowLog {
  readonly #lab: Lab;
  readonly #seen = new Set<string>();

  constructor(lab: Lab) {
    this.#lab = lab;
  }

  /** All flows that are new since the last call, once they have ended. */
  async ended(): Promise<FlowDetail[]> {
    const { stage } = this.#lab;
    let fresh: string[] = [];
    let open: string[] = [];
    const over = async (): Promise<boolean> => {
      const flows = (await stage.admin.flows()).filter(({ id }) => !this.#seen.has(id));
      fresh = flows.map(({ id }) => id);
      open = flows.filter(({ state }) => !OVER.has(state)).map(({ state }) => state);
      return open.length === 0;
    };
    await stage.until(
      over,
      CLOSE_MS,
      () => `${open.length} of ${fresh.length} flows have not ended: ${open.join(', ')}`,
    );
    for (const id of fresh) this.#seen.add(id);
    return Promise.all(fresh.map((id) => stage.admin.flow(id)));
  }

  async check(): Promise<StitchCheck> {
    const flows = await this.ended();
    return {
      flows: flows.length,
      stitched: flows.filter(({ stitchedAt }) => stitchedAt !== undefined).length,
      bytesToShell: flows.reduce((sum, { toShellStitched }) => sum + toShellStitched.bytes, 0),
    };
  }
}

/** Waits until the flows of these peers, `address:port`, are stitched. */
export async function untilStitched(lab: Lab, peers: ReadonlySet<string>, timeoutMs: number): Promise<void> {
  let count = 0;
  const all = async (): Promise<boolean> => {
    const flows = await lab.stage.admin.flows({ state: 'stitched' });
    count = flows.filter(({ outer }) => peers.has(outer.remote)).length;
    return count === peers.size;
  };
  await lab.stage.until(all, timeoutMs, () => `${count} of ${peers.size} connections are stitched`);
}

/** Milliseconds since the epoch at which a flow came into a state. */
export function reached({ history }: Pick<FlowDetail, 'history'>, state: string): number | undefined {
  const found = history.find((entry) => entry.state === state);
  return found && Date.parse(found.at);
}
