/**
 * Each teardown mode with each end's FIN and RST, on one rig: the streams come through whole, both agents hear of it in
 * the order and from whom the mode says, and nothing is left: no flow, no port, no half-open socket. About 30 s.
 *
 * `SUTURE_TEARDOWN_PAGE=docs/TEARDOWN.md` draws the charts of that page anew, each from a capture and the agents' logs.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { TEARDOWN_MODES, type TeardownMode } from '../../src/flow/state.js';
import type { Program } from '../../src/lab/program.js';
import { checkClosed } from '../support/lab/checks.js';
import type { EndingResult } from '../support/lab/results.js';
import { Rig } from '../support/lab/rig.js';
import {
  chartOf,
  ENDINGS,
  type Ending,
  endStitched,
  heardOf,
  heardText,
  teardownRoutes,
  withChart,
} from '../support/lab/teardown.js';

/** Fewer than the connections: they must come back. */
const FEW_PORTS = '20000-20003';
const LIMIT_MS = 1_000;
const DEBUG = { log: { level: 'debug' } };
/** States of sockets that are still waiting for something of the other end. */
const UNFINISHED = ['fin-wait-1', 'fin-wait-2', 'close-wait', 'last-ack', 'closing', 'established'];
const ENDS_OF = (by: 'peer' | 'core') => [by, by === 'peer' ? 'core' : 'peer'] as const;

/** What an agent hears from the end of the stitch on. */
function expected(mode: TeardownMode, { kind, by }: Ending, agent: 'shell' | 'core'): string[] {
  const held = mode === 'control' || mode === 'shell' ? ' held' : '';
  const teller = { core: 'core', shell: 'shell', control: undefined, both: undefined }[mode];
  const told = teller && teller !== agent ? ` by ${teller}` : '';
  if (kind === 'rst') return [`rst ${by}${held}${told}`, 'closed'];
  const [first, second] = ENDS_OF(by);
  return [`fin ${first}${held}${told}`, 'closing', `fin ${second}${held}${told}`, 'closed'];
}

async function checkHeard(t: Test, agent: Program, flow: string, wanted: readonly string[]): Promise<void> {
  await agent.line(new RegExp(`"flow":"${flow}".*"state":"closed".*flow event`), 15_000);
  const heard = heardOf(agent, flow).map(heardText);
  t.strictSame(heard.slice(heard.indexOf('stitched') + 1), wanted, `what the ${agent.name} heard`);
}

function checkBytes(t: Test, { ending }: Ending, end: EndingResult): void {
  if (ending === 'server-reset') t.equal(end.error, 'ECONNRESET');
  else t.equal(end.error, undefined);
  if (ending === 'half-close') t.equal(end.up?.received, end.up?.sent, 'up: SHA-256');
  if (ending === 'half-close' || ending === 'server-first')
    t.equal(end.down?.received, end.down?.sent, 'down: SHA-256');
}

function reasonOf({ kind, by }: Ending): string {
  return kind === 'fin' ? 'fin' : `reset-by-${by}`;
}

t.test('teardown modes', async (t) => {
  const rig = await Rig.up(t);
  const roles = await rig.startPath({
    routes: teardownRoutes([4, 6]),
    switchConfig: { timers: { teardownLimit: `${LIMIT_MS}ms` } },
    shellConfig: { ports: FEW_PORTS, ...DEBUG },
    coreConfig: DEBUG,
  });

  for (const mode of TEARDOWN_MODES) {
    for (const [i, ending] of ENDINGS.entries()) {
      // Each mode over both families, each ending over both as well.
      const family = (i + TEARDOWN_MODES.indexOf(mode)) % 2 === 0 ? 4 : 6;
      await t.test(`${mode}: ${ending.kind} of the ${ending.by}, IPv${family}`, async (t) => {
        const end = await endStitched(rig, mode, ending.ending, { family });
        checkBytes(t, ending, end);
        const flow = await checkClosed(t, rig, end, reasonOf(ending));
        t.equal(flow.teardown, mode);
        await checkHeard(t, roles.shell, flow.id, expected(mode, ending, 'shell'));
        await checkHeard(t, roles.core, flow.id, expected(mode, ending, 'core'));
      });
    }
  }

  await t.test('suture flows show tells the mode', async (t) => {
    const [flow] = await rig.stage.admin.flows();
    const detail = await rig.stage.admin.flow(flow?.id ?? '');
    const { stdout } = await rig.suture('s', ['flows', 'show', detail.id, '--admin', rig.stage.adminSocket]);
    t.match(stdout, new RegExp(`^teardown +${detail.teardown}$`, 'm'));
  });

  const silent = { stop: () => signal('SIGSTOP'), goOn: () => signal('SIGCONT') };
  function signal(name: NodeJS.Signals): void {
    // Each program leads a process group of its own.
    for (const { pid } of [roles.shell, roles.core]) if (pid !== undefined) process.kill(-pid, name);
  }

  for (const mode of TEARDOWN_MODES) {
    const [fin, , , reset] = ENDINGS;
    for (const ending of mode === 'control' ? [fin, reset] : [fin]) {
      await t.test(`${mode}: ${ending.kind} of the ${ending.by}, and no agent answers`, async (t) => {
        try {
          const end = await endStitched(rig, mode, ending.ending, { seconds: 0, before: silent.stop });
          checkBytes(t, ending, end);
          await checkClosed(t, rig, end, reasonOf(ending));
        } finally {
          silent.goOn();
        }
      });
    }
  }

  const page = process.env.SUTURE_TEARDOWN_PAGE;
  if (page !== undefined) {
    await t.test(`the charts of ${page} are drawn again`, async (t) => {
      for (const mode of TEARDOWN_MODES) {
        for (const [kind, ending] of [['FIN', 'client-first'] as const, ['RST', 'client-reset'] as const]) {
          const chart = await chartOf(rig, roles, mode, ending);
          writeFileSync(page, withChart(readFileSync(page, 'utf8'), `${mode} ${kind}`, chart));
          t.ok(chart.length > 5, chart.join('\n'));
        }
      }
    });
  }

  await t.test('nothing is left', async (t) => {
    t.strictSame(
      (await rig.stage.admin.flows()).filter(({ state }) => state !== 'closed'),
      [],
    );
    for (const host of ['e', 'a', 'b'] as const) {
      const states = UNFINISHED.flatMap((state) => ['state', state]);
      // The control sessions go on.
      const argv = ['ss', '-Htn', ...states, '( sport != :57626 and dport != :57626 )'];
      await rig.stage.until(
        async () => (await rig.tool(host, argv)) === '',
        15_000,
        () => `half-open sockets are left in ${host}`,
      );
    }
    for (const mode of TEARDOWN_MODES) {
      const end = await endStitched(rig, mode, 'client-reset');
      await checkClosed(t, rig, end, 'reset-by-peer');
    }
  });
});
