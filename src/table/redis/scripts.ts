/**
 * What is done in Redis in one step. Redis runs a script with nothing in between, and either all of its writes
 * come through or none: where memory is short the first write already fails.
 *
 * All writes of flows are fenced: they say under which lease they are made, and change nothing when another
 * switch has taken it since. A write also says its serial number. The lease keeps the highest, so that a write
 * that was long under way on a connection given up can't undo a later one, and a switch finds out when a server
 * has lost what it had confirmed (a restart, a failover).
 */
import { createHash } from 'node:crypto';
import type { Keys } from './keys.js';
import { LAYOUT } from './keys.js';
import type { Link } from './link.js';

interface Script {
  readonly text: string;
  readonly sha: string;
}

type Reply = readonly (string | null)[];

function script(text: string): Script {
  return { text, sha: createHash('sha1').update(text).digest('hex') };
}

/** KEYS: lease. ARGV: layout, token, name, milliseconds, how (`free`, `same-name` or `force`), and the holder's links. */
const TAKE = script(`
local held = redis.call('HMGET', KEYS[1], 'layout', 'token', 'name', 'number', 'until', 'serial', 'links')
if (tonumber(held[1] or 0) or 0) > tonumber(ARGV[1]) then return {'layout', held[1]} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local expires = string.format('%.0f', now + ARGV[4])
if held[2] == ARGV[2] then
  redis.call('HSET', KEYS[1], 'until', expires)
  return {'kept', held[4], held[6]}
end
local left = (tonumber(held[5] or 0) or 0) - now
if left > 0 and ARGV[5] ~= 'force' and not (ARGV[5] == 'same-name' and held[3] == ARGV[3]) then
  return {'held', held[3], string.format('%.0f', left), held[4] or '', held[7] or ''}
end
-- Not below the time: the number goes up even when the server has lost the one before.
local number = string.format('%.0f', math.max((tonumber(held[4] or 0) or 0) + 1, now))
redis.call('HSET', KEYS[1], 'layout', ARGV[1], 'token', ARGV[2], 'name', ARGV[3], 'number', number,
  'until', expires, 'serial', '0', 'links', ARGV[6])
return {'taken', number, '0'}
`);

/** KEYS: lease. ARGV: token. The number stays, for the next one. */
const RELEASE = script(`
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return {'lease'} end
redis.call('HSET', KEYS[1], 'token', '', 'until', '0')
return {'ok'}
`);

const FENCE = `
local lease = redis.call('HMGET', KEYS[1], 'token', 'number', 'serial', 'name')
if lease[1] ~= ARGV[2] or lease[2] ~= ARGV[3] then return {'lease', lease[4] or ''} end
`;

/**
 * KEYS: lease, flows, events, the flows' own.
 * ARGV: layout, token, number, serial, serial confirmed, length of the stream (0: no events), time; and for
 * each flow id, score, state, reason, agent, how many texts follow, and its fields and values.
 */
const WRITE = script(`${FENCE}
local serial = tonumber(lease[3])
if serial < tonumber(ARGV[5]) then return {'behind', lease[3]} end
if serial >= tonumber(ARGV[4]) then return {'stale', lease[3]} end
local before = {}
for i = 4, #KEYS do
  local known = redis.call('HMGET', KEYS[i], 'v', 'state')
  if (tonumber(known[1] or 0) or 0) > tonumber(ARGV[1]) then return {'layout', KEYS[i]} end
  before[i] = known[2]
end
redis.call('HSET', KEYS[1], 'serial', ARGV[4])
local at = 8
for i = 4, #KEYS do
  local id, score, state, reason, agent = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local first = at + 6
  at = first + ARGV[at + 5]
  redis.call('HSET', KEYS[i], unpack(ARGV, first, at - 1))
  redis.call('ZADD', KEYS[2], score, id)
  if ARGV[6] ~= '0' and before[i] ~= state then
    redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[6], '*',
      'id', id, 'state', state, 'reason', reason, 'agent', agent, 'at', ARGV[7])
  end
end
return {'ok'}
`);

/**
 * KEYS: lease, flows, the flows' own. ARGV: layout, token, number, the ids. It adds nothing, so that it also works
 * where memory is short; and an id that is gone never comes back, so it needs no serial number.
 */
