/**
 * Packets of the simulation: a TCP header as the engine sees it, and instead of payload bytes the number of
 * the first one in its stream. A receiver that knows which number belongs to which sequence number sees
 * loss, doubling and change without a byte being copied.
 */
import { TcpSegment } from '../../../src/wire/segment.js';

/** Which way a packet goes; each is one of the four tuples that a flow has. */
export const Path = { PeerToShell: 0, ShellToPeer: 1, ShellToCore: 2, CoreToShell: 3 } as const;
export type Path = (typeof Path)[keyof typeof Path];

export const Host = { Peer: 0, Shell: 1, Core: 2, Switch: 3 } as const;
export type Host = (typeof Host)[keyof typeof Host];

/** Content numbers of the down stream begin here, so that the two streams can never be mistaken. */
export const DOWN_CONTENT = 1e9;

export class Packet {
  path: Path = Path.PeerToShell;
  readonly segment = new TcpSegment();
  /** Number of the first payload byte in its stream. Meaningless without payload. */
  content = 0;
  /** The number after the last byte, or FIN, of the whole that the switch sent at once; this may be a part of it. */
  wholeEnd = 0;
  /** Who made the segment; the switch's edits do not change it. */
  producer: Host = Host.Peer;
  /** Counts all packets by the order in which their producer made them. */
  made = 0;
  /** Counts all packets by the order in which they left the switch. */
  left = 0;
  /** Free for the receiver: set once it was counted as lost or dropped. */
  alive = false;
}

export class PacketPool {
  #free: Packet[] = [];
  #made = 0;

  take(path: Path, producer: Host): Packet {
    const packet = this.#free.pop() ?? new Packet();
    packet.path = path;
    packet.producer = producer;
    packet.made = ++this.#made;
    packet.left = 0;
    packet.alive = true;
    return packet;
  }

  /** The same packet again (duplication in the network, editing in the switch). */
  clone(original: Packet): Packet {
    const packet = this.take(original.path, original.producer);
    packet.segment.copyFrom(original.segment);
    packet.content = original.content;
    packet.wholeEnd = original.wholeEnd;
    packet.made = original.made;
    packet.left = original.left;
    return packet;
  }

  release(packet: Packet): void {
    if (!packet.alive) throw new Error('a packet was released twice');
    packet.alive = false;
    this.#free.push(packet);
  }
}
