/**
 * Runs in a network namespace of its own, since tc acts on the caller's: attaches, replaces and detaches the
 * programs of the object in argv, and prints what it saw as one JSON document. The namespace has a pair of
 * interfaces, `left` and `right`, which are up.
 */
import { createSocket } from 'node:dgram';
import {
  attachIngress,
  type BpfMap,
  BpfObject,
  type BpfProgram,
  detachIngress,
  queryIngress,
  removeUnusedHook,
} from '../../../src/dataplane/kernel/libbpf.js';
import { systemClock } from '../../../src/platform/clock.js';
import { asSutureError } from '../../../src/platform/errors.js';
import { run } from '../../../src/platform/process.js';
import { key32 } from './support.js';

const PLACE = { handle: 0x5375, priority: 10 };
const OTHER_PLACE = { handle: 1, priority: 20 };
const NO_INTERFACE = 99_999;
const WAIT_MS = 10_000;

export interface Saw {
  readonly ids: { readonly judge: number; readonly pass: number };
  readonly steps: Readonly<Record<string, unknown>>;
}

function packets(counters: BpfMap): number {
  const values = Buffer.alloc(counters.valueBytes);
  counters.lookup(key32(0), values);
  let sum = 0;
  for (let at = 0; at < values.length; at += counters.cpuStride) sum += values.readUInt32LE(at);
  return sum;
}

/** Whether a packet that `left` sends gets to a program that counts at `right`. */
async function packetIsSeen(counters: BpfMap): Promise<boolean> {
  const before = packets(counters);
  const socket = createSocket('udp4');
  const until = systemClock.monotonic() + WAIT_MS;
  // To an address that nobody has: what arrives at `right` is the question who has it.
  while (packets(counters) === before && systemClock.monotonic() < until) {
    socket.send('?', 9, '10.209.0.77');
    await systemClock.sleep(20);
  }
  socket.close();
  return packets(counters) > before;
}

function errorOf(action: () => unknown): unknown {
  try {
    return action();
  } catch (error) {
    const { code, message } = asSutureError(error);
    return { code, message };
  }
}

async function steps(judge: BpfProgram, pass: BpfProgram, counters: BpfMap): Promise<Saw['steps']> {
  const { stdout } = await run('ip', ['-j', 'link', 'show', 'right']);
  const ifindex: number = JSON.parse(stdout)[0].ifindex;
  return {
    'query without a hook': queryIngress(ifindex, PLACE) ?? null,
    'detach without a hook': detachIngress(ifindex, PLACE),
    'remove no hook': await removeUnusedHook('right', ifindex),
    'attach makes the hook': attachIngress(ifindex, judge, PLACE),
    'query judge': queryIngress(ifindex, PLACE),
    'query another place': queryIngress(ifindex, OTHER_PLACE) ?? null,
    'detach another place': detachIngress(ifindex, OTHER_PLACE),
    'a packet is seen': await packetIsSeen(counters),
    'attach in its place': attachIngress(ifindex, pass, PLACE),
    'query pass': queryIngress(ifindex, PLACE),
    'attach beside it': attachIngress(ifindex, judge, OTHER_PLACE),
    'query beside it': queryIngress(ifindex, OTHER_PLACE),
    detach: detachIngress(ifindex, PLACE),
    'query after it': queryIngress(ifindex, PLACE) ?? null,
    'detach again': detachIngress(ifindex, PLACE),
    'the hook is in use': await removeUnusedHook('right', ifindex),
    'the other is still there': queryIngress(ifindex, OTHER_PLACE),
    'and still runs': await packetIsSeen(counters),
    'detach the other': detachIngress(ifindex, OTHER_PLACE),
    'the hook is not in use': await removeUnusedHook('right', ifindex),
    'qdiscs at the end': (await run('tc', ['qdisc', 'show', 'dev', 'right'])).stdout.includes('clsact'),
    'attach to no interface': errorOf(() => attachIngress(NO_INTERFACE, judge, PLACE)),
    'query no interface': queryIngress(NO_INTERFACE, PLACE) ?? null,
    'detach no interface': detachIngress(NO_INTERFACE, PLACE),
    'attach at no place': errorOf(() => attachIngress(ifindex, judge, { handle: 0, priority: 0 })),
  };
}

const object = BpfObject.open(process.argv[2] ?? '');
object.setConstant('verdict', 0);
object.load();
const judge = object.program('judge');
const pass = object.program('pass');
const saw: Saw = {
  ids: { judge: judge.id, pass: pass.id },
  steps: await steps(judge, pass, object.map('counters')),
};
process.stdout.write(JSON.stringify(saw));
