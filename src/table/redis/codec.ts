/**
 * A flow's record as the fields of a hash, and back.
 *
 * Every value is a short text: Redis keeps a hash of values up to 64 bytes in a third of the memory of others
 * (`hash-max-listpack-value`). What is not set is an empty text, so that writing a record again leaves nothing of
 * the one before. Fields that this version does not know are left out when reading, and left alone when writing.
 */
import type { SavedFlow } from '../../flow/restore.js';
import {
  type DirectionCounters,
  FLOW_STATES,
  type FlowReason,
  type FlowState,
  TEARDOWN_MODES,
  type TeardownMode,
} from '../../flow/state.js';
import { SutureError } from '../../platform/errors.js';
import { type Endpoint, formatEndpoint, parseEndpoint } from '../../wire/endpoint.js';
import type { FlowRecord } from '../port.js';
import { LAYOUT } from './keys.js';
import { savedFrom, savedText } from './saved.js';

export type FlowHash = Readonly<Record<string, string>>;
/** Its names and values in turn. */
export type FlowTexts = readonly string[];

/** As `encodeRecord` writes them. */
const FIELDS = [
  ...['v', 'state', 'reason', 'agent', 'outer.local', 'outer.remote', 'inner.local', 'inner.remote'],
  ...['up', 'down', 'toShell', 'opened', 'enabled', 'stitched', 'closed', 'openedBy', 'teardown', 'cause'],
  ...['stitch.outer', 'stitch.inner', 'history'],
];

type Writable<T> = { -readonly [Name in keyof T]: T[Name] };

export function encodeRecord(record: FlowRecord): Record<string, string> {
  const { state, reason = '', agent, outer, inner, openedAt, history } = record;
  return {
    v: String(LAYOUT),
    state,
    reason,
    agent,
    'outer.local': formatEndpoint(outer.local),
    'outer.remote': formatEndpoint(outer.remote),
    'inner.local': formatEndpoint(inner.local),
    'inner.remote': formatEndpoint(inner.remote),
    up: countersText(record.up),
    down: countersText(record.down),
    toShell: countersText(record.toShellStitched),
    opened: String(openedAt),
    enabled: timeText(record.enabledAt),
    stitched: timeText(record.stitchedAt),
    closed: timeText(record.closedAt),
    openedBy: record.openedBy ?? '',
    teardown: record.teardown ?? '',
    cause: record.stitchCause ? JSON.stringify(record.stitchCause) : '',
    'stitch.outer': savedText(record.saved?.outer),
    'stitch.inner': savedText(record.saved?.inner),
    // The number of each state and its beginning after `opened`: "1+0 2+35 4+1200".
    history: history
      .map((step) => `${FLOW_STATES.indexOf(step.state)}${signed(step.at - openedAt)}`)
      .join(' '),
  };
}

export function decodeRecord(key: string, id: string, hash: FlowHash): FlowRecord {
  return decodeTexts(key, id, Object.entries(hash).flat());
}

/** Throws SUT_TABLE_LAYOUT for what is no record of this layout. */
export function decodeTexts(key: string, id: string, texts: FlowTexts): FlowRecord {
  const fields = new Fields(key, texts);
  const layout = fields.number('v');
  if (layout > LAYOUT) {
    throw new SutureError(
      'SUT_TABLE_LAYOUT',
      `${key} was written by a newer version: found layout ${layout}, expected ${LAYOUT}; use that version, or another group`,
    );
  }
  const openedAt = fields.number('opened');
  // Filled step by step: a switch that starts decodes 100,000 of them, and each object on the way to one counts.
  const record: Writable<FlowRecord> = {
    id,
    state: fields.state(fields.text('state')),
    agent: fields.text('agent'),
    outer: { local: fields.endpoint('outer.local'), remote: fields.endpoint('outer.remote') },
    inner: { local: fields.endpoint('inner.local'), remote: fields.endpoint('inner.remote') },
    up: fields.counters('up'),
    down: fields.counters('down'),
    toShellStitched: fields.counters('toShell'),
    openedAt,
    history: fields.history('history', openedAt),
  };
  // A name that a newer version has added is passed on as it is: it is for people.
  if (fields.text('reason') !== '') record.reason = fields.text('reason') as FlowReason;
  if (fields.text('enabled') !== '') record.enabledAt = fields.number('enabled');
  if (fields.text('stitched') !== '') record.stitchedAt = fields.number('stitched');
  if (fields.text('closed') !== '') record.closedAt = fields.number('closed');
  // These came later than the first records of this layout, so they may be missing.
  if (fields.has('openedBy')) record.openedBy = fields.openedBy('openedBy');
  if (fields.has('cause')) record.stitchCause = fields.cause('cause');
  if (fields.has('teardown')) record.teardown = fields.teardown('teardown');
  const saved = fields.saved('stitch.outer', 'stitch.inner');
  if (saved) record.saved = saved;
  return record;
}

