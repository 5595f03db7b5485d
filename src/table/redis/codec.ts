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
import type { Writable } from '../../platform/writable.js';
import { formatEndpoint } from '../../wire/endpoint.js';
import type { FlowRecord } from '../port.js';
import { FieldNames, Fields, wholeNumber } from './fields.js';
import { LAYOUT } from './keys.js';
import { savedFrom, savedText } from './saved.js';

export type FlowHash = Readonly<Record<string, string>>;

/** As `encodeRecord` writes them: Redis keeps their order while a hash is compact. */
const NAMES = new FieldNames([
  ...['v', 'state', 'reason', 'agent', 'outer.local', 'outer.remote', 'inner.local', 'inner.remote'],
  ...['up', 'down', 'toShell', 'opened', 'enabled', 'stitched', 'closed', 'openedBy', 'teardown', 'cause'],
  ...['stitch.outer', 'stitch.inner', 'history'],
]);
const fields = new Fields(NAMES);

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
  return decodeText(key, id, Object.entries(hash).flat().join('\0'));
}

/** `text`: the hash's names and values in turn, with NULs between. Throws SUT_TABLE_LAYOUT for what is no record of this layout. */
export function decodeText(key: string, id: string, text: string): FlowRecord {
  fields.read(key, text);
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
    state: stateIn('state'),
    agent: fields.string('agent'),
    outer: { local: fields.endpoint('outer.local'), remote: fields.endpoint('outer.remote') },
    inner: { local: fields.endpoint('inner.local'), remote: fields.endpoint('inner.remote') },
    up: countersIn('up'),
    down: countersIn('down'),
    toShellStitched: countersIn('toShell'),
    openedAt,
    history: historyIn('history', openedAt),
  };
  for (const name of ['reason', 'enabled', 'stitched', 'closed']) fields.require(name);
  // A name that a newer version has added is passed on as it is: it is for people.
  if (fields.has('reason')) record.reason = fields.string('reason') as FlowReason;
  if (fields.has('enabled')) record.enabledAt = fields.number('enabled');
  if (fields.has('stitched')) record.stitchedAt = fields.number('stitched');
  if (fields.has('closed')) record.closedAt = fields.number('closed');
  // These came later than the first records of this layout, so they may be missing.
  if (fields.has('openedBy')) record.openedBy = openedByIn('openedBy');
  if (fields.has('cause')) record.stitchCause = causeIn('cause');
  if (fields.has('teardown')) record.teardown = teardownIn('teardown');
  const saved = savedIn('stitch.outer', 'stitch.inner');
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

function stateIn(name: string): FlowState {
  const text = fields.string(name);
  return FLOW_STATES.find((state) => state === text) ?? fields.fail(name);
}

function countersIn(name: string): DirectionCounters {
  const [packets, bytes] = fields.pair(name);
  return { packets, bytes };
}

function historyIn(name: string, openedAt: number): FlowRecord['history'] {
  const text = fields.string(name);
  const steps: FlowRecord['history'][number][] = [];
  for (let from = 0, end = 0; from < text.length; from = end + 1) {
    end = text.indexOf(' ', from);
    if (end < 0) end = text.length;
    const state = wholeNumber(text, from, from + 1);
    const after = wholeNumber(text, from + 2, end);
    const sign = text[from + 1];
    if (state === undefined || after === undefined || (sign !== '+' && sign !== '-'))
      return fields.fail(name);
    steps.push({
      state: FLOW_STATES[state] ?? fields.fail('state'),
      at: sign === '+' ? openedAt + after : openedAt - after,
    });
  }
  return steps;
}

function openedByIn(name: string): 'peer' | 'core' {
  const text = fields.string(name);
  return text === 'peer' || text === 'core' ? text : fields.fail(name);
}

function causeIn(name: string): readonly string[] {
  try {
    const cause: unknown = JSON.parse(fields.string(name));
    if (Array.isArray(cause)) return cause.map(String);
  } catch {
    // Said below.
  }
  return fields.fail(name);
}

function teardownIn(name: string): TeardownMode {
  const text = fields.string(name);
  return TEARDOWN_MODES.find((mode) => mode === text) ?? fields.fail(name);
}

function savedIn(outer: string, inner: string): SavedFlow | undefined {
  try {
    return savedFrom(fields.stringOrNone(outer), fields.stringOrNone(inner));
  } catch {
    return fields.fail(outer);
  }
}
