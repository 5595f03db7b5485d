/**
 * A flow's record as the fields of a hash, and back.
 *
 * Every value is a short text: Redis keeps a hash of values up to 64 bytes in a third of the memory of others
 * (`hash-max-listpack-value`). What is not set is an empty text, so that writing a record again leaves nothing of
 * the one before. Fields that this version does not know are left out when reading, and left alone when writing.
 */
import type { ConnectionEndpoints } from '../../flow/endpoints.js';
import {
  type DirectionCounters,
  FLOW_STATES,
  type FlowReason,
  type FlowState,
  TEARDOWN_MODES,
} from '../../flow/state.js';
import { SutureError } from '../../platform/errors.js';
import { formatEndpoint, parseEndpoint } from '../../wire/endpoint.js';
import type { FlowRecord } from '../port.js';
import { LAYOUT } from './keys.js';
import { savedFrom, savedText } from './saved.js';

export type FlowHash = Readonly<Record<string, string>>;

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

/** Throws SUT_TABLE_LAYOUT for what is no record of this layout. */
export function decodeRecord(key: string, id: string, hash: FlowHash): FlowRecord {
  const fields = new Fields(key, hash);
  const layout = fields.number('v');
  if (layout > LAYOUT) {
    throw new SutureError(
      'SUT_TABLE_LAYOUT',
      `${key} was written by a newer version: found layout ${layout}, expected ${LAYOUT}; use that version, or another group`,
    );
  }
  const openedAt = fields.number('opened');
  const reason = fields.text('reason');
  const [enabledAt, stitchedAt, closedAt] = (['enabled', 'stitched', 'closed'] as const).map((name) =>
    fields.text(name) === '' ? undefined : fields.number(name),
  );
  return {
    id,
    state: fields.state(fields.text('state')),
    // A name that a newer version has added is passed on as it is: it is for people.
    ...(reason !== '' && { reason: reason as FlowReason }),
    agent: fields.text('agent'),
    outer: fields.connection('outer'),
    inner: fields.connection('inner'),
    up: fields.counters('up'),
    down: fields.counters('down'),
    toShellStitched: fields.counters('toShell'),
    openedAt,
    ...(enabledAt !== undefined && { enabledAt }),
    ...(stitchedAt !== undefined && { stitchedAt }),
    ...(closedAt !== undefined && { closedAt }),
    ...fields.openedBy('openedBy'),
    ...fields.cause('cause'),
    ...fields.teardown('teardown'),
    ...fields.saved('stitch.outer', 'stitch.inner'),
    history: fields.history('history', openedAt),
  };
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
    private readonly hash: FlowHash,
  ) {}

  text(name: string): string {
    return this.hash[name] ?? this.fail(name);
  }

  number(name: string): number {
    const text = this.text(name);
    const value = Number(text);
    return text === '' || !Number.isFinite(value) ? this.fail(name) : value;
  }

  state(text: string | undefined): FlowState {
    return FLOW_STATES.find((state) => state === text) ?? this.fail('state');
  }

  connection(name: 'outer' | 'inner'): ConnectionEndpoints {
    const local = parseEndpoint(this.text(`${name}.local`)) ?? this.fail(`${name}.local`);
    const remote = parseEndpoint(this.text(`${name}.remote`)) ?? this.fail(`${name}.remote`);
    return { local, remote };
  }

  counters(name: string): DirectionCounters {
    const [, packets, bytes] = /^(\d+) (\d+)$/.exec(this.text(name)) ?? this.fail(name);
    return { packets: Number(packets), bytes: Number(bytes) };
  }

  history(name: string, openedAt: number): FlowRecord['history'] {
    const text = this.text(name);
    if (text === '') return [];
    return text.split(' ').map((step) => {
      const [, state, after] = /^(\d)([+-]\d+)$/.exec(step) ?? this.fail(name);
      return { state: this.state(FLOW_STATES[Number(state)]), at: openedAt + Number(after) };
    });
  }

  /** These came later than the first records of this layout, so they may be missing. */
  openedBy(name: string): Pick<FlowRecord, 'openedBy'> {
    const text = this.hash[name] ?? '';
    if (text === '') return {};
    return text === 'peer' || text === 'core' ? { openedBy: text } : this.fail(name);
  }

  cause(name: string): Pick<FlowRecord, 'stitchCause'> {
    const text = this.hash[name] ?? '';
    if (text === '') return {};
    try {
      const stitchCause: unknown = JSON.parse(text);
      if (Array.isArray(stitchCause)) return { stitchCause: stitchCause.map(String) };
    } catch {
      // Said below.
    }
    return this.fail(name);
  }

  teardown(name: string): Pick<FlowRecord, 'teardown'> {
    const text = this.hash[name] ?? '';
    if (text === '') return {};
    return { teardown: TEARDOWN_MODES.find((mode) => mode === text) ?? this.fail(name) };
  }

  saved(outer: string, inner: string): Pick<FlowRecord, 'saved'> {
    try {
      const saved = savedFrom(this.hash[outer] ?? '', this.hash[inner] ?? '');
      return saved ? { saved } : {};
    } catch {
      return this.fail(outer);
    }
  }

  private fail(name: string): never {
    const found = this.hash[name];
    throw new SutureError(
      'SUT_TABLE_LAYOUT',
      `${this.key} is no record of layout ${LAYOUT}: its field ${name} is ${found === undefined ? 'missing' : JSON.stringify(found.slice(0, 80))}`,
    );
  }
}
