/** Flow records, events and requests of the kernel path, from bytes and to bytes. */
import type { ConnectionEndpoints, StitchOffsets } from '../../flow/endpoints.js';
import type { Mode } from '../../flow/flow.js';
import {
  BROKEN_REASONS,
  CLOSE_REASONS,
  FLOW_STATES,
  type FlowReason,
  type FlowState,
  REFUSAL_REASONS,
  TEARDOWN_MODES,
  type TeardownMode,
} from '../../flow/state.js';
import { destinationOf, sourceOf, writeAddress } from '../../wire/endpoint.js';
import { TUPLE_WORDS, Tuple } from '../../wire/tuple.js';
import type { FlowEvent, FlowSnapshot, SegmentFacts } from '../port.js';
import {
  ConnBit,
  EventKind,
  FLOW_TEARDOWN,
  FLOW_TEARDOWN_SHIFT,
  FlowBit,
  ID_BYTES,
  LAYOUT,
  SenderBit,
  TIMED_STATES,
} from './layout.js';

const { flow: FLOW, conn: CONN, sender: SENDER, event: EVENT, request: REQUEST, tuple: TUPLE } = LAYOUT;

/** Numbered from 1 as in `bpf/abi.h`. */
const REASONS: readonly (FlowReason | undefined)[] = [
  undefined,
  ...REFUSAL_REASONS,
  ...BROKEN_REASONS,
  ...CLOSE_REASONS,
];

/** A flow record as it was read; valid until the buffer is read into again. */
export class RecordView {
  constructor(readonly bytes: Buffer) {}

  get used(): boolean {
    return (this.generation & 1) === 1;
  }
  get paired(): boolean {
    return (this.bytes.readUInt8(FLOW.bits) & FlowBit.Paired) !== 0;
  }
  get generation(): number {
    return this.bytes.readUInt32LE(FLOW.generation);
  }
  get mode(): Mode {
    return this.bytes.readUInt8(FLOW.mode) as Mode;
  }
  get state(): FlowState {
    return FLOW_STATES[this.bytes.readUInt8(FLOW.state)] as FlowState;
  }
  get reason(): FlowReason | undefined {
    return REASONS[this.bytes.readUInt8(FLOW.reason)];
  }
  get id(): string {
    return readId(this.bytes, FLOW.id);
  }
  get teardown(): TeardownMode {
    const mode = (this.bytes.readUInt8(FLOW.bits) & FLOW_TEARDOWN) >> FLOW_TEARDOWN_SHIFT;
    return TEARDOWN_MODES[mode] as TeardownMode;
  }
  /** When the last packet passed, in milliseconds of the kernel's clock modulo 2³². */
  get lastAt(): number {
    return this.bytes.readUInt32LE(FLOW.last_at);
  }
  finSeen(conn: 0 | 1): boolean {
    return (this.bytes.readUInt8(this.conn(conn) + CONN.far + SENDER.bits) & SenderBit.FinSeen) !== 0;
  }
  established(conn: 0 | 1): boolean {
    return (this.connBits(conn) & ConnBit.Established) !== 0;
  }
  /** Something is held, or went on and is not acknowledged yet: the flow is to be ticked. */
  get holds(): boolean {
    const bits = ConnBit.FinHeld | ConnBit.ResetHeld | ConnBit.FinSent;
    return ([0, 1] as const).some((conn) => (this.connBits(conn) & bits) !== 0);
  }
  private connBits(conn: 0 | 1): number {
    return this.bytes.readUInt16LE(this.conn(conn) + CONN.far + SENDER.conn_bits);
  }
  get isIpv6(): boolean {
    return !readTuple(this.bytes, this.conn(0) + CONN.tuple).isIpv4;
  }
  endpoints(conn: 0 | 1): ConnectionEndpoints {
    const tuple = readTuple(this.bytes, this.conn(conn) + CONN.tuple);
    return { local: destinationOf(tuple), remote: sourceOf(tuple) };
  }

  /** `epochOffset`: wall-clock milliseconds at the kernel clock's 0. */
  snapshot(epochOffset: number): FlowSnapshot {
    const { bytes, reason } = this;
    const counters = (conn: 0 | 1) => ({
      packets: Number(bytes.readBigUInt64LE(this.conn(conn) + CONN.packets)),
      bytes: Number(bytes.readBigUInt64LE(this.conn(conn) + CONN.far + SENDER.bytes)),
    });
    return {
      id: this.id,
      state: this.state,
      ...(reason && { reason }),
      up: counters(0),
      down: counters(1),
      toShellStitched: {
        packets: bytes.readUInt32LE(FLOW.to_shell_packets),
        bytes: bytes.readUInt32LE(FLOW.to_shell_bytes),
      },
      history: readHistory(bytes, FLOW.opened, FLOW.at, epochOffset),
    };
  }