/** When the record may be forgotten, as a score of the sorted set. */
export function expiryScore({ closedAt }: FlowRecord, keepClosedMs: number): string {
  return closedAt === undefined ? 'inf' : String(closedAt + keepClosedMs);
}

function countersText({ packets, bytes }: Readonly<DirectionCounters>): string {
  return `${packets} ${bytes}`;
}

function timeText(time: number | undefined): string {
  return time === undefined ? '' : String(time);
}

function signed(value: number): string {
  return value < 0 ? String(value) : `+${value}`;
}

/** Reads fields, and says of which key and field it is when one can't be read. */
class Fields {
  constructor(
    private readonly key: string,
    private readonly texts: FlowTexts,
  ) {}

  text(name: string): string {
    return this.find(name) ?? this.fail(name);
  }

  /** First where Redis has it when `encodeRecord` wrote the hash at once, and all of it is compact. */
  private find(name: string): string | undefined {
    const { texts } = this;
    const usual = PLACES.get(name) ?? 0;
    if (texts[usual] === name) return texts[usual + 1];
    for (let i = 0; i < texts.length; i += 2) if (texts[i] === name) return texts[i + 1];
    return undefined;
  }

  number(name: string): number {
    const text = this.text(name);
    const value = Number(text);
    return text === '' || !Number.isFinite(value) ? this.fail(name) : value;
  }

  state(text: string | undefined): FlowState {
    return FLOW_STATES.find((state) => state === text) ?? this.fail('state');
  }

  endpoint(name: string): Endpoint {
    return parseEndpoint(this.text(name)) ?? this.fail(name);
  }

  /** "12 3400" */
  counters(name: string): DirectionCounters {
    const text = this.text(name);
    const blank = text.indexOf(' ');
    const [packets, bytes] = [wholeNumber(text, 0, blank), wholeNumber(text, blank + 1, text.length)];
    if (packets === undefined || bytes === undefined) return this.fail(name);
    return { packets, bytes };
  }

  history(name: string, openedAt: number): FlowRecord['history'] {
    const text = this.text(name);
    const steps: FlowRecord['history'][number][] = [];
    for (let from = 0, end = 0; from < text.length; from = end + 1) {
      end = text.indexOf(' ', from);
      if (end < 0) end = text.length;
      const state = wholeNumber(text, from, from + 1);
      const after = wholeNumber(text, from + 2, end);
      const sign = text[from + 1];
      if (state === undefined || after === undefined || (sign !== '+' && sign !== '-'))
        return this.fail(name);
      steps.push({
        state: FLOW_STATES[state] ?? this.fail('state'),
        at: sign === '+' ? openedAt + after : openedAt - after,
      });
    }
    return steps;
  }

  /** It is there, and set. */
  has(name: string): boolean {
    return (this.find(name) ?? '') !== '';
  }

  openedBy(name: string): 'peer' | 'core' {
    const text = this.text(name);
    return text === 'peer' || text === 'core' ? text : this.fail(name);
  }

  cause(name: string): readonly string[] {
    try {
      const cause: unknown = JSON.parse(this.text(name));
      if (Array.isArray(cause)) return cause.map(String);
    } catch {
      // Said below.
    }
    return this.fail(name);
  }

  teardown(name: string): TeardownMode {
    const text = this.text(name);
    return TEARDOWN_MODES.find((mode) => mode === text) ?? this.fail(name);
  }

  saved(outer: string, inner: string): SavedFlow | undefined {
    try {
      return savedFrom(this.find(outer) ?? '', this.find(inner) ?? '');
    } catch {
      return this.fail(outer);
    }
  }

  private fail(name: string): never {
    const found = this.find(name);
    throw new SutureError(
      'SUT_TABLE_LAYOUT',
      `${this.key} is no record of layout ${LAYOUT}: its field ${name} is ${found === undefined ? 'missing' : JSON.stringify(found.slice(0, 80))}`,
    );
  }
}

/** Of each field among the texts of a hash. */
const PLACES: ReadonlyMap<string, number> = new Map(FIELDS.map((name, i) => [name, 2 * i]));
const [ZERO, NINE] = [0x30, 0x39];

/** Of the digits from `from` to `end`; undefined where there are others, or none. */
function wholeNumber(text: string, from: number, end: number): number | undefined {
  if (end <= from || end > text.length) return undefined;
  let value = 0;
  for (let i = from; i < end; i++) {
    const code = text.charCodeAt(i);
    if (code < ZERO || code > NINE) return undefined;
    value = value * 10 + (code - ZERO);
  }
  return value;
}
