/**
 * `npm run soak -- [options]`: a steady load of short connections with a fault every minute; memory has to stay what
 * it is and everything has to be empty at the end. Switch, shell and core agent are stopped and cut off but not
 * killed, since a new process would hide what the old one kept; Redis has every fault. Ends with 1 when one of this
 * does not hold, and after a signal; its lab is taken down either way.
 */
import { parseArgs } from 'node:util';
import { addressOf } from '../../../src/lab/stage.js';
import { Random } from '../sim/random.js';
import { stopShell, untilEmpty } from './after.js';
import { Field, PORTS } from './field.js';
import { inject } from './inject.js';
import { inLabs, type Labs } from './labs.js';
import { Memory } from './memory.js';
import { INJECTIONS, type Injection, type Path } from './plan.js';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    seed: { type: 'string', default: '1' },
    dataplane: { type: 'string', default: 'kernel' },
    /** Seconds between faults, and how long one lasts. */
    every: { type: 'string', default: '60' },
    pause: { type: 'string', default: '10' },
    workers: { type: 'string', default: '4' },
  },
});

interface Counts {
  readonly ok: number;
  readonly refused: number;
  readonly lost: number;
  readonly wrong: number;
}

const SAMPLE_MS = 2000;
const GAP_MS = 50;
/** Closed flows are remembered for 5 s here. */
const FORGOTTEN_MS = 30_000;

const say = (line: string): void => void process.stderr.write(`${new Date().toISOString()} ${line}\n`);

const all = INJECTIONS.filter(
  ({ part, fault }) => part === 'redis' || (fault !== 'kill' && fault !== 'empty'),
);

async function faults(field: Field, memory: Memory): Promise<number> {
  const { clock } = field;
  const random = new Random(Number(values.seed));
  const end = clock.monotonic() + Number(values.minutes) * 60_000;
  const every = Number(values.every) * 1000;
  let next = clock.monotonic() + every / 2;
  let count = 0;
  while (clock.monotonic() < end) {
    await clock.sleep(SAMPLE_MS);
    memory.sample();
    if (clock.monotonic() < next) continue;
    next += every;
    const injection = all[random.int(0, all.length - 1)] as Injection;
    await inject(field, injection, clock, Number(values.pause) * 1000);
    await field.ready();
    count += 1;
    say(`${count} ${injection.part} ${injection.fault}`);
  }
  return count;
}

async function untilForgotten({ rig }: Field): Promise<void> {
  const { admin } = rig.stage;
  let left = '';
  await rig.stage.until(
    async () => {
      const records = await rig.tool('s', ['redis-cli', 'zcard', 'suture:{default}:flows']);
      left = `${(await admin.flows()).length} flows in the table, ${records.trim()} records in Redis`;
      return left === '0 flows in the table, 0 records in Redis';
    },
    FORGOTTEN_MS,
    () => left,
  );
}

async function soak(labs: Labs): Promise<string[]> {
  const path = values.dataplane as Path;
  const field = await Field.up(labs, { path, drainLimit: '2m' });
  await field.ready();
  const go = field.rig.go();
  const client = field.rig.startClient('churn', {
    host: addressOf('a', 4),
    http: PORTS.stitchedHttp,
    raw: PORTS.stitchedRaw,
    workers: Number(values.workers),
    gapMs: GAP_MS,
    until: go.path,
  });
  const memory = new Memory(field);
  const count = await faults(field, memory);
  go.say();
  const [counts] = (await client.finished()) as Counts[];
  await untilEmpty(field, { orphans: false });
  await untilForgotten(field);
  const problems = await stopShell(field);
  const { ok = 0, refused = 0, lost = 0, wrong = 0 } = counts ?? {};
  process.stdout.write(
    `${path} data path, ${values.minutes} minutes, ${count} faults: ${ok} connections ok, ${refused} refused, ` +
      `${lost} lost, ${wrong} wrong; all tables empty at the end\n\n` +
      '| memory of | at first | second quarter | last quarter | at last | slope |\n' +
      '| --- | ---: | ---: | ---: | ---: | ---: |\n',
  );
  for (const { part, first, early, late, last, perHour, flat } of memory.report()) {
    const row = [first, early, late, last].map((mb) => `${mb.toFixed(1)} MB`).join(' | ');
    process.stdout.write(`| ${part} | ${row} | ${perHour.toFixed(1)} MB/h |\n`);
    if (!flat) problems.push(`the memory of the ${part} grows`);
  }
  if (lost + wrong > 0) problems.push(`${lost} connections lost, ${wrong} wrong`);
  return problems;
}

const problems = (await inLabs(soak)) ?? ['interrupted'];
for (const problem of problems) process.stdout.write(`FAILED ${problem}\n`);
process.exitCode = problems.length === 0 ? 0 : 1;