  private conn(conn: 0 | 1): number {
    return FLOW.conn + conn * CONN.size;
  }
}

export interface KernelEvent {
  readonly slot: number;
  readonly generation: number;
  readonly event: FlowEvent;
}

/** An event record; undefined for a kind that this version doesn't know. */
export function readEvent(bytes: Buffer, epochOffset: number): KernelEvent | undefined {
  const kind = bytes.readUInt8(EVENT.kind);
  if (kind > EventKind.Rst) return undefined;
  const state = FLOW_STATES[bytes.readUInt8(EVENT.state)] as FlowState;
  const reason = REASONS[bytes.readUInt8(EVENT.reason)];
  const from = ([undefined, 'peer', 'core'] as const)[bytes.readUInt8(EVENT.from)];
  const counters = (i: number) => ({
    packets: Number(bytes.readBigUInt64LE(EVENT.packets + 8 * i)),
    bytes: Number(bytes.readBigUInt64LE(EVENT.bytes + 8 * i)),
  });
  return {
    slot: bytes.readUInt32LE(EVENT.slot),
    generation: bytes.readUInt32LE(EVENT.generation),
    event: {
      kind: (['state', 'fin', 'rst'] as const)[kind] ?? 'state',
      ...(from && { from, segment: readSegmentFacts(bytes) }),
      ...(bytes.readUInt8(EVENT.held) !== 0 && { held: true }),
      flow: {
        id: readId(bytes, EVENT.id),
        state,
        ...(reason && { reason }),
        up: counters(0),
        down: counters(1),
        toShellStitched: {
          packets: bytes.readUInt32LE(EVENT.to_shell_packets),
          bytes: bytes.readUInt32LE(EVENT.to_shell_bytes),
        },
        history: readHistory(bytes, EVENT.opened, EVENT.at, epochOffset),
      },
    },
  };
}

/** A packet that found no copy of its flow. */
export function isMiss(bytes: Buffer): boolean {
  return bytes.readUInt8(EVENT.kind) === EventKind.Miss;
}

function readSegmentFacts(bytes: Buffer): SegmentFacts {
  return {
    seq: bytes.readUInt32LE(EVENT.seq),
    ack: bytes.readUInt32LE(EVENT.ack),
    flags: bytes.readUInt8(EVENT.flags),
    window: bytes.readUInt16LE(EVENT.window),
    payloadLength: bytes.readUInt32LE(EVENT.payload_length),
  };
}

function readHistory(
  bytes: Buffer,
  openedAt: number,
  timesAt: number,
  epochOffset: number,
): FlowSnapshot['history'] {
  // Negative where the flow is older than this machine's last start.
  const opened = Number(bytes.readBigInt64LE(openedAt)) + epochOffset;
  const steps = [{ state: FLOW_STATES[0] as FlowState, at: Math.round(opened) }];
  for (let i = 0; i < TIMED_STATES; i++) {
    const after = bytes.readUInt32LE(timesAt + 4 * i);
    // 0 is never; times are held plus 1.
    if (after > 0) steps.push({ state: FLOW_STATES[i + 1] as FlowState, at: Math.round(opened + after - 1) });
  }
  return steps.sort((a, b) => a.at - b.at);
}

function readId(bytes: Buffer, at: number): string {
  const end = bytes.indexOf(0, at);
  return bytes.toString('latin1', at, end < 0 || end > at + ID_BYTES ? at + ID_BYTES : end);
}

function readTuple(bytes: Buffer, at: number): Tuple {
  const tuple = new Tuple();
  for (let i = 0; i < TUPLE_WORDS; i++) tuple.words[i] = bytes.readUInt32BE(at + 4 * i);
  return tuple;
}

/** The tuple of packets from the far end to the shell. Gives whether it is IPv4. */
export function writeEndpoints(bytes: Buffer, at: number, { local, remote }: ConnectionEndpoints): boolean {
  bytes.writeUInt16BE(remote.port, at + TUPLE.ports);
  bytes.writeUInt16BE(local.port, at + TUPLE.ports + 2);
  writeAddress(bytes, local.address, at + TUPLE.destination);
  return writeAddress(bytes, remote.address, at + TUPLE.source);
}

/** In `consumed` and `injected` the peer comes first, then the core. */
export function writeOffsets(bytes: Buffer, at: number, offsets: StitchOffsets): void {
  bytes.writeBigUInt64LE(BigInt(offsets.consumedFromPeer), at + REQUEST.consumed);
  bytes.writeBigUInt64LE(BigInt(offsets.consumedFromCore), at + REQUEST.consumed + 8);
  bytes.writeBigUInt64LE(BigInt(offsets.injectedToPeer), at + REQUEST.injected);
  bytes.writeBigUInt64LE(BigInt(offsets.injectedToCore), at + REQUEST.injected + 8);
}
