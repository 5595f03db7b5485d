/**
 * What stitched connections notice of the death of the switch process, on the kernel path: round trips while nothing
 * happens, while a switch that is none of theirs is killed and started again beside them, and while theirs is. The one
 * beside them costs the machine the same: as many flows to take over, the same program to load, the same filters to
 * attach. So what theirs costs more is what a restart does to the packets, and not what any program's start does.
 *
 * Each of the three twice: by a client and a server that share the processors with whatever starts, as programs do, and
 * by such that come before all others (SCHED_FIFO), whose waits are the data path's alone.
 *
 * `seconds` is the length of one measurement; the switch is killed after a fifth of it.
 */
import { join } from 'node:path';
import type { Program } from '#suture/lab/program.js';
import { segmentsSentAgain } from '#suture/lab/sent-again.js';
import { addressOf, type ConfigObject, endpointOf, route } from '#suture/lab/stage.js';
import { run } from '#suture/platform/process.js';
import type { BenchContext, Benchmark } from './support/context.js';
import { atMost, type BenchResult, figure, type Table } from './support/document.js';
import { ECHO_PORT, type EchoPlan, type EchoResult, echoRun, startEchoServer } from './support/echo.js';
import { untilStitched } from './support/flows.js';
import { type Lab, withLabs } from './support/labs.js';
import { compileNative } from './support/native.js';
import type { LinesPanel } from './support/plot/panel.js';
import { median, ratios, rotated, spreadOf } from './support/stats.js';
import { numberText, spreadText } from './support/text.js';

const LISTEN_PORT = 7004;
const ROUNDS = 50;
const CONNECTIONS = 100;
const KILL_AFTER = 0.2;
const OPEN_MS = 30_000;
/** Of round trips like these in a program like this one: what the same thing twice differs by. */
const TARGET = atMost(1.2);

const KINDS = ['quiet', 'beside', 'restarted'] as const;
export type Kind = (typeof KINDS)[number];

export interface Sample {
  readonly echo: EchoResult;
  /** Segments that either end sent again. */
  readonly again: number;
  /** Milliseconds from the kill until the next process answered; null where nobody was killed. */
  readonly away: number | null;
}

const PRIORITIES = ['shared', 'first'] as const;
export type Priority = (typeof PRIORITIES)[number];
const TITLES = {
  shared: 'processors shared with all others',
  first: 'before all others on the processors',
} as const;

export type Samples = Record<Priority, Record<Kind, Sample[]>>;

const benchmark: Benchmark = {
  name: 'restart',
  title: 'Round trips while the switch process is killed and started again',
  runs: 5,
  // Longer than a start takes on a busy machine, with what it does to the data path at its end.
  seconds: 15,
  tools: ['gcc'],
  dataplane: 'kernel',
  run: (context) =>
    withLabs(context, { suture: {}, other: {} }, async ({ suture, other }) => {
      const [client, server] = await Promise.all([
        compileNative('echo-client', suture.folder),
        compileNative('echo-server', suture.folder),
      ]);
      const [own, foreign] = [await Gateway.start(suture, server), await Gateway.start(other, server)];
      await foreign.hold(client);
      const { dataplane } = await suture.stage.admin.stats();
      return conclude(dataplane, await measure(context, { own, foreign }, { client, server }));
    }),
};

export default benchmark;

/** A switch that can be killed and started again, with what is around it. */
class Gateway {
  private constructor(
    readonly lab: Lab,
    private program: Program,
    private readonly server: Program,
    private readonly config: ConfigObject,
  ) {}

  static async start(lab: Lab, server: string): Promise<Gateway> {
    const serving = await startEchoServer(lab, server);
    const roles = await lab.startSuture({ routes: [route(LISTEN_PORT, ECHO_PORT)] });
    return new Gateway(lab, roles.switch, serving, { name: lab.prefix, dataplane: 'kernel' });
  }

  /** Its server; what it is to run before needs the right to say so. */
  async prioritise(priority: Priority): Promise<void> {
    const policy = priority === 'first' ? ['-f', '-p', '1'] : ['-o', '-p', '0'];
    await run('chrt', ['-a', ...policy, String(this.server.pid)]);
  }

