/** A place for what the tests of the ground make: compiled fixtures and pins, all gone when the test ends. */
import { mkdtempSync, rmSync } from 'node:fs';
import { machine, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { BPFFS, BpfObject, ensureBpffs, mountBpffs } from '../../../src/dataplane/kernel/libbpf.js';
import { run } from '../../../src/platform/process.js';

const FIXTURES = fileURLToPath(new URL('../fixtures/', import.meta.url));

/** Compiles `test/kernel/fixtures/NAME.bpf.c` as the set-up does with the real one; gives the object's path. */
export async function compile(t: Test, name: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'sut-bpf-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const object = join(folder, `${name}.bpf.o`);
  const include = `-I/usr/include/${machine()}-linux-gnu`;
  const flags = ['-O2', '-g', '-target', 'bpf', '-mcpu=v3', '-Wall', '-Werror', include];
  await run('clang', [...flags, '-c', join(FIXTURES, `${name}.bpf.c`), '-o', object], { timeoutMs: 60_000 });
  return object;
}

/** A fixture, opened; closed when the test ends. */
export async function open(t: Test, name: string): Promise<BpfObject> {
  const object = BpfObject.open(await compile(t, name));
  t.teardown(() => object.close());
  return object;
}

/** `ground`, loaded, after `prepare` had its say. */
export async function loaded(t: Test, prepare: (object: BpfObject) => void = () => {}): Promise<BpfObject> {
  const object = await open(t, 'ground');
  prepare(object);
  object.load();
  return object;
}

/** An Ethernet frame of no importance. */
export const FRAME = Buffer.from(Array.from({ length: 60 }, (_, index) => index));

export function key32(key: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(key);
  return buffer;
}

export function u64(value: bigint): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(value);
  return buffer;
}

/** One turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

let folders = 0;

/**
 * A folder for pins of the test's own. The BPF filesystem stays mounted: others may have pins in it by the time
 * the test ends.
 */
export async function pinFolder(t: Test): Promise<string> {
  await mountBpffs();
  folders += 1;
  const folder = `${BPFFS}/sut-${process.pid}-${folders}`;
  ensureBpffs(folder);
  t.teardown(() => rmSync(folder, { recursive: true }));
  return folder;
}
