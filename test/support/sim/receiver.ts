/**
 * The receiving half of a simulated TCP end: what arrived, in order or not, and the window it offers.
 * Positions are plain numbers that never wrap: 0 is the SYN, 1 the first byte.
 */
import { MAX_SACK_BLOCKS, OptionBit, type TcpSegment } from '../../../src/wire/segment.js';
import { Ranges } from './ranges.js';
import type { TcpConfig } from './tcp-config.js';

export class Receiver {
  /** RCV.NXT. */
  next = 0;
  /** First byte that the application has not read. */
  read = 1;
  /** RCV.NXT when the window was last told (Linux: rcv_wup), and that window in bytes. */
  told = 0;
  window = 0;
  scale = 0;
  finished = false;
  tsRecent = 0;
  /** Packet that set `tsRecent`: order at the switch's exit, producer, order at its producer. */
  tsLeft = 0;
  tsProducer = -1;
  tsMade = 0;
  readonly outOfOrder = new Ranges();
  #finEnd = -1;
  #latest = 0;
  #dsackLeft = 0;
  #dsackRight = 0;

  constructor(readonly config: TcpConfig) {}

  get unread(): number {
    return this.next - (this.finished ? 1 : 0) - this.read;
  }

  get edge(): number {
    return this.told + this.window;
  }

  has(left: number, right: number): boolean {
    if (left < this.next) left = Math.min(right, this.next);
    return this.outOfOrder.covered(left, right) === right - left;
  }

  /** Takes in [start, end), the last of which is the FIN if there is one; gives whether any of it was new. */
  take(start: number, end: number, fin: boolean): boolean {
    if (this.finished) return false;
    if (fin) this.#finEnd = end;
    const from = Math.max(start, this.next);
    if (start < from) this.#duplicate(start, Math.min(end, from));
    if (from > this.next) {
      const fresh = this.outOfOrder.add(from, end);
      if (fresh < end - from) this.#duplicate(from, end);
      this.#latest = from;
      return fresh > 0;
    }
    const before = this.next;
    if (end > this.next) this.next = this.outOfOrder.endOfRun(end);
    this.outOfOrder.trim(this.next);
    if (this.#finEnd === this.next) this.finished = true;
    return this.next > before;
  }

  /** The window to tell now (Linux: tcp_select_window), in units of the scale. */
  selectWindow(): number {
    const unit = 1 << this.scale;
    const { receiveBuffer } = this.config;
    const mss = Math.min(this.config.mss, receiveBuffer);
    const free = receiveBuffer - this.unread;
    const current = Math.max(0, this.edge - this.next);
    let window = 0;
    if (free >= mss && free >= receiveBuffer >> 4) {
      if (this.scale > 0) window = Math.ceil(free / unit) * unit;
      else {
        window = this.window;
        if (window <= free - mss || window > free) window = Math.floor(free / mss) * mss;
      }
    }
    if (window < current) window = Math.ceil(current / unit) * unit;
    window = Math.min(window, 65535 * unit);
    this.told = this.next;
    this.window = window;
    return window >> this.scale;
  }

  /** True when the application has read so much that the sender should hear of it (tcp_cleanup_rbuf). */
  windowGrew(): boolean {
    const current = Math.max(0, this.edge - this.next);
    const { receiveBuffer } = this.config;
    if (2 * current > receiveBuffer) return false;
    const free = receiveBuffer - this.unread;
    return (
      free >= Math.min(this.config.mss, receiveBuffer) && free >= receiveBuffer >> 4 && free >= 2 * current
    );
  }

  /** Puts SACK blocks into a segment (RFC 2018, RFC 2883); `room` is how many fit. */
  fillSack(segment: TcpSegment, base: number, room: number): void {
    let count = 0;
    if (this.#dsackRight > this.#dsackLeft) {
      segment.sackLeft[count] = base + this.#dsackLeft;
      segment.sackRight[count] = base + this.#dsackRight;
      this.#dsackRight = 0;
      count++;
    }
    const ranges = this.outOfOrder;
    let first = -1;
    for (let i = 0; i < ranges.count; i++) {
      if (ranges.left(i) <= this.#latest && this.#latest < ranges.right(i)) first = i;
    }
    for (let i = -1; i < ranges.count && count < Math.min(room, MAX_SACK_BLOCKS); i++) {
      const index = i < 0 ? first : i;
      if (index < 0 || (i >= 0 && i === first)) continue;
      segment.sackLeft[count] = base + ranges.left(index);
      segment.sackRight[count] = base + ranges.right(index);
      count++;
    }
    segment.sackCount = count;
    if (count > 0) segment.options |= OptionBit.Sack;
  }

  duplicateSegment(start: number, end: number): void {
    this.#duplicate(start, Math.min(end, this.next));
  }

  #duplicate(left: number, right: number): void {
    if (!this.config.dsack || right <= left) return;
    this.#dsackLeft = left;
    this.#dsackRight = right;
  }
}
