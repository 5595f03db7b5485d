/**
 * Discovery datagrams as they come in, with their IP header: a socket could not tell by which interface and
 * with what TTL each was received.
 */
import { interfaceFacts } from '../dataplane/interface-facts.js';
import type { OnFrame } from '../dataplane/port.js';
import { Capture, SMALL_RING_BYTES } from '../dataplane/userspace/capture.js';
import { destinationOf, sourceOf } from '../wire/endpoint.js';
import { FrameView } from '../wire/frame.js';
import { readDatagram } from '../wire/udp.js';

export interface CapturedDatagram {
  readonly interface: string;
  readonly source: { readonly address: string; readonly port: number };
  readonly destination: { readonly address: string; readonly port: number };
  /** TTL or hop limit. */
  readonly ttl: number;
  readonly payload: Uint8Array;
}

/**
 * For the userspace path; on the kernel path the program hands these frames over. A small ring: they are few, and who
 * gets no answer asks again.
 */
export class DiscoveryCapture {
  private captures: Capture[] = [];

  constructor(
    private readonly interfaces: readonly string[],
    private readonly port: number,
    private readonly onFrame: OnFrame,
  ) {}

  async start(): Promise<void> {
    for (const device of this.interfaces) {
      const { mac } = await interfaceFacts(device);
      const filter = `udp dst port ${this.port} and not ether src ${mac}`;
      const take = (bytes: Buffer, length: number): void => this.onFrame(device, bytes, length);
      const capture = new Capture(device, filter, take, SMALL_RING_BYTES);
      this.captures.push(capture);
      capture.start();
    }
  }

  stop(): void {
    for (const capture of this.captures) capture.stop();
    this.captures = [];
  }
}

const view = new FrameView();

/** What is in a frame; undefined when it is no whole datagram. */
export function datagramIn(device: string, bytes: Buffer, length: number): CapturedDatagram | undefined {
  view.parse(bytes, length);
  const datagram = readDatagram(view);
  if (datagram === undefined) return undefined;
  const { tuple, ttl, payload } = datagram;
  return { interface: device, source: sourceOf(tuple), destination: destinationOf(tuple), ttl, payload };
}
