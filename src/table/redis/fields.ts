/**
 * A hash of Redis as one text, its fields' names and values in turn with NULs between: where each field is, and what it
 * holds. A switch that starts reads 100,000 of these, so a value becomes a text of its own only where that is what is
 * asked for. Says of which key and field it is when one can't be read.
 */
import { isIPv4 } from 'node:net';
import { SutureError } from '../../platform/errors.js';
import { type Endpoint, parseEndpoint } from '../../wire/endpoint.js';
import { LAYOUT } from './keys.js';

/** Names of fields, in the order in which they usually come. */
export class FieldNames {
  readonly prefixes: readonly string[];
  readonly places: ReadonlyMap<string, number>;

  constructor(names: readonly string[]) {
    this.prefixes = names.map((name) => `${name}\0`);
    this.places = new Map(names.map((name, i) => [name, i]));
  }
}

const NONE = -1;
const LONGEST_PORT = 5;
const [ZERO, NINE, OPENING] = [0x30, 0x39, 0x5b];

/** One serves for many hashes, one after the other. */
export class Fields {
  private text = '';
  private key = '';
  private readonly starts: Int32Array;
  private readonly ends: Int32Array;

  constructor(private readonly names: FieldNames) {
    this.starts = new Int32Array(names.places.size);
    this.ends = new Int32Array(names.places.size);
  }

  /** From here on it is about this hash. Fields that are not known are passed over. */
  read(key: string, text: string): void {
    this.key = key;
    this.text = text;
    this.starts.fill(NONE);
    const { prefixes, places } = this.names;
    for (let at = 0, usual = 0; at < text.length; usual++) {
      const prefix = prefixes[usual];
      const isUsual = prefix !== undefined && text.startsWith(prefix, at);
      const start = isUsual ? at + prefix.length : endFrom(text, at) + 1;
      const place = isUsual ? usual : places.get(text.slice(at, start - 1));
      const end = endFrom(text, start);
      if (place !== undefined) {
        this.starts[place] = start;
        this.ends[place] = end;
        usual = place;
      }
      at = end + 1;
    }
  }

  /** It is there, and set. */
  has(name: string): boolean {
    const place = this.place(name);
    return this.start(place) !== NONE && this.start(place) < this.end(place);
  }

  /** It may be empty, but it is there. */
  require(name: string): void {
    if (this.start(this.place(name)) === NONE) this.fail(name);
  }

  string(name: string): string {
    return this.find(name) ?? this.fail(name);
  }

  /** An empty text where it is missing. */
  stringOrNone(name: string): string {
    return this.find(name) ?? '';
  }

  number(name: string): number {
    const place = this.place(name);
    const whole = wholeNumber(this.text, this.start(place), this.end(place));
    if (whole !== undefined) return whole;
    const text = this.string(name);
    const value = Number(text);
    return text === '' || !Number.isFinite(value) ? this.fail(name) : value;
  }

  endpoint(name: string): Endpoint {
    const place = this.place(name);
    const [start, end] = [this.start(place), this.end(place)];
    const { text } = this;
    if (start !== NONE && text.charCodeAt(start) !== OPENING) {
      const colon = text.lastIndexOf(':', end - 1);
      const port = end - colon > LONGEST_PORT + 1 ? 0 : (wholeNumber(text, colon + 1, end) ?? 0);
      const address = text.slice(start, Math.max(start, colon));
      if (port > 0 && port <= 0xffff && isIPv4(address)) return { address, port };
    }
    return parseEndpoint(this.string(name)) ?? this.fail(name);
  }

  /** Two whole numbers: "12 3400". */
  pair(name: string): readonly [number, number] {
    const place = this.place(name);
    const [start, end] = [this.start(place), this.end(place)];
    const blank = this.text.indexOf(' ', start);
    const first = wholeNumber(this.text, start, blank);
    const second = wholeNumber(this.text, blank + 1, end);
    if (first === undefined || second === undefined || blank > end) return this.fail(name);
    return [first, second];
  }

  fail(name: string): never {
    const found = this.find(name);
    throw new SutureError(
      'SUT_TABLE_LAYOUT',
      `${this.key} is no record of layout ${LAYOUT}: its field ${name} is ${found === undefined ? 'missing' : JSON.stringify(found.slice(0, 80))}`,
    );
  }

  private find(name: string): string | undefined {
    const place = this.place(name);
    return this.start(place) === NONE ? undefined : this.text.slice(this.start(place), this.end(place));
  }

  private place(name: string): number {
    return this.names.places.get(name) as number;
  }

  private start(place: number): number {
    return this.starts[place] as number;
  }

  private end(place: number): number {
    return this.ends[place] as number;
  }
}

function endFrom(text: string, at: number): number {
  const end = text.indexOf('\0', at);
  return end < 0 ? text.length : end;
}

/** Of the digits from `from` to `end`; undefined where there are others, or none. */
export function wholeNumber(text: string, from: number, end: number): number | undefined {
  if (from < 0 || end <= from || end > text.length) return undefined;
  let value = 0;
  for (let i = from; i < end; i++) {
    const code = text.charCodeAt(i);
    if (code < ZERO || code > NINE) return undefined;
    value = value * 10 + (code - ZERO);
  }
  return value;
}
