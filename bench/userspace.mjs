/**
 * The userspace data path, one TCP stream from E to B through a stitched flow: Mbit/s and packets/s, beside plain
 * routing in the same run. Needs a built tree (`npm run setup`) and iperf3; root; makes a lab of its own.
 *
 *   node bench/userspace.mjs [--json] [--runs 5] [--seconds 4]
 *
 * Twice: with packets of 1500 bytes on every link (segmentation offload off at the ends), and with the
 * super-frames that virtual interfaces carry.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { inNamespace, runTool } from '../dist/lab/command.js';
import { labDown, labUp } from '../dist/lab/lab.js';
import { namespaceOf } from '../dist/lab/layout.js';
import { Stage } from '../dist/lab/stage.js';
import { systemClock } from '../dist/platform/clock.js';

const PORT = 5201;
const TARGETS = { packetsPerSecond: 60_000, mbitPerSecond: 500 };
const USER_HZ = 100;

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    runs: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' },
  },
});
const runs = Number(values.runs);
const seconds = Number(values.seconds);
const prefix = `sutbench-${process.pid}`;
const folder = mkdtempSync(join(tmpdir(), 'suture-bench-'));
const stage = new Stage({ prefix, folder, clock: systemClock });

const inside = (host, argv) => inNamespace(namespaceOf(prefix, host), argv);
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const spread = (list) => ({ median: median(list), min: Math.min(...list), max: Math.max(...list) });

async function iperf(target) {
  const argv = ['iperf3', '-c', target, '-p', String(PORT), '-t', String(seconds), '-J'];
  const { end } = JSON.parse(await runTool('iperf3', inside('e', argv)));
  return end.sum_received.bits_per_second / 1e6;
}

/** CPU time of the packet thread, which is the switch's main thread, in seconds. */
function packetThreadCpu(pid) {
  const fields = readFileSync(`/proc/${pid}/task/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / USER_HZ;
}

async function stitchedRun(pid) {
  const before = { counters: (await stage.admin.stats()).counters, cpu: packetThreadCpu(pid) };
  const mbit = await iperf('10.201.2.2');
  const { counters } = await stage.admin.stats();
  const packets = counters['dataplane.received'] - before.counters['dataplane.received'];
  return { mbit, packets: packets / seconds, cpu: (packetThreadCpu(pid) - before.cpu) / seconds };
}

async function series(offload) {
  for (const host of ['e', 'b']) {
    const argv = ['ethtool', '-K', 'eth0', 'tso', offload, 'gso', offload];
    await runTool('ethtool', inside(host, argv));
  }
  const routed = [];
  const stitched = [];
  for (let i = 0; i < runs; i++) {
    routed.push(await iperf('10.201.3.2'));
    stitched.push(await stitchedRun(switchPid));
  }
  return {
    routedMbit: spread(routed),
    stitchedMbit: spread(stitched.map(({ mbit }) => mbit)),
    stitchedPacketsPerSecond: spread(stitched.map(({ packets }) => packets)),
    packetThreadCores: spread(stitched.map(({ cpu }) => cpu)),
    samples: { routed, stitched },
  };
}

/** The switch's own pid: `setpriv` and `nsenter` have turned into it. */
let switchPid = 0;
const result = { runs, seconds, targets: TARGETS };
try {
  await labUp({ prefix });
  switchPid = (await stage.startSwitch()).pid;
  await stage.startCore([`10.201.3.2:${PORT}`]);
  await stage.startShell([{ listen: `10.201.2.2:${PORT}`, core: `10.201.3.2:${PORT}`, stitch: 'now' }]);
  stage.start('iperf3', 'b', ['iperf3', '-s', '-p', String(PORT)]);
  await systemClock.sleep(500);
  result['1500-byte packets'] = await series('off');
  result['super-frames'] = await series('on');
  const flows = await stage.admin.flows({});
  result.flows = { closed: flows.filter(({ state }) => state === 'closed').length, all: flows.length };
} finally {
  await stage.stop();
  await labDown({ prefix });
  rmSync(folder, { recursive: true, force: true });
}

if (values.json) {
  console.log(JSON.stringify(result, null, 2));
} else {
  const text = ({ median: m, min, max }, digits = 0) =>
    `${m.toFixed(digits)} (${min.toFixed(digits)} … ${max.toFixed(digits)})`;
  for (const name of ['1500-byte packets', 'super-frames']) {
    const { routedMbit, stitchedMbit, stitchedPacketsPerSecond, packetThreadCores } = result[name];
    console.log(`${name}, median (min … max) of ${runs} runs of ${seconds} s`);
    console.log(`  plain routing    ${text(routedMbit)} Mbit/s`);
    console.log(`  stitched         ${text(stitchedMbit)} Mbit/s (target ${TARGETS.mbitPerSecond})`);
    console.log(
      `  packets read     ${text(stitchedPacketsPerSecond)} /s (target ${TARGETS.packetsPerSecond})`,
    );
    console.log(`  packet thread    ${text(packetThreadCores, 2)} cores`);
  }
}
