/**
 * Handovers of connections with both directions at full speed: segments sent again because of the cut, the longest
 * pause that a receiver sees, and every byte compared. Beside each transfer that is cut, one that is relayed to its
 * end and one that is routed, in the same run: a machine has pauses and losses of its own. Then the same with
 * one percent of all packets lost on each leg, where only the bytes have to be right.
 *
 * `runs` is the number of handovers, `seconds` the length of a transfer.
 */
import { randomInt } from 'node:crypto';
import { lossRules } from '#suture/lab/loss.js';
import { endpointOf, type RouteConfig, route } from '#suture/lab/stage.js';
import type { FlowDetail } from '#suture/switch/admin-protocol.js';
import { BULK_PORT, type BulkReport, BulkRunner } from './support/bulk.js';
import type { BenchContext, Benchmark } from './support/context.js';
import { type CutTimes, type CutView, faults, viewOf } from './support/cut.js';
import type { BenchResult } from './support/document.js';
import { reached } from './support/flows.js';
import { conclude } from './support/handover-result.js';
import { type Lab, type Roles, withLabs } from './support/labs.js';
import { compileNative } from './support/native.js';
import { rotated } from './support/stats.js';

const FIRST_PORT = 8001;
const UNCUT_PORT = 8000;
/** Of a transfer's length: when the cut is asked for. */
const CUT_BETWEEN = [0.25, 0.5] as const;
const LOSS_PERCENT = 1;
/** Handovers with loss, as a share of those without. */
const LOSSY_SHARE = 0.4;
const GAP_MS = 60;
const CLOSE_MS = 30_000;

const KINDS = ['handover', 'relayed', 'routed'] as const;
export type Kind = (typeof KINDS)[number];

export interface Sample {
  readonly kind: Kind;
  readonly run: number;
  /** Bits a second at the receivers. */
  readonly up: number;
  readonly down: number;
  /** Of this transfer, or of the one whose window it shares. */
  readonly times?: CutTimes;
  readonly view?: CutView;
  readonly faults: readonly string[];
}

export interface Samples {
  readonly clean: readonly Sample[];
  readonly lossy: readonly Sample[];
}

const benchmark: Benchmark = {
  name: 'handover',
  title: 'Handovers of connections at full speed, both ways',
  runs: 50,
  seconds: 1.2,
  tools: ['gcc'],
  run,
};

export default benchmark;

async function run(context: BenchContext): Promise<BenchResult> {
  return withLabs(context, { plain: {}, suture: {}, lossy: { bridged: true } }, async (labs) => {
    const program = await compileNative('bulk', labs.suture.folder);
    const routed = await BulkRunner.start(labs.plain, program);
    const clean = await Series.start(context, labs.suture, program, context.runs);
    const { dataplane } = await labs.suture.stage.admin.stats();
    const samples = { clean: await clean.measure(routed), lossy: [] as Sample[] };
    const count = Math.max(1, Math.round(context.runs * LOSSY_SHARE));
    const lossy = await Series.start(context, labs.lossy, program, count);
    await labs.lossy.tool('w', ['nft', '-f', '-'], lossRules(LOSS_PERCENT));
    samples.lossy.push(...(await lossy.measure(undefined)));
    return conclude(dataplane, samples);
  });
}

/** The transfers of one lab: for each handover a port of its own, whose route says when. */
class Series {
  private constructor(
    readonly context: BenchContext,
    readonly runner: BulkRunner,
    readonly roles: Roles,
    readonly count: number,
  ) {}

  static async start(context: BenchContext, lab: Lab, program: string, count: number): Promise<Series> {
    const ms = context.seconds * 1000;
    const [earliest, latest] = CUT_BETWEEN.map((share) => Math.round(share * ms)) as [number, number];
    const routes: RouteConfig[] = [route(UNCUT_PORT, BULK_PORT, 'never')];
    for (let i = 0; i < count; i++) {
      routes.push(
        route(FIRST_PORT + i, BULK_PORT, { after: { age: `${randomInt(earliest, latest + 1)}ms` } }),
      );
    }
    const runner = await BulkRunner.start(lab, program);
    return new Series(context, runner, await lab.startSuture({ routes }), count);
  }

