/** A flow record of the kernel's beside the flow engine's objects: every field that both have. */
import type { Connection, Sender } from '../../../src/flow/connection.js';
import { type Flow, Mode } from '../../../src/flow/flow.js';
import {
  BROKEN_REASONS,
  CLOSE_REASONS,
  FLOW_STATES,
  type FlowReason,
  REFUSAL_REASONS,
  TEARDOWN_MODES,
} from '../../../src/flow/state.js';
import { seqAfter } from '../../../src/wire/seq.js';
import type { Field } from './abi.js';
import { insideConnection } from './inside.js';
import type { Kernel } from './kernel.js';
import { tupleBytes } from './tuples.js';

/** In the order in which abi.h numbers them, from 1. */
const REASONS: readonly FlowReason[] = [...REFUSAL_REASONS, ...BROKEN_REASONS, ...CLOSE_REASONS];

type Number32 = (of: Connection) => number;

const SENDER: Readonly<Record<string, (of: Sender) => number>> = {
  isn: (of) => of.isn,
  max: (of) => of.max,
  data_max: (of) => of.dataMax,
  ack: (of) => of.ack,
  edge: (of) => of.edge,
  tsval: (of) => of.tsval,
  tsval_at: (of) => of.tsvalAt,
  fin_end: (of) => of.finEnd,
  bytes: (of) => of.bytes,
  mss: (of) => of.mss,
  options: (of) => of.synOptions,
  scale: (of) => of.windowScale,
};

const CONNECTION: Readonly<Record<string, Number32>> = {
  packets: (of) => of.far.packets,
  told_ack: (of) => of.toldAck,
  told_edge: (of) => of.toldEdge,
  told_max: (of) => of.toldMax,
  told_tsval: (of) => of.toldTsval,
  told_shell_ack: (of) => of.toldShellAck,
  // What stitched flows hold in fields that they need no more: bpf/abi.h.
  told_shell_edge: (of) => of.askedAt ?? of.toldShellEdge,
  delta: (of) => of.delta,
  ts_delta: (of) => of.tsDelta,
  transparent_from: (of) => of.transparentFrom,
  cut: (of) => of.steeredAt ?? (of.askedAt === undefined ? of.cut : of.askedEnd),
  cut_max: (of) => {
    if (of.steeredAt !== undefined) return of.steeredSeq;
    return of.askedAt === undefined ? of.cutMax : of.askedAck;
  },
};

export function readField(record: Buffer, at: number, size: number): number {
  if (size === 8) return Number(record.readBigUInt64LE(at));
  return record.readUIntLE(at, size);
}

function isEstablished({ far, shell }: Connection): boolean {
  return seqAfter(far.ack, shell.isn) && seqAfter(shell.ack, far.isn);
}

interface Place {
  readonly name: string;
  readonly at: number;
  readonly size: number;
  readonly expected: Number32;
}

export class RecordComparison {
  private readonly places: readonly (readonly Place[])[];
  private readonly tupleAt: number;
  private readonly bitsAt: number;
  private readonly connAt: number;
  private readonly connSize: number;

  constructor(private readonly kernel: Kernel) {
    this.connAt = kernel.field('flow', 'conn').offset;
    this.connSize = kernel.abi.sizes.conn as number;
    this.tupleAt = kernel.field('conn', 'tuple').offset;
    this.bitsAt = kernel.field('conn', 'far').offset + kernel.field('sender', 'conn_bits').offset;
    this.places = [0, 1].map((inner) => this.placesOf(this.connAt + inner * this.connSize));
  }

  private placesOf(start: number): Place[] {
    const { kernel } = this;
    const found: Place[] = [];
    for (const side of ['far', 'shell'] as const) {
      const base = start + kernel.field('conn', side).offset;
      for (const [name, expected] of Object.entries(SENDER)) {
        const { offset, size } = kernel.field('sender', name);
        found.push({
          name: `${side}.${name}`,
          at: base + offset,
          size,
          expected: (of) => expected(of[side]),
        });
      }
      const bits = kernel.field('sender', 'bits');
      const expected: Number32 = (of) => this.senderBits(of[side]);
      found.push({ name: `${side}.bits`, at: base + bits.offset, size: bits.size, expected });
    }
    for (const [name, expected] of Object.entries(CONNECTION)) {
      const { offset, size } = kernel.field('conn', name);
      found.push({ name, at: start + offset, size, expected });
    }
    return found;
  }

  private senderBits(of: Sender): number {
    const bit = (name: string, is: boolean): number => (is ? this.kernel.number(`SENDER_${name}`) : 0);
    return (
      bit('SYN_SEEN', of.synSeen) |
      bit('SYN_ECN', of.synEcn) |
      bit('ACK_SEEN', of.ackSeen) |
      bit('FIN_SEEN', of.finSeen) |
      bit('HEARD', of.heard)
    );
  }

  private connBits(of: Connection): number {
    const bit = (name: string, is: boolean): number => (is ? this.kernel.number(`CONN_${name}`) : 0);
    return (
      bit('TIMESTAMPS', of.timestamps) |
      bit('SACK', of.sack) |
      bit('ECN', of.ecn) |
      bit('TOLD_ANY', insideConnection(of).toldAny) |
      bit('FIN_REPORTED', of.finReported) |
      bit('FIN_HELD', of.finHeld) |
      bit('RESET_HELD', of.resetHeld) |
      bit('FIN_SENT', of.finSent) |
      bit('RESTORED', of.flow?.restored === true) |
      bit('STEERED', of.steeredAt !== undefined) |
      bit('YIELDED', of.side === 'outer' && of.flow?.yielded === true) |
      bit('ASKED', of.askedAt !== undefined) |
      bit('RESET_BY_FAR', of.resetBy === 'far') |
      bit('RESET_BY_SHELL', of.resetBy === 'shell')
    );
  }

