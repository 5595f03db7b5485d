/**
 * Puts flows of another switch into the kernel's maps: a free slot, the record, then the two ways to it.
 *
 * The record is whole before a packet can find it, so a packet finds either nothing or all of the flow.
 */
import type { RestoreRequest } from '../port.js';
import type { Place } from './flow-store.js';
import { keyBuffer, writeKey } from './keys.js';
import { LAYOUT } from './layout.js';
import { type BpfMap, ElementFlag } from './libbpf.js';
import { RecordView } from './records.js';
import { writeRestored } from './saved.js';

const { flow: FLOW, conn: CONN, place: PLACE } = LAYOUT;
const TUPLE_AT = [FLOW.conn + CONN.tuple, FLOW.conn + CONN.size + CONN.tuple] as const;

type Slot = Omit<Place, 'isIpv6'>;

export interface RestorerParts {
  readonly map: (name: 'flows' | 'connections' | 'free_slots') => BpfMap;
  /** Makes the program forget a record that is in the way and serves no open flow. */
  readonly forget: (at: Slot) => void;
}

export class Restorer {
  private readonly record = Buffer.alloc(LAYOUT.flow.size);
  private readonly other = new RecordView(Buffer.alloc(LAYOUT.flow.size));
  private readonly slotBytes = Buffer.alloc(4);
  private readonly place = Buffer.alloc(PLACE.size);
  private readonly keys = [keyBuffer(), keyBuffer()] as const;

  constructor(private readonly parts: RestorerParts) {}

  /** Undefined when its tuples are an open flow's, or no slot is free. */
  restore(flow: RestoreRequest, now: number, epochOffset: number): Place | undefined {
    const { record, slotBytes } = this;
    const isIpv6 = writeRestored(record, flow, { generation: 0, now, epochOffset });
    if (!this.parts.map('free_slots').pop(slotBytes)) return undefined;
    const slot = slotBytes.readUInt32LE();
    const flows = this.parts.map('flows');
    flows.lookup(slotBytes, this.other.bytes, ElementFlag.Lock);
    // Odd while the record is in use, as the program counts it; a free one's is even.
    const generation = (this.other.generation + 1) >>> 0;
    record.writeUInt32LE(generation, FLOW.generation);
    flows.update(slotBytes, record, ElementFlag.Lock);
    for (const [inner, key] of this.keys.entries()) {
      writeKey(key, record, TUPLE_AT[inner] as number);
      if (this.enter(key, { slot, generation }, inner)) continue;
      this.parts.forget({ slot, generation });
      return undefined;
    }
    return { slot, generation, isIpv6 };
  }

  /** False when an open flow has the key. Nearly always nobody has it, so that is tried first. */
  private enter(key: Buffer, at: Slot, inner: number): boolean {
    const connections = this.parts.map('connections');
    if (connections.insert(key, this.placeOf(at, inner))) return true;
    return this.clear(key) && connections.insert(key, this.placeOf(at, inner));
  }

  private placeOf({ slot, generation }: Slot, inner: number): Buffer {
    const { place } = this;
    place.writeUInt32LE(slot, PLACE.slot);
    place.writeUInt16LE(generation & 0xffff, PLACE.generation);
    place.writeUInt16LE(inner, PLACE.inner);
    return place;
  }

  /** False when an open flow has it. */
  private clear(key: Buffer): boolean {
    const { other, place } = this;
    if (!this.parts.map('connections').lookup(key, place)) return true;
    const slot = place.readUInt32LE(PLACE.slot);
    this.slotBytes.writeUInt32LE(slot);
    this.parts.map('flows').lookup(this.slotBytes, other.bytes, ElementFlag.Lock);
    const { generation } = other;
    const isItsOwn = other.used && (generation & 0xffff) === place.readUInt16LE(PLACE.generation);
    if (isItsOwn) {
      const isOver = other.state === 'closed' || other.state === 'broken';
      if (other.paired && !isOver) return false;
      this.parts.forget({ slot, generation });
    }
    this.parts.map('connections').delete(key);
    return true;
  }
}
