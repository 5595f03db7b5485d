/** Reads what the kernel's program keeps: flow records, each as of one moment, and counters summed over processors. */
import { COUNTERS, LAYOUT } from './layout.js';
import { type BpfMap, ElementFlag } from './libbpf.js';
import type { KernelProgram } from './program.js';
import { RecordView } from './records.js';

/** Records that are read in one call. */
const BATCH = 512;

export class RecordReader {
  private readonly key = Buffer.alloc(4);
  private readonly record = new RecordView(Buffer.alloc(LAYOUT.flow.size));
  private readonly flows: BpfMap;
  private readonly counts: BpfMap;
  private readonly values: Buffer;

  constructor(program: KernelProgram) {
    this.flows = program.map('flows');
    this.counts = program.map('counters');
    this.values = Buffer.alloc(this.counts.valueBytes);
  }

  /** The record in a slot; valid until the next one is read. */
  read(slot: number): RecordView {
    this.key.writeUInt32LE(slot);
    this.flows.lookup(this.key, this.record.bytes, ElementFlag.Lock);
    return this.record;
  }

  /** All records, in the order of their slots, many in a call; each is valid for the time of `look`. */
  each(look: (record: RecordView, slot: number) => void): void {
    const { flows } = this;
    const keys = Buffer.alloc(BATCH * flows.keySize);
    const values = Buffer.alloc(BATCH * flows.valueBytes);
    const views = Array.from(
      { length: BATCH },
      (_, i) => new RecordView(values.subarray(i * flows.valueBytes, (i + 1) * flows.valueBytes)),
    );
    for (const cursor = flows.cursor(); !cursor.done; ) {
      const count = flows.lookupBatch(cursor, keys, values, ElementFlag.Lock);
      for (let i = 0; i < count; i++) look(views[i] as RecordView, keys.readUInt32LE(i * flows.keySize));
    }
  }

  counters(): Record<string, number> {
    return Object.fromEntries(COUNTERS.map((name, i) => [name, this.counter(i)]));
  }

  private counter(index: number): number {
    const { counts, key, values } = this;
    key.writeUInt32LE(index);
    counts.lookup(key, values);
    let sum = 0;
    for (let at = 0; at < counts.valueBytes; at += counts.cpuStride)
      sum += Number(values.readBigUInt64LE(at));
    return sum;
  }
}
