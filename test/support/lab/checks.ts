/** Assertions that most end-to-end tests share. */
import type { Test } from 'tap';
import type { FlowDetail } from '../../../src/switch/admin-protocol.js';
import type { ConnectionResult, TransferResult } from './results.js';
import type { Rig } from './rig.js';

const SHA256 = /^[0-9a-f]{64}$/;

/** The transfer came through byte for byte, in each direction that it had. */
export function checkTransfer(t: Test, result: TransferResult | undefined, bytes: number): void {
  t.equal(result?.error, undefined, 'no error');
  for (const direction of ['up', 'down'] as const) {
    if (result?.mode !== 'both' && result?.mode !== direction) continue;
    const { bytes: length, sent, received } = result[direction] ?? {};
    t.equal(length, bytes, `${direction}: length`);
    t.match(sent, SHA256, `${direction}: a hash was made`);
    t.equal(received, sent, `${direction}: SHA-256`);
  }
}

/**
 * The connection's flow was stitched and is closed, for the right reason; its counters are the bytes of the
 * streams, and the shell got none of its packets once it was stitched.
 */
export async function checkClosed(
  t: Test,
  rig: Rig,
  result: ConnectionResult,
  reason = 'fin',
): Promise<FlowDetail> {
  const { written, read } = result;
  const flow = await rig.closed(result);
  t.ok(flow.stitchedAt, 'it was stitched', { history: flow.history });
  t.equal(flow.reason, reason, 'reason');
  t.strictSame({ up: flow.up.bytes, down: flow.down.bytes }, { up: written, down: read }, 'stream bytes', {
    flow,
  });
  t.strictSame(flow.toShellStitched, { packets: 0, bytes: 0 }, 'nothing to the shell once stitched');
  return flow;
}

export interface ExpectedFlows {
  /** That have to have been stitched. */
  readonly connections: number;
  /** Further ones that may have been too short for it. */
  readonly most?: number;
  readonly openedBy?: 'peer' | 'core';
  /** How they may have ended; by FIN if nothing is said. */
  readonly reasons?: RegExp;
}

/**
 * Every connection to a listener of the shell's since its start was stitched, has ended in order, and sent the shell
 * nothing from then on. Waits until all of them have ended; the flows, in the order of their bytes.
 */
export async function checkFlowsTo(
  t: Test,
  rig: Rig,
  listen: string,
  { connections, most = 0, openedBy = 'peer', reasons = /^fin$/ }: ExpectedFlows,
): Promise<FlowDetail[]> {
  const mine = async () =>
    (await rig.stage.admin.flows()).filter(({ outer, inner }) => [outer.local, inner.local].includes(listen));
  let flows = await mine();
  await rig.stage.until(
    async () => {
      flows = await mine();
      return flows.length > 0 && flows.every(({ closedAt, state }) => closedAt || state === 'refused');
    },
    30_000,
    () => `flows to ${listen} have not ended: ${JSON.stringify(flows)}`,
  );
  const details = await Promise.all(flows.map(({ id }) => rig.stage.admin.flow(id)));
  details.sort((a, b) => b.up.bytes + b.down.bytes - a.up.bytes - a.down.bytes);
  const long = details.slice(0, connections);
  t.ok(details.length >= connections && details.length <= connections + most, `${connections} connections`, {
    found: details.length,
  });
  t.strictSame(
    long
      .filter(({ stitchedAt }) => !stitchedAt)
      .map(({ id, state, reason, history }) => ({ id, state, reason, history })),
    [],
    'all were stitched',
  );
  for (const flow of long) {
    if (
      !reasons.test(flow.reason ?? '') ||
      flow.openedBy !== openedBy ||
      flow.toShellStitched.packets !== 0
    ) {
      t.fail('a flow is not as it should be', { flow });
    }
  }
  return long;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** `median / worst` for a comment. */
export function spread(values: readonly number[], digits = 1): string {
  return `median ${median(values).toFixed(digits)}, worst ${Math.max(...values).toFixed(digits)}`;
}
