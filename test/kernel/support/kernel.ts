/**
 * The kernel data path's program in its test build: the clock is a variable, and what it would send is kept in a map.
 * Runs it on single frames and requests, and reads its records.
 */
import {
  type BpfMap,
  BpfObject,
  type BpfProgram,
  type OnRecord,
  RingBuffer,
} from '../../../src/dataplane/kernel/libbpf.js';
import { OBJECT_PATH } from '../../../src/dataplane/kernel/requirements.js';
import type { OwnedPorts } from '../../../src/flow/endpoints.js';
import { addressWords } from '../../../src/wire/endpoint.js';
import type { Tuple } from '../../../src/wire/tuple.js';
import { type Abi, type Field, readAbi } from './abi.js';
import { keyOf, tupleBytes } from './tuples.js';

/** Few, so that a leak of one shows. */
const SLOTS = 16;
const ETHERNET_HEADER = 14;
/** Behind a request there is room for the largest packet that the program makes of it. */
const REQUEST_FRAME = 256;
const COUNT_AT = 8;

export const TC_ACT_UNSPEC = -1;
export const TC_ACT_SHOT = 2;

export interface Ran {
  readonly retval: number;
  /** What it sent: IP packets. */
  readonly packets: Buffer[];
}

export interface Reply {
  readonly answer: number;
  readonly slot: number;
  readonly generation: number;
  readonly state: number;
  readonly due: number;
}

export interface Request {
  readonly ask: number;
  readonly slot?: number;
  readonly generation?: number;
  readonly consumed?: readonly [number, number];
  readonly injected?: readonly [number, number];
  readonly teardown?: number;
  readonly from?: number;
  readonly outer?: Tuple;
  readonly inner?: Tuple;
}

const MAPS = [
  'flows',
  'connections',
  'free_slots',
  'owners',
  'leaders',
  'shells',
  'misses',
  'last_miss',
  'replies',
  'unpaired',
  'test_packets',
  'datagrams',
  'events',
] as const;
type MapName = (typeof MAPS)[number];

function key32(key: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(key);
  return buffer;
}

function addressKey(address: string): Buffer {
  const key = Buffer.alloc(16);
  const words = addressWords(address);
  if (!words) throw new TypeError(address);
  for (let i = 0; i < 4; i++) key.writeUInt32BE(words[i] as number, 4 * i);
  return key;
}

export interface Place {
  readonly slot: number;
  readonly inner: number;
}

export class Kernel {
  readonly maps = {} as Record<MapName, BpfMap>;
  private readonly record: Buffer;
  private readonly replyBytes: Buffer;
  private readonly bssBytes: Buffer;
  private readonly packetBytes: Buffer;
  private readonly requestFrame = Buffer.alloc(REQUEST_FRAME);
  private readonly keys = Array.from({ length: Math.max(SLOTS, 32) }, (_, i) => key32(i));
  private readonly placeBytes = Buffer.alloc(8);
  private readonly slotBytes = Buffer.alloc(4);

  private constructor(
    readonly abi: Abi,
    private readonly bss: BpfMap,
    private readonly ingress: BpfProgram,
    private readonly control: BpfProgram,
    object: BpfObject,
  ) {
    for (const name of MAPS) this.maps[name] = object.map(name);
    this.record = Buffer.alloc(this.maps.flows.valueBytes);
    this.replyBytes = Buffer.alloc(this.maps.replies.valueBytes);
    this.bssBytes = Buffer.alloc(bss.valueBytes);
    this.packetBytes = Buffer.alloc(this.maps.test_packets.valueBytes);
    for (let slot = SLOTS - 1; slot >= 0; slot--) this.maps.free_slots.push(key32(slot));
  }

  static async load(constants: Readonly<Record<string, number>> = {}): Promise<Kernel> {
    const abi = await readAbi();
    const object = BpfObject.open(OBJECT_PATH);
    try {
      object.setConstant('testing', 1);
      for (const [name, value] of Object.entries(constants)) object.setConstant(name, value);
      object.setMaxEntries('flows', SLOTS);
      object.setMaxEntries('connections', 4 * SLOTS);
      object.setMaxEntries('free_slots', SLOTS);
      object.load();
      return new Kernel(
        abi,
        object.map('.bss'),
        object.program('suture_ingress'),
        object.program('suture_control'),
        object,
      );
    } finally {
      object.close();
    }
  }

