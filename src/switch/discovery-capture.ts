/**
 * Discovery datagrams as they come in, with their IP header: a socket could not tell by which interface and
 * with what TTL each was received.
 */
import { interfaceFacts } from '../dataplane/interface-facts.js';
import { Capture } from '../dataplane/userspace/capture.js';
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

/** Sixteen datagrams: they are few, and who gets no answer asks again. libpcap takes this and as much again. */
const RING_BYTES = 1 << 20;

export class DiscoveryCapture {
  private captures: Capture[] = [];
  private readonly frame = new FrameView();

  constructor(
    private readonly interfaces: readonly string[],
    private readonly port: number,
    private readonly onDatagram: (datagram: CapturedDatagram) => void,
  ) {}

  async start(): Promise<void> {
    for (const device of this.interfaces) {
      const { mac } = await interfaceFacts(device);
      const filter = `udp dst port ${this.port} and not ether src ${mac}`;
      const take = (bytes: Buffer, length: number): void => this.receive(device, bytes, length);
      const capture = new Capture(device, filter, take, RING_BYTES);
      this.captures.push(capture);
      capture.start();
    }
  }

  /** Sends a frame out of one of the interfaces. `frame` is made for its MAC address. */
  async send(device: string, frame: (mac: string) => Buffer): Promise<void> {
    const { mac } = await interfaceFacts(device);
    this.captures.find((capture) => capture.device === device)?.send(frame(mac));
  }

  stop(): void {
    for (const capture of this.captures) capture.stop();
    this.captures = [];
  }

  private receive(device: string, bytes: Buffer, length: number): void {
    this.frame.parse(bytes, length);
    const datagram = readDatagram(this.frame);
    if (datagram === undefined) return;
    const { tuple, ttl, payload } = datagram;
    this.onDatagram({
      interface: device,
      source: sourceOf(tuple),
      destination: destinationOf(tuple),
      ttl,
      payload,
    });
  }
}
