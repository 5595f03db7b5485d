/**
 * A BPF map: single elements, batches, stacks and queues.
 *
 * A `BpfMap` owns a descriptor of its own, so it outlives the object that it came from; whoever got it closes it.
 * Buffers are written and read in place: their lengths are checked at each call, because the kernel believes the
 * map's sizes and not ours. Calls on single elements allocate nothing beside what koffi needs, and take some 0.3 µs.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { SutureError } from '../../platform/errors.js';
import { BpfError, Errno } from './bpf-error.js';
import { closeDescriptor, mapInfo, openPinned, pin } from './bpf-info.js';
import { BATCH_OPTIONS, optionsBuffer } from './layouts.js';
import { libbpf } from './native.js';

/** bpf_map_type, as far as it is told apart here (linux/bpf.h). */
export const MapType = {
  Hash: 1,
  Array: 2,
  PercpuHash: 5,
  PercpuArray: 6,
  LruHash: 9,
  LruPercpuHash: 10,
  Queue: 22,
  Stack: 23,
  Ringbuf: 27,
} as const;

/** Flags of an update (BPF_ANY and so on) and, with `Lock`, of any access to values with a bpf_spin_lock. */
export const ElementFlag = { Any: 0, NoExist: 1, Exist: 2, Lock: 4 } as const;

const PERCPU_TYPES: readonly number[] = [MapType.PercpuHash, MapType.PercpuArray, MapType.LruPercpuHash];
/** Each CPU's part of a per-CPU value is rounded up to this. */
const PERCPU_ALIGN = 8;

/** How far a walk with `lookupBatch` has come. */
export interface BatchCursor {
  /** True once the last element has been given out. */
  readonly done: boolean;
}

class Cursor implements BatchCursor {
  done = false;
  started = false;
  /** Where the next batch begins: a bucket's number for hashes, a key for arrays; only the kernel reads it. */
  readonly token: Buffer;
  constructor(keySize: number) {
    this.token = Buffer.alloc(Math.max(4, keySize));
  }
}

const batchOptions = optionsBuffer(BATCH_OPTIONS);
const batchCount = Buffer.alloc(4);

export class BpfMap {
  readonly type: number;
  readonly id: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  /** What a lookup writes and an update reads: `valueSize`, or for per-CPU maps that of all CPUs. */
  readonly valueBytes: number;
  /** What one CPU's value takes of `valueBytes`. */
  readonly cpuStride: number;
  private descriptor: number;

  /** Takes over `fd`. */
  constructor(
    fd: number,
    readonly name: string,
  ) {
    this.descriptor = fd;
    const info = mapInfo(fd, `map ${name}`);
    this.type = info.type;
    this.id = info.id;
    this.keySize = info.keySize;
    this.valueSize = info.valueSize;
    this.maxEntries = info.maxEntries;
    if (PERCPU_TYPES.includes(info.type)) {
      this.cpuStride = Math.ceil(info.valueSize / PERCPU_ALIGN) * PERCPU_ALIGN;
      this.valueBytes = this.cpuStride * libbpf().libbpf_num_possible_cpus();
    } else {
      this.cpuStride = info.valueSize;
      this.valueBytes = info.valueSize;
    }
  }

  /** The map that is pinned at `path`; undefined when nothing is. */
  static fromPin(path: string): BpfMap | undefined {
    const fd = openPinned(path);
    if (fd === undefined) return undefined;
    try {
      if (!readlinkSync(`/proc/self/fd/${fd}`).includes('bpf-map')) {
        throw new SutureError('SUT_DATAPLANE_FAILED', `${path}: what is pinned there is no map`);
      }
      return new BpfMap(fd, path.slice(path.lastIndexOf('/') + 1));
    } catch (error) {
      closeDescriptor(fd);
      throw error;
    }
  }

  /** Throws once the map is closed: its number may be another file's by then. */
  get fd(): number {
    if (this.descriptor < 0) throw new SutureError('SUT_INTERNAL', `map ${this.name} is closed`);
    return this.descriptor;
  }

  /** Reads the value of `key` into the start of `into`; false when there is none. */
  lookup(key: Buffer, into: Buffer, flags = 0): boolean {
    this.fits(key, this.keySize, 'key');
    this.fits(into, this.valueBytes, 'value');
    const result = libbpf().bpf_map_lookup_elem_flags(this.fd, key, into, flags);
    return this.found(result, 'lookup');
  }

  update(key: Buffer, value: Buffer, flags: number = ElementFlag.Any): void {
    this.fits(key, this.keySize, 'key');
    this.fits(value, this.valueBytes, 'value');
    const result = libbpf().bpf_map_update_elem(this.fd, key, value, flags);
    if (result < 0) throw this.failure('update', result);
  }

  /** As `update`, but false, with nothing changed, when the key is there already. */
  insert(key: Buffer, value: Buffer): boolean {
    this.fits(key, this.keySize, 'key');
    this.fits(value, this.valueBytes, 'value');
    const result = libbpf().bpf_map_update_elem(this.fd, key, value, ElementFlag.NoExist);
    if (result === -Errno.EEXIST) return false;
    if (result < 0) throw this.failure('insert', result);
    return true;
  }

