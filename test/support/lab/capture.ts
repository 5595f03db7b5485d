/**
 * What passes a host's interface, as tcpdump sees it there: what the host's kernel sent and what reached it, before
 * any rule of the host's can drop it. Packets as the flow engine reads them, so that a test compares values.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { HOST_INTERFACE, type LabHost } from '../../../src/lab/layout.js';
import { destinationOf, formatEndpoint, sourceOf } from '../../../src/wire/endpoint.js';
import { FrameKind, FrameView } from '../../../src/wire/frame.js';
import { TcpSegment } from '../../../src/wire/segment.js';
import { readSegment, TcpParse } from '../../../src/wire/tcp.js';
import { Tuple } from '../../../src/wire/tuple.js';
import type { Rig } from './rig.js';

/** Headers, the longest that a test sends; the payload is not looked at. */
const SNAP_BYTES = 256;
/** libpcap's file format (pcap-savefile(5)), in this machine's byte order. */
const FILE_HEADER = 24;
const RECORD_HEADER = 16;
const MAGIC = 0xa1b2c3d4;

export interface Captured {
  /** Wall clock, ms. */
  readonly at: number;
  /** `address:port` of both ends. */
  readonly from: string;
  readonly to: string;
  readonly segment: TcpSegment;
  readonly ttl: number;
  readonly ipVersion: number;
  /** DSCP and ECN. */
  readonly trafficClass: number;
  /** IPv6 only. */
  readonly flowLabel: number;
  /** Between the IP header proper and TCP: IPv4 options, IPv6 extension headers. */
  readonly between: Buffer;
}

export class PacketCapture {
  readonly #rig: Rig;
  readonly #file: string;
  #packets: Captured[] = [];
  #readTo = 0;

  private constructor(rig: Rig, host: LabHost) {
    this.#rig = rig;
    this.#file = `${rig.folder}/${host}.pcap`;
  }

  /** Begins to capture TCP in a host; it ends with the lab. */
  static async start(rig: Rig, host: Exclude<LabHost, 's'>, filter = 'ip or ip6'): Promise<PacketCapture> {
    const capture = new PacketCapture(rig, host);
    // As root it would give up the right to write into the test's folder.
    const argv = ['tcpdump', '-Z', 'root', '-i', HOST_INTERFACE, '-n', '-U', '--immediate-mode'];
    argv.push('-B', '16384', '-s', `${SNAP_BYTES}`, '-w', capture.#file, filter);
    const program = rig.stage.start(`tcpdump in ${host}`, host, argv);
    await program.line(/listening on/, 30_000);
    return capture;
  }

  /** All TCP packets so far between these two ends, in the order in which they passed. */
  read(one: string, other: string): Captured[] {
    this.#readOn();
    return this.#packets.filter(
      ({ from, to }) => (from === one && to === other) || (from === other && to === one),
    );
  }

  /** The same, once it holds what the test waits for: tcpdump may be a little behind. */
  async until(
    one: string,
    other: string,
    satisfies: (packets: readonly Captured[]) => boolean,
    complaint: string,
  ): Promise<Captured[]> {
    let packets: Captured[] = [];
    await this.#rig.stage.until(
      async () => {
        packets = this.read(one, other);
        return satisfies(packets);
      },
      30_000,
      () => complaint,
    );
    return packets;
  }

  /** Forgets what was captured so far. */
  clear(): void {
    this.#readOn();
    this.#packets = [];
  }

  /** What tcpdump has written since the last time; of the last record perhaps only a part. */
  #readOn(): void {
    const file = openSync(this.#file, 'r');
    try {
      const bytes = Buffer.alloc(fstatSync(file).size - this.#readTo);
      const length = readSync(file, bytes, 0, bytes.length, this.#readTo);
      const fresh = bytes.subarray(0, length);
      if (this.#readTo === 0) {
        if (fresh.length < FILE_HEADER) return;
        if (fresh.readUInt32LE(0) !== MAGIC) throw new Error('tcpdump wrote a file of another format');
        this.#readTo = FILE_HEADER;
        this.#take(fresh.subarray(FILE_HEADER));
      } else {
        this.#take(fresh);
      }
    } finally {
      closeSync(file);
    }
  }

  #take(bytes: Buffer): void {
    let at = 0;
    while (at + RECORD_HEADER <= bytes.length) {
      const start = at + RECORD_HEADER;
      const end = start + bytes.readUInt32LE(at + 8);
      if (end > bytes.length) break;
      const ms = bytes.readUInt32LE(at) * 1000 + bytes.readUInt32LE(at + 4) / 1000;
      const packet = decode(bytes.subarray(start, end), bytes.readUInt32LE(at + 12), ms);
      if (packet) this.#packets.push(packet);
      at = end;
    }
    this.#readTo += at;
  }
}

const view = new FrameView();
const segment = new TcpSegment();
const tuple = new Tuple();
const whole = Buffer.alloc(1 << 17);

/** A frame of which only the first bytes were kept; undefined for what is not TCP. */
function decode(kept: Buffer, length: number, at: number): Captured | undefined {
  kept.copy(whole);
  if (length > whole.length || view.parse(whole, length) !== FrameKind.Tcp) return undefined;
  if (readSegment(whole, view.l4, view.end, segment) !== TcpParse.Ok) return undefined;
  view.readTuple(tuple);
  const isIpv6 = view.ipVersion === 6;
  return {
    at,
    from: formatEndpoint(sourceOf(tuple)),
    to: formatEndpoint(destinationOf(tuple)),
    segment: new TcpSegment().copyFrom(segment),
    ttl: view.ttl,
    ipVersion: view.ipVersion,
    trafficClass: isIpv6 ? (whole.readUInt16BE(view.l3) >> 4) & 0xff : (whole[view.l3 + 1] as number),
    flowLabel: isIpv6 ? whole.readUInt32BE(view.l3) & 0xfffff : 0,
    between: Buffer.from(whole.subarray(view.l3 + (isIpv6 ? 40 : 20), view.l4)),
  };
}
