/**
 * `npm run faults -- [options]`: the failure matrix. Progress goes to standard error, the tables to standard output.
 * Ends with 1 when something was lost that TCP would have kept.
 */
import { parseArgs } from 'node:util';
import { Matrix } from './matrix.js';
import { FAULTS, PARTS, type Path } from './plan.js';
import { runFaults } from './run.js';

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    /** Connections that each cell is to see, in all. */
    runs: { type: 'string', default: '20' },
    /** So many of them at once. */
    'at-once': { type: 'string', default: '5' },
    /** So many labs beside each other, to be done sooner. */
    labs: { type: 'string', default: '1' },
    /** Seconds for which a part is stopped, cut off or away. */
    pause: { type: 'string', default: '10' },
    dataplane: { type: 'string', multiple: true, default: ['kernel', 'userspace'] },
    part: { type: 'string', multiple: true, default: [...PARTS] },
    fault: { type: 'string', multiple: true, default: [...FAULTS] },
  },
});

const teardowns: (() => Promise<void>)[] = [];
const perPhase = Number(values['at-once']);
const labs = Number(values.labs);
/** In one lab. */
const times = Math.ceil(Number(values.runs) / perPhase / labs);
const say = (line: string): void => void process.stderr.write(`${new Date().toISOString()} ${line}\n`);
const failures: string[] = [];
const matrices: Matrix[] = [];
try {
  for (const path of values.dataplane as Path[]) {
    const matrix = new Matrix(path);
    const inLab = (lab: number) =>
      runFaults(
        { teardown: (work) => void teardowns.push(work) },
        {
          matrix,
          seed: Number(values.seed) + lab,
          times,
          perPhase,
          pauseMs: Number(values.pause) * 1000,
          wanted: ({ part, fault }) => values.part.includes(part) && values.fault.includes(fault),
          say: (line) => say(labs > 1 ? `lab ${lab + 1}: ${line}` : line),
        },
      );
    matrices.push(matrix);
    const all = await Promise.allSettled(Array.from({ length: labs }, (_, lab) => inLab(lab)));
    const left = all.flatMap((one) => (one.status === 'fulfilled' ? one.value : [String(one.reason)]));
    failures.push(...matrix.failures(), ...left);
  }
} finally {
  for (const work of teardowns.reverse()) await work();
}
for (const matrix of matrices) process.stdout.write(`\n### ${matrix.path} data path\n\n${matrix.table()}\n`);
process.stdout.write(failures.length === 0 ? '\nnothing was lost that TCP would have kept\n' : '');
for (const failure of failures) process.stdout.write(`FAILED ${failure}\n`);
process.exitCode = failures.length === 0 ? 0 : 1;
