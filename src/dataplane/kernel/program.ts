/**
 * The compiled program in the kernel: loaded, its maps pinned, attached to the switch's interfaces.
 *
 * Maps are pinned under the switch's name and network namespace. While a program is attached they live on without the
 * process, and the next one takes them over: it loads its own program on the same maps and puts it in the old one's
 * place, in one step for each interface. Pins without an attached program are left-overs, and removed.
 */
import { existsSync, mkdirSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import type { EngineOptions } from '../../flow/engine.js';
import { SutureError } from '../../platform/errors.js';
import {
  attachIngress,
  BPFFS,
  type BpfMap,
  BpfObject,
  type BpfProgram,
  detachIngress,
  MapType,
  queryIngress,
  RingBuffer,
  removeUnusedHook,
  requireBpffs,
} from './libbpf.js';
import { isKernelAtLeast, OBJECT_PATH } from './requirements.js';

/** Where the program sits among others at an interface: early, under a handle to be recognized by. */
const PLACE = { handle: 0x5754, priority: 1 } as const;
const FOLDER = 'suture';
const PINS = join(BPFFS, FOLDER);
const PINNED = [
  'flows',
  'connections',
  'free_slots',
  'owners',
  'events',
  'counters',
  'replies',
  'unpaired',
  'leaders',
  'shells',
];
/** include/uapi/linux/bpf.h: a flag of bpf_l4_csum_replace that older kernels refuse. */
const BPF_F_IPV6 = { flag: 128, since: [6, 16] } as const;

export interface KernelInterface {
  readonly name: string;
  readonly index: number;
}

export interface KernelProgramOptions {
  readonly name: string;
  readonly interfaces: readonly KernelInterface[];
  /** Where the BPF filesystem is mounted. */
  readonly bpffs: string;
  readonly maxFlows: number;
  readonly engine: EngineOptions;
  /** UDP port of the datagrams that the process wants; 0 for none. */
  readonly discoveryPort: number;
}

export class KernelProgram {
  readonly maps = new Map<string, BpfMap>();
  private ingress: BpfProgram | undefined;
  private controlProgram: BpfProgram | undefined;
  private readonly folder: string;
  /** Maps of a former process were taken over. */
  adopted = false;

  constructor(private readonly options: KernelProgramOptions) {
    const namespace = /\d+/.exec(readlinkSync('/proc/self/ns/net'))?.[0] ?? '0';
    this.folder = join(options.bpffs, FOLDER, `${options.name}-${namespace}`);
  }

  get control(): BpfProgram {
    if (!this.controlProgram) throw new SutureError('SUT_INTERNAL', 'the kernel program is not loaded');
    return this.controlProgram;
  }

  map(name: string): BpfMap {
    const map = this.maps.get(name);
    if (!map) throw new SutureError('SUT_INTERNAL', `the kernel program has no map ${name}`);
    return map;
  }

  /** All or nothing: what was attached or pinned anew is taken back when a step fails. */
  async start(): Promise<void> {
    await requireBpffs(this.options.bpffs);
    const attached = this.options.interfaces.filter(({ index }) => queryIngress(index, PLACE));
    if (attached.length === 0) rmSync(this.folder, { recursive: true, force: true });
    mkdirSync(this.folder, { recursive: true });
    try {
      this.load();
    } catch (error) {
      if (this.adopted) this.close();
      else await this.remove();
      throw error;
    }
  }

  /** From here on packets go through it. What a former process attached gives way, interface by interface. */
  attach(): void {
    for (const { index } of this.options.interfaces) {
      // A folder among the pins tells whoever detaches that the hook is ours to remove.
      if (attachIngress(index, this.loadedIngress, PLACE))
        mkdirSync(this.hookMark(index), { recursive: true });
    }
  }

  /** Takes the program off and forgets all flows. */
  async remove(): Promise<void> {
    for (const { index, name } of this.options.interfaces) {
      detachIngress(index, PLACE);
      if (existsSync(this.hookMark(index))) await removeUnusedHook(name, index);
    }
    this.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Lets go of it; what is attached goes on. */
  close(): void {
    this.ingress?.close();
    this.controlProgram?.close();
    for (const map of this.maps.values()) map.close();
    this.maps.clear();
  }

  /** Bytes of kernel memory that flows take, whether they are there yet or not. */
  flowMemory(): number {
    return ['flows', 'connections', 'free_slots'].reduce((sum, name) => sum + this.map(name).memlock(), 0);
  }

  events(onRecord: (record: Buffer) => void): RingBuffer {
    return new RingBuffer(this.map('events'), onRecord);
  }

  datagrams(onRecord: (record: Buffer) => void): RingBuffer {
    return new RingBuffer(this.map('datagrams'), onRecord);
  }

  private hookMark(index: number): string {
    return join(this.folder, `hook-${index}`);
  }

  private get loadedIngress(): BpfProgram {
    if (!this.ingress) throw new SutureError('SUT_INTERNAL', 'the kernel program is not loaded');
    return this.ingress;
  }

  private load(): void {
    const { discoveryPort, engine, maxFlows } = this.options;
    const object = BpfObject.open(OBJECT_PATH);
    try {
      object.setConstant('clamp_deadline', engine.clampDeadline);
      object.setConstant('drain_limit', engine.drainLimit);
      object.setConstant('teardown_limit', engine.teardownLimit);
      object.setConstant('clamp_cap', engine.clampCap);
      object.setConstant('max_unpaired', Math.min(engine.maxUnpaired, maxFlows));
      object.setConstant('discovery_port', discoveryPort);
      object.setConstant('shared', engine.shared);
      object.setConstant('ipv6_flag', isKernelAtLeast(release(), BPF_F_IPV6.since) ? BPF_F_IPV6.flag : 0);
      object.setMaxEntries('flows', maxFlows);
      object.setMaxEntries('connections', maxFlows * 2);
      object.setMaxEntries('free_slots', maxFlows);
      const reused = PINNED.filter((name) => object.reusePinned(name, join(this.folder, name)));
      this.adopted = reused.length > 0;
      object.load();
      this.ingress = object.program('suture_ingress');
      this.controlProgram = object.program('suture_control');
      for (const name of PINNED) {
        const map = object.map(name);
        this.maps.set(name, map);
        if (!reused.includes(name)) map.pin(join(this.folder, name));
      }
      this.maps.set('datagrams', object.map('datagrams'));
    } finally {
      object.close();
    }
    if (!this.adopted) fillFreeSlots(this.map('free_slots'));
  }
}

/**
 * Removes what switches have pinned in a network namespace that is about to go, given by its inode: without its interfaces
 * nothing uses it any more, but the kernel would keep it.
 */
export function removePinsOf(namespace: number): void {
  if (!existsSync(PINS)) return;
  for (const folder of readdirSync(PINS)) {
    if (folder.endsWith(`-${namespace}`)) rmSync(join(PINS, folder), { recursive: true, force: true });
  }
}

/** The lowest slots are on top, so that few flows stay close together. */
function fillFreeSlots(map: BpfMap): void {
  if (map.type !== MapType.Stack) throw new SutureError('SUT_INTERNAL', `${map.name} is no stack`);
  const value = Buffer.alloc(4);
  for (let slot = map.maxEntries - 1; slot >= 0; slot--) {
    value.writeUInt32LE(slot);
    map.push(value);
  }
}
