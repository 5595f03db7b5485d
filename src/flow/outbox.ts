/** The segments that one engine call sends. Reused: its contents are valid until the next call. */
import { TcpSegment } from '../wire/segment.js';
import { Tuple } from '../wire/tuple.js';

/** One segment to send. */
export class Emission {
  /** Addresses and ports to send it with. */
  tuple: Tuple = NO_TUPLE;
  /** Header fields to send it with. It carries the first `payloadLength` bytes of the received packet's payload. */
  readonly segment = new TcpSegment();
  /** Made by the engine (a bare ack or a reset), or the received packet, edited. */
  made = false;
  /** What the receiver takes in one segment, options included (its MSS, RFC 6691). */
  mss = 0;
}

const NO_TUPLE = new Tuple();

export class Outbox {
  count = 0;
  private readonly items: Emission[] = [];

  at(index: number): Emission {
    const item = this.items[index];
    if (item === undefined || index >= this.count) throw new RangeError(`outbox holds ${this.count}`);
    return item;
  }

  clear(): void {
    this.count = 0;
  }

  /** A segment that the engine makes; returns it, empty, to be filled. */
  addMade(tuple: Tuple, mss: number): TcpSegment {
    const emission = this.add(tuple, mss);
    emission.made = true;
    return emission.segment.clear();
  }

  /** The received segment with the first `length` bytes of its payload; returns it as it came, but for that. */
  addEdited(tuple: Tuple, mss: number, received: TcpSegment, length: number): TcpSegment {
    const emission = this.add(tuple, mss);
    emission.made = false;
    const segment = emission.segment.copyFrom(received);
    segment.payloadLength = length;
    return segment;
  }

  /** Allocates only while the outbox grows. */
  private add(tuple: Tuple, mss: number): Emission {
    let item = this.items[this.count];
    if (item === undefined) {
      item = new Emission();
      this.items.push(item);
    }
    this.count++;
    item.tuple = tuple;
    item.mss = mss;
    return item;
  }
}
