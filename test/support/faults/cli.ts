/**
 * `npm run faults -- [options]`: the failure matrix. Progress goes to standard error, the tables to standard output.
 * Ends with 1 when something was lost that TCP would have kept, and after a signal; its labs are taken down either way.
 */
import { parseArgs } from 'node:util';
import { inLabs } from './labs.js';
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

const perPhase = Number(values['at-once']);
const atOnce = Number(values.labs);
/** In one lab. */
const times = Math.ceil(Number(values.runs) / perPhase / atOnce);
const say = (line: string): void => void process.stderr.write(`${new Date().toISOString()} ${line}\n`);
const matrices: Matrix[] = [];
/** What was left over. */
const left = await inLabs(async (labs) => {
  const lines: string[] = [];
  for (const path of values.dataplane as Path[]) {
    const matrix = new Matrix(path);
    const inLab = (lab: number) =>
      runFaults(labs, {
        matrix,
        seed: Number(values.seed) + lab,
        times,
        perPhase,
        pauseMs: Number(values.pause) * 1000,
        wanted: ({ part, fault }) => values.part.includes(part) && values.fault.includes(fault),
        say: (line) => say(atOnce > 1 ? `lab ${lab + 1}: ${line}` : line),
      });
    matrices.push(matrix);
    const all = await Promise.allSettled(Array.from({ length: atOnce }, (_, lab) => inLab(lab)));
    lines.push(...all.flatMap((one) => (one.status === 'fulfilled' ? one.value : [String(one.reason)])));
  }
  return lines;
});
const failures = [...matrices.flatMap((matrix) => matrix.failures()), ...(left ?? ['interrupted'])];
for (const matrix of matrices) process.stdout.write(`\n### ${matrix.path} data path\n\n${matrix.table()}\n`);
process.stdout.write(failures.length === 0 ? '\nnothing was lost that TCP would have kept\n' : '');
for (const failure of failures) process.stdout.write(`FAILED ${failure}\n`);
process.exitCode = failures.length === 0 ? 0 : 1;
