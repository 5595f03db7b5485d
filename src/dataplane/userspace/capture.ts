/**
 * Packets that come in by one interface, by libpcap (`cap`).
 *
 * The addon dispatches packets one by one until its ring is empty, and nothing else of the process runs
 * meanwhile. So whoever handles a packet must not wait for anything that needs the event loop; see
 * `userspace.ts` for how requests and timers get their turn all the same.
 */
import capAddon from 'cap';
import { SutureError } from '../../platform/errors.js';

/**
 * libpcap's ring, bytes. In immediate mode each packet takes a whole slot of its largest size, so this holds
 * about a thousand packets: a quarter of it lost some in bursts of acks.
 */
const RING_BYTES = 64 << 20;
/** Of a capture that is to see few packets or none. libpcap takes this and as much again. */
export const SMALL_RING_BYTES = 1 << 20;
/** The addon asks libpcap for 65535 bytes a frame; the rest is alignment. */
const FRAME_BYTES = 65_536;

/**
 * What was ever made of the addon, so that no garbage collection destroys one: its destructor asks Node for what is not
 * there during a collection, which ends the process (SIGSEGV), and its poll handle is in libuv's list still. Some
 * hundred bytes each; there are as many as captures were begun.
 */
const neverDestroyed: unknown[] = [];

export type FrameHandler = (bytes: Buffer, length: number, truncated: boolean) => void;

export class Capture {
  private readonly cap = new capAddon.Cap();
  /** Held here for as long as the capture runs: the addon writes into it and keeps no reference. */
  private readonly buffer = Buffer.alloc(FRAME_BYTES);
  private open = false;

  constructor(
    readonly device: string,
    private readonly filter: string,
    private readonly onFrame: FrameHandler,
    private readonly ringBytes = RING_BYTES,
  ) {
    neverDestroyed.push(this.cap);
  }

  start(): void {
    try {
      const link = this.cap.open(this.device, this.filter, this.ringBytes, this.buffer);
      this.open = true;
      if (link !== 'ETHERNET') throw new Error(`its link type is ${link}, and only Ethernet is read`);
    } catch (error) {
      this.stop();
      const why = error instanceof Error ? error.message : String(error);
      throw new SutureError(
        'SUT_CAPTURE_FAILED',
        `can't capture on ${this.device}: ${why}. It needs libpcap, CAP_NET_RAW and an Ethernet interface that is up`,
        { cause: error },
      );
    }
    this.cap.on('packet', (length, truncated) => this.onFrame(this.buffer, length, truncated));
  }

  stop(): void {
    if (this.open) this.cap.close();
    this.open = false;
    this.cap.removeAllListeners();
  }
}

/**
 * The frames that the data path must see: those for this host's MAC address (what a switched network floods
 * to us is not ours to forward) from or to an agent's address, but for this host's own. UDP is left out
 * before it costs anything. The destination MAC keeps out what this host sends as well; `inbound` would say
 * so more plainly, but libpcap runs the filter itself for a first packet, where it can't tell a direction.
 */
export function packetFilter(mac: string, agents: readonly string[], own: readonly string[]): string {
  const hosts = agents.map((address) => `host ${address}`).join(' or ');
  const notOwn = own.map((address) => ` and not host ${address}`).join('');
  return `ether dst ${mac} and not udp and (${hosts})${notOwn}`;
}
