/** The application above an end: it writes, reads and ends its stream by a script, and can take turns. */
import type { EventQueue, Wakeable } from './events.js';
import type { Random } from './random.js';
import type { TcpEnd } from './tcp.js';
import type { TcpOwner } from './tcp-config.js';

export interface AppScript {
  /** Bytes that it writes in all. */
  readonly total: number;
  /** Written at once, and the pause after it; 0 pauses nothing. */
  readonly chunk: number;
  readonly pause: number;
  readonly startDelay: number;
  /** Read at once, and the pause before it; 0 reads all as soon as it comes. */
  readonly readChunk: number;
  readonly readPause: number;
  /** Once it has read so much, it reads nothing for a while. */
  readonly nap?: { readonly after: number; readonly ms: number };
  /** Turns: `mine` bytes may follow for every `theirs` read. */
  readonly turns: { readonly first: boolean; readonly mine: number; readonly theirs: number } | undefined;
  /** Ends its stream only after the other end has. */
  readonly endsSecond: boolean;
  readonly endDelay: number;
  /** Milliseconds after the handshake at which it resets the connection. */
  readonly resetAt: number;
}

const Code = { Write: 0, Read: 1, End: 2, Reset: 3 } as const;

export class App implements TcpOwner, Wakeable {
  readBytes = 0;
  didReset = false;
  #established = false;
  #nextWrite = 0;
  #napUntil = Number.NEGATIVE_INFINITY;
  #writing = false;
  #reading = false;
  #ending = false;

  constructor(
    readonly script: AppScript,
    readonly end: TcpEnd,
    readonly events: EventQueue,
    readonly random: Random,
    /** What it reads is this much further in its stream than the count of its bytes says. */
    readonly receiveShift: number,
  ) {
    end.owner = this;
  }

  onEstablished(): void {
    const { events, script } = this;
    this.#established = true;
    this.#nextWrite = events.now + script.startDelay;
    if (script.resetAt < Number.POSITIVE_INFINITY)
      events.schedule(events.now + script.resetAt, this, Code.Reset);
    this.onProgress();
  }

  onProgress(): void {
    if (!this.#established) return;
    const { script, end, events } = this;
    if (end.readable > 0) {
      if (events.now < this.#napUntil) this.#readAt(this.#napUntil);
      else if (script.readPause === 0) this.#read(end.readable);
      else if (!this.#reading) this.#readAt(events.now + this.random.next() * 2 * script.readPause);
    }
    this.#write();
    this.#finish();
  }

  onReset(): void {}

  wake(code: number): void {
    if (this.end.over && code !== Code.Read) return;
    if (code === Code.Read) {
      this.#reading = false;
      this.#read(Math.min(this.end.readable, this.script.readChunk));
    } else if (code === Code.Write) this.#writing = false;
    else if (code === Code.End) this.end.shutdown();
    else {
      this.didReset = true;
      this.end.abort();
      return;
    }
    this.onProgress();
  }

  #readAt(when: number): void {
    if (this.#reading) return;
    this.#reading = true;
    this.events.schedule(when, this, Code.Read);
  }

  #read(bytes: number): void {
    const { nap } = this.script;
    if (nap && this.readBytes < nap.after && this.readBytes + bytes >= nap.after)
      this.#napUntil = this.events.now + nap.ms;
    this.readBytes += bytes;
    this.end.read(bytes);
  }

  #allowed(): number {
    const { turns, total } = this.script;
    if (turns === undefined) return total;
    const got = Math.max(0, this.readBytes + this.receiveShift);
    return Math.min(total, turns.mine * (Math.floor(got / turns.theirs) + (turns.first ? 1 : 0)));
  }

  #write(): void {
    const { script, end, events } = this;
    for (;;) {
      const left = this.#allowed() - end.writtenBytes;
      const bytes = Math.min(left, script.chunk, end.writable);
      if (bytes <= 0 || this.#writing) return;
      if (events.now < this.#nextWrite) {
        this.#writing = true;
        events.schedule(this.#nextWrite, this, Code.Write);
        return;
      }
      this.#nextWrite = events.now + this.random.next() * 2 * script.pause;
      end.write(bytes);
    }
  }

  #finish(): void {
    const { script, end, events } = this;
    if (this.#ending || end.writtenBytes < script.total) return;
    if (script.endsSecond && !end.ended) return;
    this.#ending = true;
    events.schedule(events.now + script.endDelay, this, Code.End);
  }
}
