/**
 * Many flows in one message between threads: all their texts in one list, all their numbers in another, in the order in
 * which they are written here and read again. A structured clone of 100,000 snapshots or requests takes each thread two
 * seconds, this a tenth of that.
 */
import type { ConnectionEndpoints } from '../flow/endpoints.js';
import type { RestorableState, SavedConnection, SavedFlow } from '../flow/restore.js';
import {
  type DirectionCounters,
  FLOW_STATES,
  type FlowReason,
  type FlowState,
  TEARDOWN_MODES,
  type TeardownMode,
} from '../flow/state.js';
import type { FlowSnapshot, RestoreRequest } from './port.js';

export interface Packed {
  readonly count: number;
  readonly texts: readonly string[];
  readonly numbers: Float64Array;
}

/** What is not there. */
const NONE = Number.NaN;
const FIRST_ROOM = 4096;

class Writer {
  readonly texts: string[] = [];
  private numbers = new Float64Array(FIRST_ROOM);
  private length = 0;

  text(value: string): void {
    this.texts.push(value);
  }

  number(value: number): void {
    if (this.length === this.numbers.length) {
      const more = new Float64Array(2 * this.length);
      more.set(this.numbers);
      this.numbers = more;
    }
    this.numbers[this.length++] = value;
  }

  flag(value: boolean): void {
    this.number(value ? 1 : 0);
  }

  packed(count: number): Packed {
    return { count, texts: this.texts, numbers: this.numbers.slice(0, this.length) };
  }
}

class Reader {
  private text_ = 0;
  private number_ = 0;

  constructor(private readonly packed: Packed) {}

  text(): string {
    return this.packed.texts[this.text_++] as string;
  }

  number(): number {
    return this.packed.numbers[this.number_++] as number;
  }

  flag(): boolean {
    return this.number() === 1;
  }
}

export function packRestores(flows: Iterable<RestoreRequest>): Packed {
  const to = new Writer();
  let count = 0;
  for (const { id, outer, inner, saved, past, teardown } of flows) {
    count += 1;
    to.text(id);
    writeEnds(to, outer, inner);
    writeSaved(to, saved);
    to.number(FLOW_STATES.indexOf(past.state));
    writeCounters(to, past.up);
    writeCounters(to, past.down);
    writeHistory(to, past.history);
    to.number(TEARDOWN_MODES.indexOf(teardown));
  }
  return to.packed(count);
}

/** One at a time, so that what has been used is garbage before the collector would have to keep it. */
export function* unpackRestores(packed: Packed): Generator<RestoreRequest> {
  const from = new Reader(packed);
  for (let left = packed.count; left > 0; left--) {
    const id = from.text();
    const ends = readEnds(from);
    const saved = readSaved(from);
    const state = readState(from) as RestorableState;
    const past = { state, up: readCounters(from), down: readCounters(from), history: readHistory(from) };
    yield { id, ...ends, saved, past, teardown: TEARDOWN_MODES[from.number()] as TeardownMode };
  }
}

export function packSnapshots(flows: readonly FlowSnapshot[]): Packed {
  const to = new Writer();
  for (const { id, state, reason, up, down, toShellStitched, ends, saved, history } of flows) {
    to.text(id);
    to.text(reason ?? '');
    to.number(FLOW_STATES.indexOf(state));
    writeCounters(to, up);
    writeCounters(to, down);
    writeCounters(to, toShellStitched);
    writeHistory(to, history);
    to.flag(ends !== undefined);
    if (ends) writeEnds(to, ends.outer, ends.inner);
    to.flag(saved !== undefined);
    if (saved) writeSaved(to, saved);
  }
  return to.packed(flows.length);
}

export function unpackSnapshots(packed: Packed): FlowSnapshot[] {
  const from = new Reader(packed);
  return Array.from({ length: packed.count }, () => {
    const [id, reason] = [from.text(), from.text() as FlowReason | ''];
    const flow = {
      id,
      state: readState(from),
      ...(reason !== '' && { reason }),
      up: readCounters(from),
      down: readCounters(from),
      toShellStitched: readCounters(from),
      history: readHistory(from),
    };
    const ends = from.flag() ? readEnds(from) : undefined;
    const saved = from.flag() ? readSaved(from) : undefined;
    return { ...flow, ...(ends && { ends }), ...(saved && { saved }) };
  });
}

function writeEnds(to: Writer, outer: ConnectionEndpoints, inner: ConnectionEndpoints): void {
  for (const { local, remote } of [outer, inner]) {
    to.text(local.address);
    to.number(local.port);
    to.text(remote.address);
    to.number(remote.port);
  }
}

function readEnds(from: Reader): { outer: ConnectionEndpoints; inner: ConnectionEndpoints } {
  const endpoint = () => ({ address: from.text(), port: from.number() });
  const connection = () => ({ local: endpoint(), remote: endpoint() });
  return { outer: connection(), inner: connection() };
}

function writeCounters(to: Writer, { packets, bytes }: Readonly<DirectionCounters>): void {
  to.number(packets);
  to.number(bytes);
}

function readCounters(from: Reader): DirectionCounters {
  return { packets: from.number(), bytes: from.number() };
}

function writeHistory(to: Writer, history: FlowSnapshot['history']): void {
  to.number(history.length);
  for (const { state, at } of history) {
    to.number(FLOW_STATES.indexOf(state));
    to.number(at);
  }
}

function readHistory(from: Reader): { state: FlowState; at: number }[] {
  return Array.from({ length: from.number() }, () => ({ state: readState(from), at: from.number() }));
}

function readState(from: Reader): FlowState {
  return FLOW_STATES[from.number()] as FlowState;
}

function writeSaved(to: Writer, { outer, inner }: SavedFlow): void {
  writeConnection(to, outer);
  writeConnection(to, inner);
}

function writeConnection(to: Writer, saved: SavedConnection): void {
  to.number(saved.delta);
  to.number(saved.tsDelta);
  to.number(saved.farScale);
  to.number(saved.shellScale);
  to.number(saved.farMss);
  to.number(saved.shellMss);
  to.flag(saved.timestamps);
  to.flag(saved.sack);
  to.flag(saved.ecn);
  to.number(saved.farMax);
  to.number(saved.farAck);
  to.number(saved.toldAck);
  to.number(saved.finEnd ?? NONE);
}

function readSaved(from: Reader): SavedFlow {
  return { outer: readConnection(from), inner: readConnection(from) };
}

function readConnection(from: Reader): SavedConnection {
  const saved = {
    delta: from.number(),
    tsDelta: from.number(),
    farScale: from.number(),
    shellScale: from.number(),
    farMss: from.number(),
    shellMss: from.number(),
    timestamps: from.flag(),
    sack: from.flag(),
    ecn: from.flag(),
    farMax: from.number(),
    farAck: from.number(),
    toldAck: from.number(),
  };
  const finEnd = from.number();
  return Number.isNaN(finEnd) ? saved : { ...saved, finEnd };
}