  close(): void {
    this.reader?.stop();
    for (const map of [...Object.values(this.maps), this.bss]) map.close();
    this.ingress.close();
    this.control.close();
  }

  own({ address, from, to }: OwnedPorts): void {
    const key = addressKey(address);
    const value = Buffer.alloc(this.maps.owners.valueBytes);
    this.maps.owners.lookup(key, value);
    for (let port = from; port <= to; port++)
      value[port >> 3] = (value[port >> 3] as number) | (1 << (port & 7));
    this.maps.owners.update(key, value);
    this.owned.push(key);
  }

  /** Begins to follow a leader whose way is known, or not; or leads, without `shells`. */
  follow(shells: readonly string[] | undefined, isKnown = true): void {
    const { leaders, shells: map } = this.maps;
    for (const key of this.shells.splice(0)) map.delete(key);
    // A test run's frame comes in by no interface, or by the loopback.
    for (const index of [0, 1]) leaders.delete(key32(index));
    if (!shells) return;
    for (const address of shells) {
      const key = addressKey(address);
      map.update(key, key32(1));
      this.shells.push(key);
    }
    const leader = Buffer.alloc(leaders.valueBytes);
    leader.writeUInt8(isKnown ? 1 : 0, this.field('leader', 'known').offset);
    for (const index of [0, 1]) leaders.update(key32(index), leader);
  }

  private readonly shells: Buffer[] = [];
  private readonly owned: Buffer[] = [];

  disownAll(): void {
    for (const key of this.owned.splice(0)) this.maps.owners.delete(key);
  }

  /** An Ethernet frame that comes in. */
  receive(frame: Buffer, now: number): Ran {
    return this.run(this.ingress, frame, now);
  }

  ask(request: Request, now: number): { readonly reply: Reply; readonly packets: Buffer[] } {
    const frame = this.requestFrame.fill(0);
    const at = (field: string): number => ETHERNET_HEADER + this.field('request', field).offset;
    const { ask, slot = 0, generation = 0, consumed = [0, 0], injected = [0, 0], outer, inner } = request;
    frame.writeUInt16BE(this.isIpv4(slot, outer) ? 0x0800 : 0x86dd, 12);
    frame.writeUInt32LE(ask, at('ask'));
    frame.writeUInt32LE(slot, at('slot'));
    frame.writeUInt32LE(generation, at('generation'));
    for (const i of [0, 1] as const) {
      frame.writeBigUInt64LE(BigInt(consumed[i]), at('consumed') + 8 * i);
      frame.writeBigUInt64LE(BigInt(injected[i]), at('injected') + 8 * i);
    }
    frame.writeUInt32LE(request.teardown ?? 0, at('teardown'));
    frame.writeUInt32LE(request.from ?? 0, at('from'));
    if (outer) tupleBytes(outer, frame, at('outer'));
    if (inner) tupleBytes(inner, frame, at('inner'));
    const { packets, retval } = this.run(this.control, frame, now);
    if (retval !== 0) throw new Error(`the control program gave ${retval}`);
    this.maps.replies.lookup(this.keys[0] as Buffer, this.replyBytes);
    const [answer = 0, from = 0, number = 0, state = 0, due = 0] = [0, 4, 8, 12, 16].map((i) =>
      this.replyBytes.readUInt32LE(i),
    );
    return { reply: { answer, slot: from, generation: number, state, due }, packets };
  }

  private isIpv4(slot: number, outer: Tuple | undefined): boolean {
    if (outer) return outer.isIpv4;
    const at = this.field('flow', 'conn').offset + this.field('conn', 'tuple').offset;
    return this.recordOf(slot).readUInt32BE(at + 8) === 0xffff;
  }

  field(struct: string, name: string): Field {
    const found = this.abi.structs[struct]?.[name];
    if (!found) throw new Error(`struct ${struct} has no ${name}`);
    return found;
  }

  sizeOf(struct: string): number {
    const found = this.abi.sizes[struct];
    if (found === undefined) throw new Error(`no struct ${struct} in abi.h`);
    return found;
  }

  number(name: string): number {
    const found = this.abi.numbers[name];
    if (found === undefined) throw new Error(`no ${name} in abi.h`);
    return found;
  }

