/** The segments that one engine call sends. Reused: its contents are valid until the next call. */
import { TcpSegment } from '../wire/segment.js';
import { Tuple } from '../wire/tuple.js';

/** One segment to send. */
export class Emission {
  /** Addresses and ports to send it with. */
  tuple: Tuple = NO_TUPLE;
  /** Header fields to send it with; its `payloadLength` is `payloadEnd - payloadStart`. */
  readonly segment = new TcpSegment();
  /** The part of the received packet's payload that it carries; none for one that the engine made. */
  payloadStart = 0;
  payloadEnd = 0;
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

  /** The next free emission, to be filled by the caller. Allocates only while the outbox grows. */
  add(): Emission {
    let item = this.items[this.count];
    if (item === undefined) {
      item = new Emission();
      this.items.push(item);
    }
    this.count++;
    return item;
  }
}
