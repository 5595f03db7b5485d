/**
 * Flows that nobody has: entries in the tables of a running switch's data path, to see what a full table costs.
 *
 * The one place that knows how they are made: on the kernel path straight into the pinned maps. The userspace data path
 * keeps its flows in the engine and has no way to put any there, so `scale` measures one flow.
 */
import { statSync } from 'node:fs';
import { FlowBit, LAYOUT } from '#suture/dataplane/kernel/layout.js';
import { BPFFS, BpfMap } from '#suture/dataplane/kernel/libbpf.js';
import type { ConfigObject } from '#suture/lab/stage.js';
import { systemClock } from '#suture/platform/clock.js';
import type { Lab } from './labs.js';

export interface SyntheticFlows {
  /** Adds as many, none of which any packet belongs to. The time is that of the insertion alone. */
  insertSynthetic(count: number): Promise<{ readonly seconds: number }>;
  /** What the kernel holds for the data path's flows, and for how many there is room. */
  kernelMemory(): Promise<{ readonly bytes: number; readonly flows: number }>;
}

/** What a switch needs in its config to take a million of them. */
export const SYNTHETIC_CONFIG: ConfigObject = { limits: { flows: 1_048_576 } };

const BATCH = 4096;
const KEY_BYTES = 16;
const PLACE_BYTES = 8;
const DIRECT = 3;
const STITCHED = 4;
const IPV4_KEY = 4;

/** Undefined when this data path has no such thing. */
export async function syntheticFlows(lab: Lab, dataplane: string): Promise<SyntheticFlows | undefined> {
  if (dataplane !== 'kernel') return undefined;
  const namespace = statSync(`/run/netns/${lab.prefix}-s`).ino;
  const pinned = (name: string): BpfMap => {
    const map = BpfMap.fromPin(`${BPFFS}/suture/${lab.prefix}-${namespace}/${name}`);
    if (!map) throw new Error(`the switch ${lab.prefix} has no map ${name} pinned`);
    return map;
  };
  const maps = [pinned('flows'), pinned('connections'), pinned('free_slots')] as const;
  let serial = 0;
  return {
    insertSynthetic: async (count) => {
      const from = systemClock.monotonic();
      for (let left = count; left > 0; left -= BATCH) {
        insert(maps, serial, Math.min(left, BATCH));
        serial += Math.min(left, BATCH);
      }
      return { seconds: (systemClock.monotonic() - from) / 1000 };
    },
    kernelMemory: async () => ({
      bytes: maps.reduce((sum, map) => sum + map.memlock(), 0),
      flows: maps[0].maxEntries,
    }),
  };
}

/** A batch of stitched flows between addresses of 198.18.0.0/15, which are for benchmarks (RFC 2544). */
function insert([flows, connections, free]: readonly BpfMap[], serial: number, count: number): void {
  if (!flows || !connections || !free) return;
  const { flow: FLOW, conn: CONN, tuple: TUPLE } = LAYOUT;
  const slots = Buffer.alloc(4 * count);
  const records = Buffer.alloc(FLOW.size * count);
  const keys = Buffer.alloc(2 * KEY_BYTES * count);
  const places = Buffer.alloc(2 * PLACE_BYTES * count);
  for (let i = 0; i < count; i++) {
    const slot = slots.subarray(4 * i, 4 * i + 4);
    if (!free.pop(slot)) throw new Error('the table has no room for so many flows');
    const record = records.subarray(FLOW.size * i, FLOW.size * (i + 1));
    record[FLOW.mode] = DIRECT;
    record[FLOW.state] = STITCHED;
    record[FLOW.bits] = FlowBit.Paired;
    record.writeUInt32LE(1, FLOW.generation);
    record.write(`s${serial + i}`, FLOW.id, 'latin1');
    for (const inner of [0, 1] as const) {
      const tuple = FLOW.conn + inner * CONN.size + CONN.tuple;
      const far = 0xc6120000 + ((serial + i) >>> 4);
      const ports = (((serial + i) & 15) + 1024) * 65536 + 8000 + inner;
      record.writeUInt32BE(0xffff, tuple + TUPLE.source + 8);
      record.writeUInt32BE(far, tuple + TUPLE.source + 12);
      record.writeUInt32BE(0xffff, tuple + TUPLE.destination + 8);
      record.writeUInt32BE(0xc613ffff, tuple + TUPLE.destination + 12);
      record.writeUInt32BE(ports, tuple + TUPLE.ports);
      const key = KEY_BYTES * (2 * i + inner);
      keys.writeUInt32BE(far, key);
      keys.writeUInt32BE(0xc613ffff, key + 4);
      keys.writeUInt32BE(ports, key + 8);
      keys.writeUInt32LE(IPV4_KEY, key + 12);
      const place = PLACE_BYTES * (2 * i + inner);
      slot.copy(places, place);
      places.writeUInt16LE(1, place + 4);
      places.writeUInt16LE(inner, place + 6);
    }
  }
  flows.updateBatch(slots, records, count);
  connections.updateBatch(keys, places, 2 * count);
}