  /** The flow record in a slot; overwritten by the next call. */
  recordOf(slot: number): Buffer {
    this.maps.flows.lookup(this.keys[slot] as Buffer, this.record);
    return this.record;
  }

  /** The slots in use. */
  usedSlots(): number[] {
    const { offset } = this.field('flow', 'generation');
    const slots = Array.from({ length: SLOTS }, (_, slot) => slot);
    return slots.filter((slot) => (this.recordOf(slot).readUInt32LE(offset) & 1) === 1);
  }

  generationOf(slot: number): number {
    return this.recordOf(slot).readUInt32LE(this.field('flow', 'generation').offset);
  }

  /** Where a tuple leads to; undefined when it is not known, or leads to a record of another one's. */
  placeOf(tuple: Tuple): Place | undefined {
    const bytes = tupleBytes(tuple);
    if (!this.maps.connections.lookup(keyOf(bytes), this.placeBytes)) return undefined;
    const slot = this.placeBytes.readUInt32LE(this.field('place', 'slot').offset);
    const inner = this.placeBytes.readUInt16LE(this.field('place', 'inner').offset);
    const start =
      this.field('flow', 'conn').offset + this.sizeOf('conn') * inner + this.field('conn', 'tuple').offset;
    const record = this.recordOf(slot);
    return record.subarray(start, start + bytes.length).equals(bytes) ? { slot, inner } : undefined;
  }

  /**
   * Forgets all flows; gives what is wrong if not every slot is free and every tuple gone then.
   */
  reset(): string | undefined {
    const ask = this.number('ASK_FORGET');
    for (const slot of this.usedSlots()) this.ask({ ask, slot, generation: this.generationOf(slot) }, 0);
    this.disownAll();
    this.follow(undefined);
    const count = this.unpairedCount();
    const { connections, free_slots, unpaired } = this.maps;
    const keys = Buffer.alloc(16 * 4 * SLOTS);
    const values = Buffer.alloc(8 * 4 * SLOTS);
    const left = connections.lookupBatch(connections.cursor(), keys, values);
    if (left > 0) connections.deleteBatch(keys, left);
    const free: number[] = [];
    while (free_slots.pop(this.slotBytes)) free.push(this.slotBytes.readUInt32LE());
    for (let slot = SLOTS - 1; slot >= 0; slot--) free_slots.push(this.keys[slot] as Buffer);
    unpaired.update(this.keys[0] as Buffer, this.slotBytes.fill(0));
    if (left > 0) return `${left} tuples lead to nothing`;
    if (new Set(free).size !== SLOTS || free.length !== SLOTS) return `free slots: ${free.join()}`;
    return count === 0 ? undefined : `${count} unpaired connections`;
  }

  /** Connections that belong to no flow. */
  unpairedCount(): number {
    this.maps.unpaired.lookup(this.keys[0] as Buffer, this.slotBytes);
    return this.slotBytes.readInt32LE();
  }

  /** Gives the program's events to `onRecord`, whenever `consume` is called. There is one reader at a time. */
  ring(onRecord: OnRecord): RingBuffer {
    this.reader?.stop();
    this.reader = new RingBuffer(this.maps.events, onRecord);
    this.reader.consume();
    return this.reader;
  }

  private reader: RingBuffer | undefined;

  private run(program: BpfProgram, data: Buffer, now: number): Ran {
    this.bssBytes.writeBigUInt64LE(BigInt(now), 0);
    this.bssBytes.writeUInt32LE(0, COUNT_AT);
    const zero = this.keys[0] as Buffer;
    this.bss.update(zero, this.bssBytes);
    const { retval } = program.testRun({ data });
    this.bss.lookup(zero, this.bssBytes);
    const count = this.bssBytes.readUInt32LE(COUNT_AT);
    const packets: Buffer[] = [];
    for (let i = 0; i < count; i++) {
      this.maps.test_packets.lookup(this.keys[i] as Buffer, this.packetBytes);
      const length = this.packetBytes.readUInt32LE(0);
      if (length > this.number('TEST_BYTES')) throw new Error(`a packet of ${length} bytes can't be kept`);
      packets.push(Buffer.from(this.packetBytes.subarray(4, 4 + length)));
    }
    return { retval, packets };
  }
}
