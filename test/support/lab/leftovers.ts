/**
 * What a test run leaves behind when it is killed midway, and its removal by the next one.
 *
 * Every rig has a folder with a record of who owns it, its lab's prefix and its programs. A record whose owner
 * is no longer running is a leftover. Processes are known by id and start time, so that a number which came
 * to another program is left alone.
 */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { labDown } from '../../../src/lab/lab.js';

const FOLDER_PREFIX = 'suture-e2e-';
/** A folder without a readable record may be one that is just being made. */
const UNRECORDED_AGE_MS = 60_000;

interface ProcessRef {
  readonly pid: number;
  readonly startTime: string;
}

interface OwnerRecord {
  readonly owner: ProcessRef;
  readonly prefix: string;
  readonly programs: readonly ProcessRef[];
}

/** Field 22 of /proc/PID/stat, after the name in parentheses, which may hold anything. */
function startTimeOf(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

function refOf(pid: number): ProcessRef {
  return { pid, startTime: startTimeOf(pid) ?? '' };
}

function runs(ref: ProcessRef): boolean {
  return ref.startTime !== '' && startTimeOf(ref.pid) === ref.startTime;
}

export class Folder {
  readonly path = mkdtempSync(join(tmpdir(), FOLDER_PREFIX));
  readonly #programs: ProcessRef[] = [];

  constructor(readonly prefix: string) {
    this.#write();
  }

  /** Remembers a program, so that it can be ended even if this process is killed. */
  note(pid: number | undefined): void {
    if (pid === undefined) return;
    this.#programs.push(refOf(pid));
    this.#write();
  }

  file(name: string): string {
    return join(this.path, name);
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }

  #write(): void {
    const record: OwnerRecord = { owner: refOf(process.pid), prefix: this.prefix, programs: this.#programs };
    mkdirSync(this.path, { recursive: true });
    writeFileSync(join(this.path, 'owner.json'), JSON.stringify(record));
  }
}

function readRecord(folder: string): OwnerRecord | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, 'owner.json'), 'utf8')) as OwnerRecord;
  } catch {
    return undefined;
  }
}

/** Added to a folder's name by whoever removes it. */
const REMOVER = /-by-(\d+)-(\d+)$/;

/**
 * Gives the folder a name that says who removes it. Test files that run beside each other all look for leftovers; of
 * those that find the same one, one succeeds in this.
 */
function claimed(folder: string): string | undefined {
  const [, pid, startTime] = REMOVER.exec(folder) ?? [];
  if (pid !== undefined && startTime !== undefined && runs({ pid: Number(pid), startTime })) return undefined;
  const own = refOf(process.pid);
  const mine = `${folder.replace(REMOVER, '')}-by-${own.pid}-${own.startTime}`;
  try {
    renameSync(folder, mine);
    return mine;
  } catch {
    return undefined;
  }
}

/** Removes the namespaces, programs and folders of runs whose process is gone. */
export async function removeLeftovers(): Promise<void> {
  const folders = readdirSync(tmpdir()).filter((name) => name.startsWith(FOLDER_PREFIX));
  for (const folder of folders.map((name) => join(tmpdir(), name))) {
    const record = readRecord(folder);
    if (!record) {
      const age = Date.now() - (statSync(folder, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
      if (age > UNRECORDED_AGE_MS) rmSync(folder, { recursive: true, force: true });
      continue;
    }
    if (runs(record.owner)) continue;
    const leftover = claimed(folder);
    if (leftover === undefined) continue;
    for (const program of record.programs) if (runs(program)) process.kill(program.pid, 'SIGKILL');
    await labDown({ prefix: record.prefix });
    rmSync(leftover, { recursive: true, force: true });
  }
}
