/**
 * The flow table in Redis with 100,000 stitched flows: how fast they are written and what they take there, how long a
 * switch needs from its start until it serves with all of them, and what it costs to look at them. Once with nothing in
 * the kernel, where every flow is restored before the first packet; once with the kernel's flows still there; and once
 * more while connections make round trips through it, of which no packet may be lost.
 *
 * SUTURE_BENCH_FLOWS: another number of flows.
 */
import { join } from 'node:path';
import { LOCAL_TABLE, startRedis } from '#suture/lab/redis.js';
import { addressOf, type ConfigObject, endpointOf, PACKAGE_ROOT, route } from '#suture/lab/stage.js';
import type { BenchContext, Benchmark } from './support/context.js';
import { ECHO_PORT, startEchoServer } from './support/echo.js';
import { type Lab, withLabs } from './support/labs.js';
import { compileNative } from './support/native.js';
import type { FillReport } from './support/table-fill.js';
import { TABLE_AGENTS, tableFlowId } from './support/table-flows.js';
import { type Looks, looksAt } from './support/table-looks.js';
import { conclude, type TableSamples, type TrafficStart } from './support/table-result.js';
import { type Start, TableSwitch } from './support/table-starts.js';
import { LAST_IN_LINE, TRAFFIC_PORT, underTraffic } from './support/table-traffic.js';
import { numberText, tickText } from './support/text.js';

const FLOWS = Number(process.env.SUTURE_BENCH_FLOWS ?? 100_000);
const FILL = join(PACKAGE_ROOT, 'dist/bench/support/table-fill.js');
const FILL_MS = 120_000;
/** Room for the flows of the traffic as well. */
const LIMITS = { flows: FLOWS + 32_768, flowsPerAgent: 2 * FLOWS };

const benchmark: Benchmark = {
  name: 'table',
  title: `The flow table in Redis, and starts with ${tickText(FLOWS)} flows`,
  runs: 5,
  seconds: 8,
  tools: ['redis-server', 'gcc'],
  dataplane: 'kernel',
  run: (context) =>
    withLabs(context, { suture: {} }, async ({ suture }) => {
      const client = await compileNative('echo-client', suture.folder);
      const server = await compileNative('echo-server', suture.folder);
      await startEchoServer(suture, server, 'wherever', LAST_IN_LINE);
      await startRedis(suture.stage);
      const samples = await measure(context, suture, client);
      return conclude('kernel', samples);
    }),
};

export default benchmark;

function switchConfig(lab: Lab): ConfigObject {
  const own = [
    { name: 'a1', role: 'shell', addresses: [addressOf('a', 4)] },
    { name: 'b1', role: 'core', addresses: [addressOf('b', 4)] },
  ];
  return {
    name: lab.prefix,
    dataplane: 'kernel',
    table: LOCAL_TABLE,
    limits: LIMITS,
    agents: [...own, ...TABLE_AGENTS],
  };
}

async function measure(context: BenchContext, lab: Lab, client: string): Promise<TableSamples> {
  const { runs, progress } = context;
  const fill = await filled(lab, runs);
  progress(
    `${numberText(fill.flows / Math.min(...fill.write))} flows a second, ${numberText(fill.bytes.used)} bytes each`,
  );
  const target = new TableSwitch(lab, switchConfig(lab));
  const restored: Start[] = [];
  const adopted: Start[] = [];
  for (let run = 0; run < runs; run++) {
    if (run > 0) await target.kill('host');
    restored.push(await target.start());
    await target.kill('process');
    adopted.push(await target.start());
    progress(`run ${run + 1}/${runs}: ${startsText(restored, adopted)}`);
  }
  const looks: Looks[] = [];
  for (let run = 0; run < runs; run++) looks.push(await looksAt(lab, tableFlowId(1)));
  const busy = await startsUnderTraffic(context, lab, target, client);
  return { flows: FLOWS, fill, restored, adopted, underTraffic: busy, looks, memoryMiB: target.memoryMiB() };
}

function startsText(...starts: readonly Start[][]): string {
  const [restored, adopted] = starts.map((list) => numberText(list.at(-1)?.seconds ?? Number.NaN));
  return `restored in ${restored} s, taken over in ${adopted} s`;
}

async function filled(lab: Lab, runs: number): Promise<FillReport> {
  const argv = [process.execPath, FILL, String(FLOWS), String(runs), lab.prefix];
  const [line = ''] = await lab.output('table-fill', 's', argv, runs * FILL_MS);
  return JSON.parse(line) as FillReport;
}

async function startsUnderTraffic(
  { runs, seconds, progress }: BenchContext,
  lab: Lab,
  target: TableSwitch,
  client: string,
): Promise<TrafficStart[]> {
  const { stage } = lab;
  await stage.startCore([endpointOf('b', ECHO_PORT)]);
  await stage.startShell([route(TRAFFIC_PORT, ECHO_PORT, 'now')]);
  const starts: TrafficStart[] = [];
  for (let run = 0; run < runs; run++) {
    const { traffic, result } = await underTraffic(lab, client, 1000 * seconds, async () => {
      await target.kill('process');
      return target.start();
    });
    starts.push({ ...result, traffic });
    await Promise.all(['a1', 'b1'].map((name) => stage.agentReady(name)));
    progress(
      `under traffic, run ${run + 1}/${runs}: taken over in ${numberText(result.seconds)} s, ` +
        `${traffic.sentAgain} segments sent again, longest round trip ${numberText(traffic.worstMs)} ms`,
    );
  }
  return starts;
}
