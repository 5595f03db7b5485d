/**
 * The sending half of a simulated TCP end: window and congestion control, loss recovery, probes. Positions
 * are plain numbers that never wrap: 0 is the SYN, 1 the first byte, and a FIN has the one after the last.
 */
import type { Random } from './random.js';
import { Ranges } from './ranges.js';
import type { TcpConfig } from './tcp-config.js';

const NEVER = Number.POSITIVE_INFINITY;
const MAX_RTO = 60_000;

/** Puts the range on the wire; a range that reaches beyond the data has the FIN. */
export interface SenderOutput {
  segment(start: number, end: number): void;
  /** A bare ack with SND.UNA − 1, which draws an answer. */
  probe(): void;
}

export class Sender {
  /** SND.UNA, SND.NXT (which never goes back, as in Linux), SND.WND and SND.WL1. */
  una = 0;
  nxt = 0;
  wnd = 0;
  wl1 = 0;
  /** Position after the last byte that the application wrote. */
  written = 1;
  fin = false;
  mss = 536;
  sack = false;
  rtoAt = NEVER;
  tailAt = NEVER;
  persistAt = NEVER;
  retransmitted = 0;
  timeouts = 0;
  readonly sacked = new Ranges();
  #cwnd = 0;
  #ssthresh = NEVER;
  #lossEnd = 0;
  #retransmitNext = 0;
  #recoverEnd = -1;
  #afterTimeout = false;
  #duplicateAcks = 0;
  #smoothed = 0;
  #variance = 0;
  #rto: number;
  #backoff = 0;
  #probes = 0;
  #maxWindow = 0;
  #timedEnd = -1;
  #timedAt = 0;

  constructor(
    readonly config: TcpConfig,
    readonly random: Random,
    readonly output: SenderOutput,
  ) {
    this.#rto = config.minRto;
  }

  get limit(): number {
    return this.written + (this.fin ? 1 : 0);
  }

  get windowEnd(): number {
    return this.una + this.wnd;
  }

  start(mss: number): void {
    this.mss = mss;
    this.#cwnd = 10 * mss;
  }

