/**
 * The simulation's worlds, with the kernel's program beside the flow engine: at every packet, request and tick the two
 * have to agree on verdict, bytes, events and the whole record.
 *
 * `SUTURE_TWIN_SEEDS=n` runs the seeds 1 … n; `SUTURE_TWIN_SEED=n` runs that one.
 */
import { Random } from '../support/sim/random.js';
import { type Outcome, Simulation } from '../support/sim/simulation.js';
import { smallScenario } from '../support/sim/small.js';
import { FLOW_ID, type SimEngine } from '../support/sim/switch-node.js';
import { withKernel } from './support/driver.js';
import type { Kernel } from './support/kernel.js';
import { Twin } from './support/twin.js';

const SEEDS = Number(process.env.SUTURE_TWIN_SEEDS ?? 200);
const ONE_SEED = process.env.SUTURE_TWIN_SEED;
const RESTORED_SEEDS = Number(process.env.SUTURE_TWIN_SEEDS ?? 60);
const DEATHS = 1 / 60;
const MOST_REPORTS = 5;
/** One world in so many holds FINs and RSTs; an agent answers at a tick with this chance, else the time limit does. */
const HOLDING_OF = 3;
const ANSWERED = 0.05;

function heldEnd(twin: Twin): 'peer' | 'core' | undefined {
  const flow = twin.flow(FLOW_ID);
  if (flow?.outer.finHeld || flow?.outer.resetHeld) return 'peer';
  return flow?.inner.finHeld || flow?.inner.resetHeld ? 'core' : undefined;
}

interface Run extends Partial<Outcome> {
  readonly compared: number;
  readonly restarts: number;
  readonly error?: string;
}

/** `deaths`: how probable it is that a packet finds a switch that has just been restored. */
function run(kernel: Kernel, seed: number, deaths = 0): Run {
  const twin = new Twin(kernel, { forgetAfter: seed % 4 });
  const holds = seed % HOLDING_OF === 0;
  const random = new Random(seed);
  let restarts = 0;
  const engine: SimEngine = {
    get outbox() {
      return twin.outbox;
    },
    get busy() {
      return twin.busy;
    },
    own: (ports) => twin.own(ports),
    receive: (tuple, segment, now) => {
      // A FIN that is held is lost with its switch; what the ends make of that is not for this test.
      const may = deaths > 0 && (!holds || twin.flow(FLOW_ID)?.state === 'stitched');
      if (may && random.chance(deaths) && twin.restart(FLOW_ID, now)) restarts += 1;
      return twin.receive(tuple, segment, now);
    },
    tick: (now) => {
      const from = holds && random.chance(ANSWERED) ? heldEnd(twin) : undefined;
      if (from) twin.proceed(FLOW_ID, from, now);
      else twin.tick(now);
    },
    pair: (id, outer, inner, now) => twin.pair(id, outer, inner, now),
    enable: (id, offsets, now) => twin.enable(id, offsets, now, holds ? 'control' : 'core'),
    close: (id, now) => twin.close(id, now),
    flow: (id) => twin.flow(id),
  };
  try {
    const outcome = new Simulation(smallScenario(seed), engine, { holds }).run();
    twin.end();
    return { ...outcome, compared: twin.compared, restarts };
  } catch (error) {
    kernel.reset();
    return {
      compared: twin.compared,
      restarts,
      error: error instanceof Error ? `${error.stack}` : String(error),
    };
  }
}

withKernel('the kernel follows the engine', (t, kernel) => {
  const first = Number(ONE_SEED ?? 1);
  const last = Number(ONE_SEED ?? SEEDS);
  const reached = new Map<string, number>();
  let failed = 0;
  let compared = 0;
  for (let seed = first; seed <= last && failed < MOST_REPORTS; seed++) {
    const outcome = run(kernel, seed);
    compared += outcome.compared;
    for (const { state } of outcome.states ?? []) reached.set(state, (reached.get(state) ?? 0) + 1);
    const wrong = outcome.error ?? (outcome.fault && `${outcome.fault.rule}: ${outcome.fault.text}`);
    if (wrong === undefined) continue;
    failed += 1;
    t.fail(`seed ${seed}`);
    t.comment(wrong);
  }
  t.equal(failed, 0);
  t.comment(`${compared} packets compared; states ${JSON.stringify(Object.fromEntries(reached))}`);
  if (ONE_SEED === undefined) {
    t.ok((reached.get('stitched') ?? 0) > SEEDS / 4, 'flows were stitched');
    t.ok((reached.get('cutting') ?? 0) > SEEDS / 10, 'flows drained');
  }
  t.end();
});

withKernel('the kernel follows the engine through restores', (t, kernel) => {
  let [restarts, failed] = [0, 0];
  for (let seed = 1; seed <= RESTORED_SEEDS && failed < MOST_REPORTS; seed++) {
    // What the ends make of it is for test/simulation/restarts.test.ts to judge.
    const { error, restarts: more } = run(kernel, seed, DEATHS);
    restarts += more;
    if (error === undefined) continue;
    failed += 1;
    t.fail(`seed ${seed}`);
    t.comment(error);
  }
  t.equal(failed, 0);
  t.comment(`${restarts} restores compared`);
  t.ok(restarts > RESTORED_SEEDS / 4, 'flows were restored');
  t.end();
});
