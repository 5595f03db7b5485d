/** Drives a flow engine by hand: segments by name and stream offset, and what comes out as short text. */
import { type EngineOptions, FlowEngine, Verdict } from '../../src/flow/engine.js';
import type { FlowState, TeardownMode } from '../../src/flow/state.js';
import { tupleOf } from '../../src/wire/endpoint.js';
import { OptionBit, TcpFlag, TcpSegment } from '../../src/wire/segment.js';
import { seqAdd, seqDiff, seqNum } from '../../src/wire/seq.js';
import type { Tuple } from '../../src/wire/tuple.js';

const E = { address: '10.1.0.2', port: 40000 };
const A = { address: '10.2.0.2', port: 8080 };
const A1 = { address: '10.2.0.2', port: 20000 };
const B = { address: '10.3.0.2', port: 8080 };
export const OUTER = { local: A, remote: E };
export const INNER = { local: A1, remote: B };
export const NO_OFFSETS = { consumedFromPeer: 0, injectedToCore: 0, consumedFromCore: 0, injectedToPeer: 0 };

/** Packets are named by who sends them: the peer, the shell on either connection, the core. */
export type From = 'E' | 'A>E' | 'A>B' | 'B';
export const TUPLES: Record<From, Tuple> = {
  E: tupleOf(E, A),
  'A>E': tupleOf(A, E),
  'A>B': tupleOf(A1, B),
  B: tupleOf(B, A1),
};
/** Initial sequence numbers; two of them wrap within a few hundred bytes. */
export const ISN: Record<From, number> = { E: 0xffffff00, 'A>E': 5000, 'A>B': 0xfffffff0, B: 20000 };
const OTHER: Record<From, From> = { E: 'A>E', 'A>E': 'E', 'A>B': 'B', B: 'A>B' };
const WHERE: Record<From, string> = { E: 'A(outer)', 'A>E': 'E', 'A>B': 'B', B: 'A(inner)' };

export interface Given {
  /** Stream offset of the first byte; -1 is the SYN's own number. */
  readonly seq?: number;
  /** Stream offset acknowledged; left out, the segment has no ACK flag. */
  readonly ack?: number;
  readonly len?: number;
  readonly flags?: number;
  readonly window?: number;
  readonly tsval?: number;
  readonly tsecr?: number;
  readonly sack?: readonly (readonly [number, number])[];
}

export interface DriverOptions {
  readonly engine?: Partial<EngineOptions>;
  readonly timestamps?: boolean;
  readonly teardown?: TeardownMode;
  readonly sack?: boolean;
  readonly scale?: Partial<Record<From, number>>;
  readonly mss?: Partial<Record<From, number>>;
}

export class Driver {
  readonly engine: FlowEngine;
  readonly events: string[] = [];
  now = 1000;
  private isn: Readonly<Record<From, number>> = ISN;

  constructor(private readonly options: DriverOptions = {}) {
    this.engine = new FlowEngine({ ...options.engine }, (flow, kind, from) => {
      this.events.push(kind === 'state' ? flow.state : `${kind} ${from}`);
    });
    this.engine.own({ address: A.address, from: A.port, to: A.port });
    this.engine.own({ address: A.address, from: 20000, to: 20009 });
  }

  get teardown(): TeardownMode {
    return this.options.teardown ?? 'core';
  }

  get state(): FlowState | 'gone' {
    return this.engine.flow('f')?.state ?? 'gone';
  }

  /** From here on, other initial sequence numbers. */
  restart(isn: Partial<Record<From, number>>): void {
    this.isn = { ...ISN, ...isn };
  }

  /** A segment as it stands on the wire. */
  segment(from: From, given: Given): TcpSegment {
    const { seq = 0, ack, len = 0, flags = 0, window = 60000, tsval, tsecr = 0, sack = [] } = given;
    const segment = new TcpSegment();
    segment.seq = seqAdd(seqNum(this.isn[from]), seq + 1);
    segment.flags = flags;
    if (ack !== undefined) {
      segment.flags |= TcpFlag.Ack;
      segment.ack = seqAdd(seqNum(this.isn[OTHER[from]]), ack + 1);
    }
    segment.payloadLength = len;
    segment.window = window;
    if (tsval !== undefined) {
      segment.options |= OptionBit.Timestamps;
      segment.tsval = tsval;
      segment.tsecr = tsecr;
    }
    if (sack.length > 0) segment.options |= OptionBit.Sack;
    segment.sackCount = sack.length;
    for (const [i, [left, right]] of sack.entries()) {
      segment.sackLeft[i] = seqAdd(seqNum(this.isn[OTHER[from]]), left + 1);
      segment.sackRight[i] = seqAdd(seqNum(this.isn[OTHER[from]]), right + 1);
    }
    return segment;
  }

  /** Sends it through the engine and tells what came out. */
  send(from: From, given: Given): string {
    const segment = this.segment(from, given);
    const verdict = this.engine.receive(TUPLES[from], segment, this.now);
    if (verdict === Verdict.Host) return 'host';
    if (verdict === Verdict.Pass) return 'pass';
    return this.emitted(segment);
  }

  tick(ms: number): string {
    this.now += ms;
    this.engine.tick(this.now);
    return this.emitted(undefined);
  }

