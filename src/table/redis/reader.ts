/** Reads a group's flows; changes nothing. */
import { redisName } from '../../platform/config/index.js';
import { SutureError } from '../../platform/errors.js';
import { type FlowFilter, type FlowReader, type FlowRecord, listed } from '../port.js';
import { decodeRecord, decodeText } from './codec.js';
import { faultOf } from './faults.js';
import { type Keys, keysOf, LAYOUT } from './keys.js';
import { Link, type LinkOptions } from './link.js';
import { readFlows } from './scripts.js';

/** Records that are asked for at once. */
const READ_BATCH = 500;
/** Records in one script: a millisecond or two of a server that does nothing else meanwhile. */
const LOAD_BATCH = 256;

export async function readIds(link: Link, keys: Keys): Promise<string[]> {
  return link.ask((client) => client.zrange(keys.flows, 0, -1));
}

/** Those that are there; an id whose record has gone since is left out. */
async function readRecords(link: Link, keys: Keys, ids: readonly string[]): Promise<FlowRecord[]> {
  const records: FlowRecord[] = [];
  for (let from = 0; from < ids.length; from += READ_BATCH) {
    const batch = ids.slice(from, from + READ_BATCH);
    const replies = await link.ask(async (client) => {
      const pipeline = client.pipeline();
      for (const id of batch) pipeline.hgetall(keys.flow(id));
      return (await pipeline.exec()) ?? [];
    });
    for (const [i, [error, hash]] of replies.entries()) {
      if (error) throw faultOf(error);
      const id = batch[i] ?? '';
      if (Object.keys(hash as object).length === 0) continue;
      records.push(decodeRecord(keys.flow(id), id, hash as Record<string, string>));
    }
  }
  return records;
}

/**
 * The same for a switch, which reads them all when it starts: in scripts, which who only looks may not be allowed to run,
 * and one of them ahead, so that Redis reads while this process decodes.
 */
export async function loadRecords(link: Link, keys: Keys, ids: readonly string[]): Promise<FlowRecord[]> {
  const records: FlowRecord[] = [];
  const batchAt = (from: number): readonly string[] => ids.slice(from, from + LOAD_BATCH);
  let reading: Promise<readonly string[]> | undefined;
  for (let from = 0; from < ids.length; from += LOAD_BATCH) {
    const replies = await (reading ?? readFlows(link, keys, batchAt(from)));
    const next = batchAt(from + LOAD_BATCH);
    reading = next.length > 0 ? readFlows(link, keys, next) : undefined;
    // Nobody waits for it when a record is refused.
    reading?.catch(() => {});
    for (const [i, text] of replies.entries()) {
      const id = ids[from + i] ?? '';
      if (text !== '') records.push(decodeText(keys.flow(id), id, text));
    }
  }
  return records;
}

/** Rejects with SUT_TABLE_LAYOUT when the group is a newer version's. */
async function checkLayout(link: Link, keys: Keys): Promise<void> {
  const layout = Number((await link.ask((client) => client.hget(keys.lease, 'layout'))) ?? LAYOUT);
  if (layout > LAYOUT) throw newerLayout(keys, String(layout));
}

export function newerLayout(keys: Keys, layout: string | null | undefined): SutureError {
  return new SutureError(
    'SUT_TABLE_LAYOUT',
    `${keys.lease} was written by a newer version: found layout ${layout}, expected ${LAYOUT}; use that version, or another group`,
  );
}

/** A group's flows for who only looks, with no switch running. Rejects with a `SutureError`. */
export class RedisReader implements FlowReader {
  private constructor(
    private readonly link: Link,
    private readonly keys: Keys,
    private readonly where: string,
  ) {}

  static async open(options: LinkOptions & { readonly group: string }): Promise<RedisReader> {
    const where = redisName(options.target);
    const link = await told(where, Link.open(options));
    const keys = keysOf(options.group);
    try {
      await told(where, checkLayout(link, keys));
    } catch (error) {
      link.close();
      throw error;
    }
    return new RedisReader(link, keys, where);
  }

  async get(id: string): Promise<FlowRecord | undefined> {
    const [record] = await told(this.where, readRecords(this.link, this.keys, [id]));
    return record;
  }

  async list(filter: FlowFilter = {}): Promise<FlowRecord[]> {
    const ids = await told(this.where, readIds(this.link, this.keys));
    return listed(await told(this.where, readRecords(this.link, this.keys, ids)), filter);
  }

  close(): void {
    this.link.close();
  }
}

async function told<T>(where: string, asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    throw faultOf(error).asError(where);
  }
}