  /** False when there was no such key. */
  delete(key: Buffer): boolean {
    this.fits(key, this.keySize, 'key');
    return this.found(libbpf().bpf_map_delete_elem(this.fd, key), 'delete');
  }

  /** Puts a value on a stack or queue; fails with E2BIG when it is full. */
  push(value: Buffer, flags: number = ElementFlag.Any): void {
    this.fits(value, this.valueBytes, 'value');
    const result = libbpf().bpf_map_update_elem(this.fd, null, value, flags);
    if (result < 0) throw this.failure('push', result);
  }

  /** Takes a value off a stack or queue; false when it is empty. */
  pop(into: Buffer): boolean {
    this.fits(into, this.valueBytes, 'value');
    return this.found(libbpf().bpf_map_lookup_and_delete_elem(this.fd, null, into), 'pop');
  }

  /** The start of a walk over all elements. */
  cursor(): BatchCursor {
    return new Cursor(this.keySize);
  }

  /**
   * Reads the next elements of a walk, as many as both buffers hold, and gives their number; it can be 0 before
   * `cursor.done`. Elements that come or go meanwhile may be seen or not, those of a hash even twice. A hash needs
   * room for all elements of one bucket: ENOSPC when it is too small, and then larger buffers can go on.
   */
  lookupBatch(cursor: BatchCursor, keys: Buffer, values: Buffer, flags = 0): number {
    const walk = cursor as Cursor;
    if (walk.done) return 0;
    const room = Math.min(
      Math.floor(keys.length / this.keySize),
      Math.floor(values.length / this.valueBytes),
    );
    this.fits(keys, this.keySize, 'key');
    this.fits(values, this.valueBytes, 'value');
    batchCount.writeUInt32LE(room);
    const { token } = walk;
    const from = walk.started ? token : null;
    const options = this.batchOptions(flags);
    const result = libbpf().bpf_map_lookup_batch(this.fd, from, token, keys, values, batchCount, options);
    if (result < 0 && result !== -Errno.ENOENT) throw this.failure('lookup of a batch', result);
    walk.started = true;
    walk.done = result < 0;
    return batchCount.readUInt32LE();
  }

  /** Writes `count` elements; a failure says in `done` how many were written before it. */
  updateBatch(keys: Buffer, values: Buffer, count: number, flags: number = ElementFlag.Any): void {
    if (count === 0) return;
    this.fits(keys, count * this.keySize, 'keys');
    this.fits(values, count * this.valueBytes, 'values');
    batchCount.writeUInt32LE(count);
    const options = this.batchOptions(flags);
    const result = libbpf().bpf_map_update_batch(this.fd, keys, values, batchCount, options);
    if (result < 0) throw this.failure('update of a batch', result, batchCount.readUInt32LE());
  }

  /** Deletes `count` keys and gives the number of those that were there. */
  deleteBatch(keys: Buffer, count: number): number {
    this.fits(keys, count * this.keySize, 'keys');
    let deleted = 0;
    let next = 0;
    // The kernel stops at a key that is not there: go on behind it.
    while (next < count) {
      batchCount.writeUInt32LE(count - next);
      const rest = next === 0 ? keys : keys.subarray(next * this.keySize);
      const result = libbpf().bpf_map_delete_batch(this.fd, rest, batchCount, this.batchOptions(0));
      const done = batchCount.readUInt32LE();
      deleted += done;
      if (result === 0) break;
      if (result !== -Errno.ENOENT) throw this.failure('delete of a batch', result, deleted);
      next += done + 1;
    }
    return deleted;
  }

  pin(path: string): void {
    pin(this.fd, path, `map ${this.name}`);
  }

  /** The bytes of kernel memory that the map has, as the kernel counts them. */
  memlock(): number {
    const text = readFileSync(`/proc/self/fdinfo/${this.fd}`, 'latin1');
    return Number(/^memlock:\s*(\d+)$/m.exec(text)?.[1] ?? Number.NaN);
  }

  close(): void {
    if (this.descriptor < 0) return;
    closeDescriptor(this.descriptor);
    this.descriptor = -1;
  }

  private fits(buffer: Buffer, bytes: number, what: string): void {
    if (buffer.length >= bytes) return;
    const found = `${buffer.length} bytes of ${what} where ${bytes} are needed`;
    throw new SutureError('SUT_INTERNAL', `map ${this.name}: ${found}`);
  }

  private batchOptions(elementFlags: number): Buffer | null {
    if (elementFlags === 0) return null;
    batchOptions.writeUInt32LE(elementFlags, BATCH_OPTIONS.elem_flags);
    return batchOptions;
  }

  private found(result: number, operation: string): boolean {
    if (result === 0) return true;
    if (result === -Errno.ENOENT) return false;
    throw this.failure(operation, result);
  }

  private failure(operation: string, errno: number, done = 0): BpfError {
    return new BpfError({ subject: `map ${this.name}`, operation, errno, done });
  }
}