const REMOVE = script(`${FENCE}
for i = 3, #KEYS do
  local layout = redis.call('HGET', KEYS[i], 'v')
  if (tonumber(layout or 0) or 0) > tonumber(ARGV[1]) then return {'layout', KEYS[i]} end
end
for i = 3, #KEYS do
  redis.call('DEL', KEYS[i])
  redis.call('ZREM', KEYS[2], ARGV[i + 1])
end
return {'ok'}
`);

/**
 * KEYS: the flows' own. Replies with a text for each, its fields' names and values with NULs between (none of them has
 * one); it is empty for a flow that isn't there. One text in place of some forty is what makes reading 100,000 flows fast.
 */
const READ = script(`
local texts = {}
for i = 1, #KEYS do texts[i] = table.concat(redis.call('HGETALL', KEYS[i]), '\\0') end
return texts
`);

/** When it has ended; before that from an earlier run of a switch of the same name; or from anybody. */
export type TakeHow = 'free' | 'same-name' | 'force';

export interface TakeRequest {
  readonly token: string;
  readonly name: string;
  readonly leaseMs: number;
  readonly how: TakeHow;
  /** Where the holder can be reached: src/switch/whereabouts.ts. */
  readonly links: string;
}

export interface Fence {
  readonly token: string;
  readonly number: string;
}

export interface FlowWrite {
  readonly id: string;
  readonly score: string;
  readonly state: string;
  readonly reason: string;
  readonly agent: string;
  readonly fields: Readonly<Record<string, string>>;
}

export interface WriteRequest {
  readonly serial: number;
  readonly confirmed: number;
  /** Most events that the stream keeps; 0 adds none. */
  readonly events: number;
  readonly now: number;
  readonly flows: readonly FlowWrite[];
}

/** Replies with `taken` or `kept`, number and serial; `held`, its holder, the time left, number and links; or `layout`. */
export function takeLease(link: Link, keys: Keys, request: TakeRequest): Promise<Reply> {
  const { token, name, leaseMs, how, links } = request;
  return run(link, TAKE, [keys.lease], [LAYOUT, token, name, leaseMs, how, links]);
}

export function releaseLease(link: Link, keys: Keys, token: string): Promise<Reply> {
  return run(link, RELEASE, [keys.lease], [token]);
}

/** Replies with `ok`, or with why nothing was written: `lease`, `behind`, `stale`, `layout`. */
export function writeFlows(link: Link, keys: Keys, fence: Fence, request: WriteRequest): Promise<Reply> {
  const { serial, confirmed, events, now, flows } = request;
  const args: (string | number)[] = [LAYOUT, fence.token, fence.number, serial, confirmed, events, now];
  for (const { id, score, state, reason, agent, fields } of flows) {
    const pairs = Object.entries(fields).flat();
    args.push(id, score, state, reason, agent, pairs.length, ...pairs);
  }
  const flowKeys = flows.map(({ id }) => keys.flow(id));
  return run(link, WRITE, [keys.lease, keys.flows, keys.events, ...flowKeys], args);
}

/** Replies with `ok`, `lease` or `layout`. */
export function removeFlows(link: Link, keys: Keys, fence: Fence, ids: readonly string[]): Promise<Reply> {
  const flowKeys = ids.map((id) => keys.flow(id));
  return run(
    link,
    REMOVE,
    [keys.lease, keys.flows, ...flowKeys],
    [LAYOUT, fence.token, fence.number, ...ids],
  );
}

/** The fields of each flow in one text, names and values in turn with NULs between; empty where there is none. */
export async function readFlows(link: Link, keys: Keys, ids: readonly string[]): Promise<readonly string[]> {
  const flowKeys = ids.map((id) => keys.flow(id));
  return (await run(link, READ, flowKeys, [])) as readonly string[];
}

/** By its digest; a server that does not know it yet is given the text. */
async function run(
  link: Link,
  { text, sha }: Script,
  keys: readonly string[],
  args: readonly (string | number)[],
): Promise<Reply> {
  return link.ask(async (client) => {
    try {
      return (await client.evalsha(sha, keys.length, ...keys, ...args)) as Reply;
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
      return (await client.eval(text, keys.length, ...keys, ...args)) as Reply;
    }
  });
}