  /** Sends what may be sent: lost segments first, then new data. */
  push(now: number): void {
    this.#retransmit();
    this.#fresh(now);
    if (this.una < this.nxt) {
      this.persistAt = NEVER;
      if (this.rtoAt === NEVER && this.tailAt === NEVER) this.#armRetransmission(now);
    } else if (this.nxt < this.limit && this.persistAt === NEVER) {
      this.persistAt = now + Math.min(MAX_RTO, this.#rto * 2 ** this.#probes);
    }
  }

  #pipe(): number {
    const { una, nxt, sacked } = this;
    const from = Math.max(una, this.#retransmitNext);
    const lost = this.#lossEnd > from ? this.#lossEnd - from - sacked.covered(from, this.#lossEnd) : 0;
    const gone = this.sack ? sacked.covered(una, nxt) : this.#duplicateAcks * this.mss;
    return Math.max(0, nxt - una - gone - lost);
  }

  #retransmit(): void {
    const end = this.windowEnd;
    while (this.#retransmitNext < this.#lossEnd) {
      const start = this.sacked.endOfRun(Math.max(this.#retransmitNext, this.una));
      if (start >= this.#lossEnd) {
        this.#retransmitNext = this.#lossEnd;
        return;
      }
      if (start !== this.una && (start >= end || this.#pipe() >= this.#cwnd)) return;
      let stop = Math.min(start + this.#pieceLength(), this.sacked.nextLeft(start, this.#lossEnd));
      if (start < end && stop > end) stop = end;
      this.#resend(start, stop);
      this.#retransmitNext = stop;
    }
  }

  #resend(start: number, stop: number): void {
    this.retransmitted++;
    this.#timedEnd = -1;
    this.output.segment(start, stop);
  }

  #pieceLength(): number {
    if (!this.random.chance(this.config.reshape)) return this.mss;
    return this.random.int(1, this.mss * Math.min(3, this.config.supers));
  }

  #fresh(now: number): void {
    const mss = this.#boundedMss();
    while (this.nxt < this.limit) {
      const available = this.limit - this.nxt;
      const inWindow = this.windowEnd - this.nxt;
      const least = Math.min(available, mss);
      if (inWindow < least) return;
      const room = this.#cwnd - this.#pipe();
      if (room < least && this.una < this.nxt) return;
      let length = Math.min(available, inWindow, Math.max(room, least));
      const most = this.config.supers > 1 ? mss * this.random.int(1, this.config.supers) : mss;
      if (length > most) length = most;
      else if (length > mss && length < available) length -= length % mss;
      const start = this.nxt;
      this.nxt += length;
      if (this.#timedEnd < 0) {
        this.#timedEnd = this.nxt;
        this.#timedAt = now;
      }
      this.output.segment(start, this.nxt);
    }
  }

  /** Linux tcp_bound_to_half_wnd: a small window is filled in halves. */
  #boundedMss(): number {
    this.#maxWindow = Math.max(this.#maxWindow, this.wnd);
    const half = this.#maxWindow > 536 ? this.#maxWindow >> 1 : this.#maxWindow;
    return half > 0 ? Math.min(this.mss, Math.max(half, 48)) : this.mss;
  }

  /** An acceptable ack came: `pure` if it carried nothing else and changed no window. */
  acked(ack: number, pure: boolean, now: number): void {
    if (ack > this.una) this.#advance(ack, now);
    else if (pure && this.nxt > this.una) this.#duplicateAcks++;
    this.#detectLoss();
  }

  #advance(ack: number, now: number): void {
    const newly = ack - this.una;
    this.una = ack;
    this.sacked.trim(ack);
    this.#backoff = 0;
    this.#probes = 0;
    this.persistAt = NEVER;
    if (this.#timedEnd >= 0 && ack >= this.#timedEnd) this.#sample(now - this.#timedAt);
    if (this.#retransmitNext < ack) this.#retransmitNext = ack;
    if (this.#lossEnd < ack) this.#lossEnd = ack;
    this.#duplicateAcks = 0;
    if (this.#recoverEnd >= 0 && ack >= this.#recoverEnd) {
      this.#recoverEnd = -1;
      this.#afterTimeout = false;
      this.#cwnd = Math.max(2 * this.mss, Math.min(this.#cwnd, this.#ssthresh));
    } else if (this.#recoverEnd >= 0 && !this.sack && !this.#afterTimeout) {
      this.#retransmitNext = ack;
      this.#lossEnd = Math.min(this.nxt, ack + this.mss);
    }
    if (this.#recoverEnd < 0 || this.#afterTimeout) {
      this.#cwnd += this.#cwnd < this.#ssthresh ? newly : (this.mss * newly) / this.#cwnd;
    }
    this.rtoAt = NEVER;
    this.tailAt = NEVER;
    if (this.una < this.nxt) this.#armRetransmission(now);
  }

  /** RFC 6298 section 2. */
  #sample(rtt: number): void {
    this.#timedEnd = -1;
    if (this.#smoothed === 0) {
      this.#smoothed = rtt;
      this.#variance = rtt / 2;
    } else {
      this.#variance += (Math.abs(rtt - this.#smoothed) - this.#variance) / 4;
      this.#smoothed += (rtt - this.#smoothed) / 8;
    }
    this.#rto = Math.max(this.config.minRto, this.#smoothed + 4 * this.#variance);
  }

  #detectLoss(): void {
    const { sacked, mss } = this;
    let lossEnd = this.#lossEnd;
    if (this.sack && sacked.count > 0) {
      // RFC 6675 IsLost: three segments' worth was sacked above it.
      let above = 0;
      for (let i = sacked.count - 1; i >= 0; i--) {
        above += sacked.right(i) - sacked.left(i);
        if (above > 2 * mss || this.#duplicateAcks >= 3) {
          lossEnd = Math.max(lossEnd, sacked.left(i));
          break;
        }
      }
    } else if (this.#duplicateAcks >= 3 && this.#recoverEnd < 0 && this.una < this.nxt) {
      lossEnd = Math.max(lossEnd, Math.min(this.nxt, this.una + mss));
    }
    if (lossEnd <= this.#lossEnd) return;
    if (this.#recoverEnd < 0) {
      this.#recoverEnd = this.nxt;
      this.#ssthresh = Math.max(2 * mss, this.#cwnd / 2);
      this.#cwnd = this.#ssthresh;
      this.#retransmitNext = this.una;
      this.tailAt = NEVER;
    }
    this.#lossEnd = lossEnd;
  }

  #armRetransmission(now: number): void {
    const tail =
      this.config.tailProbes && this.#recoverEnd < 0 && this.sacked.count === 0 && this.#smoothed > 0;
    if (tail)
      this.tailAt = now + Math.max(10, 2 * this.#smoothed) + (this.nxt - this.una <= this.mss ? 40 : 0);
    else this.rtoAt = now + Math.min(MAX_RTO, this.#rto * 2 ** this.#backoff);
  }

  onTailTimer(now: number): void {
    this.tailAt = NEVER;
    if (this.una >= this.nxt) return;
    this.#resend(Math.max(this.una, this.nxt - this.mss), this.nxt);
    this.rtoAt = now + this.#rto;
  }

  onRetransmissionTimer(now: number): void {
    this.rtoAt = NEVER;
    if (this.una >= this.nxt) return;
    this.timeouts++;
    this.#backoff++;
    this.#ssthresh = Math.max(2 * this.mss, this.#pipe() / 2);
    this.#cwnd = this.mss;
    this.#duplicateAcks = 0;
    this.#recoverEnd = this.nxt;
    this.#afterTimeout = true;
    // The head was sacked and yet never acked: the receiver must have let it go (RFC 2018 section 8).
    if (this.sacked.endOfRun(this.una) > this.una) this.sacked.clear();
    this.#retransmitNext = this.una;
    this.#lossEnd = this.nxt;
    this.push(now);
    this.tailAt = NEVER;
    this.rtoAt = now + Math.min(MAX_RTO, this.#rto * 2 ** this.#backoff);
  }

  /** Linux tcp_write_wakeup: what fits into a small window, or a bare probe of a closed one. */
  onPersistTimer(now: number): void {
    this.persistAt = NEVER;
    if (this.nxt >= this.limit || this.una < this.nxt) return;
    this.#probes++;
    if (this.windowEnd > this.nxt) {
      const start = this.nxt;
      this.nxt = Math.min(this.limit, this.windowEnd, start + this.mss);
      this.output.segment(start, this.nxt);
    } else {
      this.output.probe();
    }
    this.push(now);
  }
}
