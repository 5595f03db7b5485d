/** Stitched flows out of the kernel's records and into them: `src/flow/restore.ts` on the layout of `bpf/abi.h`. */
import { Mode } from '../../flow/flow.js';
import { isSavable, restoredTeardown, type SavedConnection, type SavedFlow } from '../../flow/restore.js';
import { FLOW_STATES, TEARDOWN_MODES } from '../../flow/state.js';
import type { RestoreRequest } from '../port.js';
import { ConnBit, FLOW_TEARDOWN_SHIFT, FlowBit, LAYOUT, SenderBit } from './layout.js';
import { type RecordView, writeEndpoints } from './records.js';

const { flow: FLOW, conn: CONN, sender: SENDER } = LAYOUT;

/** Undefined for a flow that another switch can't go on with. */
export function savedOf(record: RecordView): SavedFlow | undefined {
  if (!isSavable(record)) return undefined;
  return { outer: readConnection(record.bytes, 0), inner: readConnection(record.bytes, 1) };
}

function readConnection(bytes: Buffer, conn: 0 | 1): SavedConnection {
  const at = FLOW.conn + conn * CONN.size;
  const [far, shell] = [at + CONN.far, at + CONN.shell];
  const bits = bytes.readUInt16LE(far + SENDER.conn_bits);
  const word = (from: number, offset: number): number => bytes.readUInt32LE(from + offset);
  const hasFin = (bytes.readUInt8(far + SENDER.bits) & SenderBit.FinSeen) !== 0;
  return {
    delta: word(at, CONN.delta),
    tsDelta: word(at, CONN.ts_delta),
    farScale: bytes.readUInt8(far + SENDER.scale),
    shellScale: bytes.readUInt8(shell + SENDER.scale),
    farMss: bytes.readUInt16LE(far + SENDER.mss),
    shellMss: bytes.readUInt16LE(shell + SENDER.mss),
    timestamps: (bits & ConnBit.Timestamps) !== 0,
    sack: (bits & ConnBit.Sack) !== 0,
    ecn: (bits & ConnBit.Ecn) !== 0,
    ...(hasFin && { finEnd: word(far, SENDER.fin_end) }),
    farMax: word(far, SENDER.max),
    farAck: word(far, SENDER.ack),
    toldAck: word(at, CONN.told_ack),
  };
}

export interface WriteOptions {
  readonly generation: number;
  /** Milliseconds of the kernel's clock. */
  readonly now: number;
  /** Wall-clock milliseconds at the kernel clock's 0. */
  readonly epochOffset: number;
}

/** The whole record of a restored flow. Gives whether it is IPv6. */
export function writeRestored(bytes: Buffer, flow: RestoreRequest, options: WriteOptions): boolean {
  const { id, past, saved, teardown } = flow;
  bytes.fill(0);
  bytes.writeUInt8(Mode.Direct, FLOW.mode);
  bytes.writeUInt8(FLOW_STATES.indexOf(past.state), FLOW.state);
  const mode = TEARDOWN_MODES.indexOf(restoredTeardown(saved, teardown));
  bytes.writeUInt8(FlowBit.Paired | (mode << FLOW_TEARDOWN_SHIFT), FLOW.bits);
  bytes.writeUInt32LE(Math.floor(options.now) >>> 0, FLOW.last_at);
  bytes.writeUInt32LE(options.generation >>> 0, FLOW.generation);
  bytes.write(id, FLOW.id, 'latin1');
  writeHistory(bytes, past.history, options.epochOffset);
  const isIpv4 = writeEndpoints(bytes, FLOW.conn + CONN.tuple, flow.outer);
  writeEndpoints(bytes, FLOW.conn + CONN.size + CONN.tuple, flow.inner);
  writeConnection(bytes, 0, saved.outer, past.up);
  writeConnection(bytes, 1, saved.inner, past.down);
  return !isIpv4;
}

function writeHistory(bytes: Buffer, history: RestoreRequest['past']['history'], epochOffset: number): void {
  const opened = Math.round((history[0]?.at ?? 0) - epochOffset);
  // Negative where that was before this machine was started.
  writeInt64(bytes, opened, FLOW.opened);
  for (const { state, at } of history) {
    const i = FLOW_STATES.indexOf(state) - 1;
    if (i < 0) continue;
    const after = Math.max(0, Math.round(at - epochOffset) - opened);
    bytes.writeUInt32LE((after + 1) >>> 0, FLOW.at + 4 * i);
  }
}

function writeConnection(
  bytes: Buffer,
  conn: 0 | 1,
  saved: SavedConnection,
  { packets, bytes: count }: { readonly packets: number; readonly bytes: number },
): void {
  const at = FLOW.conn + conn * CONN.size;
  const [far, shell] = [at + CONN.far, at + CONN.shell];
  const hasFin = saved.finEnd !== undefined;
  const bits =
    ConnBit.Established |
    ConnBit.Restored |
    (saved.timestamps ? ConnBit.Timestamps : 0) |
    (saved.sack ? ConnBit.Sack : 0) |
    (saved.ecn ? ConnBit.Ecn : 0) |
    (hasFin ? ConnBit.FinReported : 0);
  bytes.writeUInt16LE(bits, far + SENDER.conn_bits);
  writeInt64(bytes, packets, at + CONN.packets);
  writeInt64(bytes, count, far + SENDER.bytes);
  bytes.writeUInt32LE(saved.delta, at + CONN.delta);
  bytes.writeUInt32LE(saved.tsDelta, at + CONN.ts_delta);
  bytes.writeUInt32LE(saved.toldAck, at + CONN.told_ack);
  bytes.writeUInt32LE(saved.farMax, far + SENDER.max);
  bytes.writeUInt32LE(saved.farAck, far + SENDER.ack);
  bytes.writeUInt32LE(saved.finEnd ?? 0, far + SENDER.fin_end);
  bytes.writeUInt16LE(saved.farMss, far + SENDER.mss);
  bytes.writeUInt16LE(saved.shellMss, shell + SENDER.mss);
  bytes.writeUInt8(saved.farScale, far + SENDER.scale);
  bytes.writeUInt8(saved.shellScale, shell + SENDER.scale);
  bytes.writeUInt8(SenderBit.SynSeen | (hasFin ? SenderBit.FinSeen : 0), far + SENDER.bits);
  bytes.writeUInt8(SenderBit.SynSeen, shell + SENDER.bits);
}

/** A whole number of up to 53 bits; no BigInt is made for it. */
function writeInt64(bytes: Buffer, value: number, at: number): void {
  bytes.writeUInt32LE(value >>> 0, at);
  bytes.writeInt32LE(Math.floor(value / 2 ** 32), at + 4);
}