  /** The outbox: `to seq+len ack flags`, in stream offsets of the connection that it goes out on. */
  emitted(received: TcpSegment | undefined): string {
    const parts: string[] = [];
    for (let i = 0; i < this.engine.outbox.count; i++) {
      const { tuple, segment, made } = this.engine.outbox.at(i);
      const as = (Object.keys(TUPLES) as From[]).find((name) => TUPLES[name].equals(tuple));
      if (!as) throw new Error('a segment for none of the four');
      if (received && segment.payloadLength > received.payloadLength)
        throw new Error('more payload than was received');
      const seq = seqDiff(segment.seq, seqAdd(seqNum(this.isn[as]), 1));
      const ack = seqDiff(segment.ack, seqAdd(seqNum(this.isn[OTHER[as]]), 1));
      const flags = flagText(segment.flags);
      const ackText = segment.has(TcpFlag.Ack) ? ` ack ${ack}` : '';
      const payload = segment.payloadLength ? `+${segment.payloadLength}` : '';
      parts.push(`${made ? 'made ' : ''}${WHERE[as]} ${seq}${payload}${ackText}${flags}`);
    }
    return parts.length === 0 ? 'swallowed' : parts.join(' | ');
  }

  private syn(from: From, isAnswer: boolean): void {
    const { timestamps = true, sack = true, scale = {}, mss = {} } = this.options;
    const segment = this.segment(from, isAnswer ? { seq: -1, ack: 0 } : { seq: -1 });
    segment.flags |= TcpFlag.Syn;
    segment.options = OptionBit.Mss | OptionBit.WindowScale;
    segment.mss = mss[from] ?? 1460;
    segment.windowScale = scale[from] ?? 0;
    segment.window = 60000;
    if (sack) segment.options |= OptionBit.SackPermitted;
    if (timestamps) segment.options |= OptionBit.Timestamps;
    segment.tsval = timestamps ? 100 : 0;
    this.engine.receive(TUPLES[from], segment, this.now);
  }

  private ts(): Partial<Given> {
    return this.options.timestamps === false ? {} : { tsval: 110, tsecr: 100 };
  }

  /** The peer's handshake. */
  openUnpaired(): this {
    this.syn('E', false);
    this.syn('A>E', true);
    this.send('E', { ack: 0, ...this.ts() });
    return this;
  }

  /** The peer's handshake and the pairing. */
  openOuter(): this {
    this.openUnpaired();
    this.engine.pair('f', OUTER, INNER, this.now);
    return this;
  }

  /** The handshake with the core. */
  openInner(): this {
    this.syn('A>B', false);
    this.syn('B', true);
    this.send('A>B', { ack: 0, ...this.ts() });
    return this;
  }

  open(): this {
    return this.openOuter().openInner();
  }

  enable(): this {
    this.engine.enable('f', NO_OFFSETS, this.now, this.options.teardown);
    return this;
  }

  /** An agent lets go on what is held of an end's. */
  proceed(from: 'peer' | 'core'): string {
    this.engine.proceed('f', from, this.now);
    return this.emitted(undefined);
  }

  /** 100 bytes from E, acknowledged and relayed by the shell, and 50 more that it only acknowledged. */
  holdBytes(): this {
    const ts = this.ts();
    this.send('E', { seq: 0, ack: 0, len: 100, ...ts });
    this.send('A>E', { seq: 0, ack: 100, ...ts });
    this.send('A>B', { seq: 0, ack: 0, len: 100, ...ts });
    this.send('B', { seq: 0, ack: 100, ...ts });
    this.send('E', { seq: 100, ack: 0, len: 50, ...ts });
    this.send('A>E', { seq: 0, ack: 150, ...ts });
    return this;
  }

  /** Leads a flow to a state; the shell holds 50 bytes of E's up to the cut at offset 150. */
  reach(state: FlowState): this {
    const ts = this.ts();
    if (state === 'watched') return this.openOuter();
    this.open().holdBytes();
    if (state === 'relayed') return this;
    if (state === 'refused') {
      this.engine.enable('f', { ...NO_OFFSETS, consumedFromPeer: 5000 }, this.now);
      return this;
    }
    if (state === 'clamping') {
      // A window that the core can't match keeps the clamp waiting.
      this.send('A>E', { seq: 0, ack: 150, window: 65535, ...ts });
      return this.enable();
    }
    this.enable();
    if (state === 'cutting') return this;
    if (state === 'broken') {
      this.send('A>B', { seq: 100, ack: 0, flags: TcpFlag.Rst });
      return this;
    }
    this.send('A>B', { seq: 100, ack: 0, len: 50, ...ts });
    this.send('B', { seq: 0, ack: 150, ...ts });
    if (state === 'stitched') return this;
    this.send('E', { seq: 150, ack: 0, flags: TcpFlag.Fin, ...ts });
    if (state === 'closing') return this;
    this.send('B', { seq: 0, ack: 151, flags: TcpFlag.Fin, ...ts });
    this.send('E', { seq: 151, ack: 1, ...ts });
    return this;
  }
}

function flagText(flags: number): string {
  const names = Object.entries(TcpFlag).filter(([name, bit]) => name !== 'Ack' && flags & bit);
  return names.map(([name]) => ` ${name.toLowerCase()}`).join('');
}