  /** What differs; empty when nothing does. */
  flow(record: Buffer, flow: Flow): string[] {
    const differ: string[] = [];
    const same = (name: string, expected: number): void => {
      const { offset, size } = this.kernel.field('flow', name);
      this.one(differ, name, readField(record, offset, size), expected);
    };
    same('mode', flow.mode);
    same('state', FLOW_STATES.indexOf(flow.state));
    same('reason', flow.reason === undefined ? 0 : REASONS.indexOf(flow.reason) + 1);
    same('to_shell_packets', flow.toShellPackets);
    same('to_shell_bytes', flow.toShellBytes);
    same('last_at', Math.max(flow.outer.lastPacketAt, flow.inner.lastPacketAt));
    if (flow.mode !== Mode.Relay && flow.state !== 'closed' && flow.state !== 'broken') {
      same('deadline', flow.deadline);
      same('resend_at', flow.resendAt);
      this.mode(differ, record, flow);
    }
    this.history(differ, record, flow);
    this.connection(differ, record, 'outer', flow.outer);
    this.connection(differ, record, 'inner', flow.inner);
    return differ;
  }

  private mode(differ: string[], record: Buffer, flow: Flow): void {
    const { offset, size } = this.kernel.field('flow', 'bits');
    const bits = readField(record, offset, size);
    const { teardown, resends } = flow;
    this.one(
      differ,
      'teardown',
      (bits & this.kernel.number('FLOW_TEARDOWN')) >> 2,
      TEARDOWN_MODES.indexOf(teardown),
    );
    this.one(differ, 'resends', bits >> 4, resends);
  }

  unpaired(record: Buffer, x: Connection): string[] {
    const differ: string[] = [];
    this.connection(differ, record, 'outer', x);
    return differ;
  }

  /** An event repeats what the record says once the step is over; the engine is compared with the record. */
  event(event: Buffer): string[] {
    const { kernel } = this;
    const slot = event.readUInt32LE(kernel.field('event', 'slot').offset);
    const record = kernel.recordOf(slot);
    const differ: string[] = [];
    const same = (name: string, at: number, from: Field): void => {
      const said = event.subarray(at, at + from.size);
      const is = record.subarray(from.offset, from.offset + from.size);
      if (!said.equals(is))
        differ.push(`event ${name}: ${said.toString('hex')}, record ${is.toString('hex')}`);
    };
    for (const name of ['generation', 'reason', 'to_shell_packets', 'to_shell_bytes', 'opened', 'id', 'at']) {
      same(name, kernel.field('event', name).offset, kernel.field('flow', name));
    }
    const bytes = kernel.field('conn', 'far').offset + kernel.field('sender', 'bytes').offset;
    for (const inner of [0, 1]) {
      const conn = this.connAt + inner * this.connSize;
      const packets = conn + kernel.field('conn', 'packets').offset;
      same('packets', kernel.field('event', 'packets').offset + 8 * inner, { offset: packets, size: 8 });
      same('bytes', kernel.field('event', 'bytes').offset + 8 * inner, { offset: conn + bytes, size: 8 });
    }
    return differ;
  }

  /** Each state but the first has the time of its latest beginning. */
  private history(differ: string[], record: Buffer, flow: Flow): void {
    const begin = flow.history[0]?.at ?? 0;
    const at = this.kernel.field('flow', 'at') as Field;
    for (const [i, state] of FLOW_STATES.entries()) {
      if (i === 0) continue;
      const last = flow.history.filter((entry) => entry.state === state).at(-1);
      const found = record.readUInt32LE(at.offset + 4 * (i - 1));
      this.one(differ, `at ${state}`, found, last === undefined ? 0 : last.at - begin + 1);
    }
  }

  private connection(differ: string[], record: Buffer, side: 'outer' | 'inner', x: Connection): void {
    const inner = side === 'inner' ? 1 : 0;
    for (const { name, at, size, expected } of this.places[inner] ?? []) {
      const want = size === 4 ? expected(x) >>> 0 : expected(x);
      this.one(differ, `${side}.${name}`, readField(record, at, size), want);
    }
    const base = this.connAt + inner * this.connSize;
    this.bits(differ, `${side}.bits`, record.readUInt16LE(base + this.bitsAt), x);
    const start = base + this.tupleAt;
    if (!tupleBytes(x.toShell).equals(record.subarray(start, start + 36))) differ.push(`${side}.tuple`);
  }

  /**
   * That a connection is established is noted when somebody asks, and in the engine a sweep asks more often: the note
   * may be missing on one side where what it is made of says the same.
   */
  private bits(differ: string[], name: string, found: number, x: Connection): void {
    const noted = this.kernel.number('CONN_ESTABLISHED');
    this.one(differ, name, found & ~noted, this.connBits(x));
    const kernel = (found & noted) !== 0;
    const engine: boolean = insideConnection(x).wasEstablished;
    if (kernel !== engine && !isEstablished(x))
      differ.push(`${name}: established: kernel ${kernel}, engine ${engine}`);
  }

  private one(differ: string[], name: string, kernel: number, engine: number): void {
    if (kernel !== engine) differ.push(`${name}: kernel ${kernel}, engine ${engine}`);
  }
}