  async measure(routed: BulkRunner | undefined): Promise<Sample[]> {
    const kinds = KINDS.filter((kind) => kind !== 'routed' || routed !== undefined);
    const samples: Sample[] = [];
    for (let run = 0; run < this.count; run++) {
      const reports = new Map<Kind, BulkReport | string>();
      for (const kind of rotated(kinds, run)) {
        await this.context.clock.sleep(GAP_MS);
        reports.set(kind, await this.#transfer(kind, run, routed));
      }
      const times = await this.#cutTimes(run, reports.get('handover'));
      const fresh = kinds.map((kind) => this.#sample(kind, run, reports.get(kind) ?? 'not run', times));
      samples.push(...fresh);
      this.context.progress(`${run + 1}/${this.count}${routed ? '' : ', with loss'}: ${progressText(fresh)}`);
    }
    return samples;
  }

  #transfer(kind: Kind, run: number, routed: BulkRunner | undefined): Promise<BulkReport | string> {
    const ms = Math.round(this.context.seconds * 1000);
    if (kind === 'routed' && routed) return routed.transfer(endpointOf('b', BULK_PORT), ms);
    const port = kind === 'handover' ? FIRST_PORT + run : UNCUT_PORT;
    // The shell's retransmissions are those of its host: its sockets are gone when the transfer ends.
    const snmp = [`a=/proc/${this.roles.shell.pid}/net/snmp`];
    return this.runner.transfer(endpointOf('a', port), ms, snmp);
  }

  /** Relative to the start of the transfer; undefined when it was not stitched. */
  async #cutTimes(run: number, report: BulkReport | string | undefined): Promise<CutTimes | undefined> {
    if (report === undefined || typeof report === 'string') return undefined;
    const flow = await this.#flowOn(endpointOf('a', FIRST_PORT + run));
    const { start } = report.peer;
    const [clamping, cutting, stitched] = ['clamping', 'cutting', 'stitched'].map((state) => {
      const at = flow && reached(flow, state);
      return at === undefined ? undefined : at - start;
    });
    if (stitched === undefined || clamping === undefined) return undefined;
    return { clamping, cutting: cutting ?? clamping, stitched };
  }

  async #flowOn(local: string): Promise<FlowDetail | undefined> {
    const { stage } = this.runner.lab;
    let id: string | undefined;
    const over = async (): Promise<boolean> => {
      const found = (await stage.admin.flows()).find(({ outer }) => outer.local === local);
      id = found?.id;
      return found !== undefined && ['closing', 'closed', 'broken', 'refused'].includes(found.state);
    };
    await stage.until(over, CLOSE_MS, () => `the flow on ${local} has not ended`);
    return id === undefined ? undefined : stage.admin.flow(id);
  }

  #sample(kind: Kind, run: number, report: BulkReport | string, times: CutTimes | undefined): Sample {
    if (typeof report === 'string') return { kind, run, up: 0, down: 0, faults: [report] };
    const { peer, core } = report;
    return {
      kind,
      run,
      up: (core.received * 8000) / core.ms,
      down: (peer.received * 8000) / peer.ms,
      ...(times && { times, view: viewOf(report, times, this.context.seconds * 1000) }),
      faults: faults(report),
    };
  }
}

function progressText(samples: readonly Sample[]): string {
  return samples
    .map(({ kind, view, faults: found }) => {
      if (found.length > 0) return `${kind}: ${found.join('; ')}`;
      if (!view) return `${kind}: not stitched`;
      const { retrans, pause } = view;
      const pauses = `${pause.e.toFixed(1)} and ${pause.b.toFixed(1)} ms`;
      return `${kind} ${retrans.e + retrans.b + retrans.a} sent again, ${pauses}`;
    })
    .join('; ');
}
