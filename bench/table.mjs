/**
 * The flow table in Redis: records saved per second, the time of one `secure`, memory of a record, and how long a
 * switch that starts needs to load them. Needs a built tree (`npm run setup`) and redis-server; starts one of its own
 * on loopback.
 *
 *   node bench/table.mjs [--json] [--flows 100000]
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Redis } from 'ioredis';
import { systemClock } from '../dist/platform/clock.js';
import { silentLog } from '../dist/platform/log.js';
import { RedisTable } from '../dist/table/redis/table.js';

const { values } = parseArgs({
  options: { json: { type: 'boolean', default: false }, flows: { type: 'string', default: '100000' } },
});
const flows = Number(values.flows);
const HOST = '127.0.0.1';
const START = Date.UTC(2026, 0, 1);
const SECURED = 2_000;

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const seconds = async (work) => {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
};

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, HOST, resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function record(i) {
  const shell = '10.201.2.2';
  const at = START + i;
  return {
    id: `b77cafcb-${i.toString(36)}`,
    state: 'stitched',
    agent: 'a1',
    outer: {
      local: { address: shell, port: 8080 },
      remote: { address: `10.201.1.${i % 250}`, port: 1024 + (i % 60_000) },
    },
    inner: {
      local: { address: shell, port: 20_000 + (i % 10_000) },
      remote: { address: '10.201.3.2', port: 8080 },
    },
    up: { packets: 1_000 + i, bytes: 1_500_000 + i },
    down: { packets: 2_000 + i, bytes: 3_000_000 + i },
    toShellStitched: { packets: 0, bytes: 0 },
    openedAt: at,
    enabledAt: at + 12,
    stitchedAt: at + 20,
    history: ['watched', 'relayed', 'clamping', 'cutting', 'stitched'].map((state, n) => ({
      state,
      at: at + 5 * n,
    })),
  };
}

async function saved(table) {
  while (table.status().state !== 'up' || table.status().counters.queued > 0) await systemClock.sleep(1);
}

const port = await freePort();
const folder = mkdtempSync(join(tmpdir(), 'suture-bench-'));
const settings = [
  '--port',
  String(port),
  '--bind',
  HOST,
  '--save',
  '',
  '--appendonly',
  'no',
  '--dir',
  folder,
];
const server = spawn('redis-server', settings, { stdio: ['ignore', 'pipe', 'inherit'] });
await new Promise((resolve) => {
  server.stdout.on('data', (text) => String(text).includes('Ready to accept') && resolve());
});
const options = {
  target: { kind: 'server', nodes: [{ address: HOST, port }], db: 0, tls: false },
  group: 'bench',
  name: 's1',
  durability: 'strict',
  timeoutMs: 5_000,
  leaseMs: 10_000,
  queue: 1_000_000,
  events: 10_000,
  clock: systemClock,
  log: silentLog(),
};
try {
  const table = new RedisTable(options);
  await table.start();
  const writing = await seconds(async () => {
    for (let i = 0; i < flows; i++) await table.put(record(i));
    await saved(table);
  });
  const again = await seconds(async () => {
    for (let i = 0; i < flows; i++) await table.put({ ...record(i), state: 'closing' });
    await saved(table);
  });
  const waits = [];
  for (let i = 0; i < SECURED; i++) {
    await table.put({ ...record(i), state: 'stitched' });
    waits.push((await seconds(() => table.secure(record(i).id))) * 1e6);
  }
  await table.stop();
  const client = new Redis({ host: HOST, port });
  const bytes = await client.memory('USAGE', `suture:{bench}:flow:${record(1).id}`);
  const set = await client.memory('USAGE', 'suture:{bench}:flows', 'SAMPLES', '0');
  client.disconnect();
  const second = new RedisTable(options);
  const loading = await seconds(() => second.start());
  const loaded = second.status().counters.flows;
  await second.stop();
  const result = {
    flows,
    savedPerSecond: Math.round(flows / writing),
    changedPerSecond: Math.round(flows / again),
    secureMicroseconds: { median: Math.round(median(waits)), max: Math.round(Math.max(...waits)) },
    bytesPerFlow: { record: bytes, inSet: Math.round(set / flows) },
    load: { flows: loaded, seconds: Number(loading.toFixed(2)) },
  };
  if (values.json) console.log(JSON.stringify(result, null, 2));
  else console.table(result);
} finally {
  server.kill('SIGKILL');
  rmSync(folder, { recursive: true, force: true });
}