  /** As many connections as are measured, which only stay open. */
  async hold(client: string): Promise<void> {
    const target = `stitched=${this.lab.namespace('e')}@${addressOf('a', 4)}:${LISTEN_PORT}`;
    const never = join(this.lab.folder, 'never');
    const argv = [client, '-1', '1', String(CONNECTIONS), '1', never, target];
    const holding = this.lab.start('echo-client', 'e', argv);
    const { open } = JSON.parse(await holding.line(/^\{"open"/, OPEN_MS));
    await untilStitched(this.lab, new Set(open.stitched), OPEN_MS);
  }

  /** Milliseconds until the next process answers. */
  async restart(): Promise<number> {
    const began = this.lab.clock.monotonic();
    this.program.kill('SIGKILL');
    await this.program.ended;
    this.program = await this.lab.stage.startSwitch(this.config);
    return this.lab.clock.monotonic() - began;
  }

  async agentsAreBack(): Promise<void> {
    await Promise.all(['a1', 'b1'].map((name) => this.lab.stage.agentReady(name)));
  }

  sentAgain(): Promise<number> {
    return segmentsSentAgain(this.lab.prefix, ['e', 'b']);
  }
}

interface Gateways {
  readonly own: Gateway;
  readonly foreign: Gateway;
}

async function measure(
  context: BenchContext,
  gateways: Gateways,
  programs: EchoPlan['programs'],
): Promise<Samples> {
  const none = (): Record<Kind, Sample[]> => ({ quiet: [], beside: [], restarted: [] });
  const samples: Samples = { shared: none(), first: none() };
  for (let turn = 0; turn < context.runs; turn++) {
    for (const priority of rotated(PRIORITIES, turn)) {
      await gateways.own.prioritise(priority);
      const by = priority === 'first' ? ['chrt', '-f', '1'] : [];
      for (const kind of rotated(KINDS, turn)) {
        samples[priority][kind].push(await measureOnce(context, gateways, { programs, by }, kind));
      }
      const shown = progressText(samples[priority]);
      context.progress(`run ${turn + 1}/${context.runs}, ${priority}, p99.9 and longest in ms: ${shown}`);
    }
  }
  return samples;
}

function progressText(samples: Record<Kind, Sample[]>): string {
  const shown = KINDS.map((kind) => {
    const [p999 = 0, longest = 0] = [0.999, 1].flatMap((share) => millis(samples[kind].slice(-1), share));
    return `${kind} ${numberText(p999)} and ${numberText(longest)}`;
  });
  return shown.join(', ');
}

async function measureOnce(
  { clock, note, seconds, signal }: BenchContext,
  { own, foreign }: Gateways,
  how: Pick<EchoPlan, 'programs' | 'by'>,
  kind: Kind,
): Promise<Sample> {
  const { lab } = own;
  const ms = Math.round(seconds * 1000);
  const killed = { quiet: undefined, beside: foreign, restarted: own }[kind];
  let away: number | null = null;
  const meanwhile = async (): Promise<void> => {
    await clock.sleep(KILL_AFTER * ms, signal);
    if (!killed) return;
    away = await killed.restart();
    if (away > (1 - KILL_AFTER) * ms)
      note(`a switch started after the round trips were over (${kind}): --seconds`);
  };
  const rival = { name: 'stitched', lab, address: addressOf('a', 4), port: LISTEN_PORT } as const;
  const before = await own.sentAgain();
  const plan = { ...how, rounds: ROUNDS, connections: CONNECTIONS, ms, meanwhile };
  const [echo] = await echoRun([rival], plan);
  if (!echo) throw new Error(`nothing was measured on ${endpointOf('a', LISTEN_PORT)}`);
  const again = (await own.sentAgain()) - before;
  await killed?.agentsAreBack();
  return { echo, again, away };
}

/** A quantile of each measurement; 0.999 and whole percents are known. */
function millis(samples: readonly Sample[], share: number): number[] {
  return samples.map(({ echo: { points, p999 } }) => {
    const value = share === 0.999 ? p999 : points[Math.round(share * (points.length - 1))];
    return (value ?? Number.NaN) / 1e6;
  });
}

/** Exported for its test. */
export function conclude(dataplane: string, samples: Samples): BenchResult {
  const ratio = (priority: Priority, share: number): number[] =>
    ratios(millis(samples[priority].restarted, share), millis(samples[priority].beside, share));
  const again = PRIORITIES.flatMap((priority) => samples[priority].restarted.map((sample) => sample.again));
  return {
    dataplane,
    figures: [
      ...PRIORITIES.flatMap((priority) =>
        (
          [
            ['p999', 0.999, 'round trip p99.9'],
            ['longest', 1, 'longest round trip'],
          ] as const
        ).map(([id, share, what]) =>
          figure(
            `restart-${id}-${priority}`,
            `${what}, own switch restarted / another one, ${TITLES[priority]}`,
            '',
            ratio(priority, share),
            TARGET,
          ),
        ),
      ),
      figure('restart-again', 'segments sent again while the switch process was away', '', again, atMost(0)),
    ],
    tables: PRIORITIES.map((priority) => table(TITLES[priority], samples[priority])),
    panels: PRIORITIES.map((priority) => panel(TITLES[priority], samples[priority])),
    notes: [],
    samples,
  };
}

function table(title: string, samples: Record<Kind, Sample[]>): Table {
  return {
    title: `Round trip in ms, ${title}, median of the runs (min … max)`,
    headings: ['SWITCH', '>P50', '>P99', '>P99.9', '>LONGEST', '>SENT AGAIN', '>AWAY IN MS'],
    rows: KINDS.map((kind) => {
      const own = samples[kind];
      const away = own.flatMap((sample) => sample.away ?? []);
      return [
        kind,
        ...[0.5, 0.99, 0.999, 1].map((share) => spreadText(spreadOf(millis(own, share)))),
        numberText(median(own.map(({ again }) => again))),
        away.length > 0 ? spreadText(spreadOf(away)) : '-',
      ];
    }),
  };
}

/** Each quantile as the median of the runs has it. */
function panel(title: string, samples: Record<Kind, Sample[]>): LinesPanel {
  const shares = [...Array.from({ length: 100 }, (_, percent) => percent / 100), 0.999, 1];
  return {
    kind: 'lines',
    title: `Distribution of the round trip, ${title}`,
    xLabel: 'ms',
    yLabel: 'share',
    xLog: true,
    series: KINDS.map((name) => ({
      name,
      points: shares.map((share) => [median(millis(samples[name], share)), share] as const),
    })),
  };
}
