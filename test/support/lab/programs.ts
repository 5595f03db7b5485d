/** Third-party programs in a lab's host: are they there, what did they say. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LabHost } from '../../../src/lab/layout.js';
import type { Rig } from './rig.js';

const FOLDERS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** Whether all of these are there: programs by name, files by path. */
export function installed(names: readonly string[]): boolean {
  return names.every((name) =>
    name.startsWith('/') ? existsSync(name) : FOLDERS.some((folder) => existsSync(join(folder, name))),
  );
}

/** False when all programs are there, else the reason to skip a test. */
export function missingPrograms(names: readonly string[], debian: string): false | string {
  const absent = names.filter((name) => !installed([name]));
  return absent.length > 0 && `no ${absent.join(', ')} (Debian: ${debian})`;
}

export interface ProgramSaid {
  readonly code: number | null;
  readonly stdout: string;
  /** Both of its streams, line by line as they came. */
  readonly output: string;
}

/** Runs a program to its end, however long it takes; one that hangs is the test's time limit's. */
export async function programEnd(rig: Rig, host: LabHost, argv: readonly string[]): Promise<ProgramSaid> {
  const all: string[] = [];
  const out: string[] = [];
  const program = rig.stage.start(argv[0] ?? '', host, argv, (line, stream) => {
    all.push(line);
    if (stream === 'stdout') out.push(line);
  });
  const { code } = await program.ended;
  return { code, stdout: out.join('\n'), output: all.join('\n') };
}

/** Linux' USER_HZ: what /proc counts in, whatever the kernel's own tick. */
const TICK_MS = 10;

/** Processor time that a running program has used, in user and in system mode (proc(5), fields 14 and 15). */
export function processorMs(pid: number | undefined): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return TICK_MS * (Number(fields[11]) + Number(fields[12]));
}
