/**
 * What an accepted socket says before it is relayed, when that decides where it goes.
 *
 * What always holds: no byte is lost. Those that are taken are counted as consumed; the others are `rest`, the
 * beginning of the stream that the relay copies. The socket is paused whenever nobody waits for more.
 */
import type { Socket } from 'node:net';
import { wasReset } from '../platform/sockets.js';

/** How reading went on: more bytes, or why there will be none. */
export type Heard = 'more' | 'ended' | 'lost' | 'late' | 'full';

export interface GreetingOptions {
  /** Bytes, beyond which nothing more is waited for. What one read brings may lie above it. */
  readonly limit: number;
  /** Aborts when there is no more time. */
  readonly deadline: AbortSignal;
}

export class Greeting {
  /** Bytes that were read and taken. */
  consumed = 0;
  #rest: Buffer = Buffer.alloc(0);
  #ended = false;
  #lost = false;
  #wake: () => void = () => {};
  readonly #socket: Socket;
  readonly #options: GreetingOptions;

  constructor(socket: Socket, options: GreetingOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#lost = socket.destroyed;
    socket.on('data', this.#onData).on('end', this.#onEnd).on('close', this.#onClose);
    // A listener for data sets the stream flowing.
    socket.pause();
    options.deadline.addEventListener('abort', this.#onAbort);
  }

  get rest(): Buffer {
    return this.#rest;
  }

  /** Waits until more has come. */
  async more(): Promise<Heard> {
    const { deadline, limit } = this.#options;
    const before = this.#rest.length;
    while (this.#rest.length === before) {
      if (this.#lost) return 'lost';
      if (this.#ended) return 'ended';
      if (deadline.aborted) return 'late';
      if (before >= limit) return 'full';
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#socket.resume();
      await woken;
    }
    return 'more';
  }

  /** The first bytes of the rest, which the relay will not see. */
  take(length: number): Buffer {
    const taken = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(length);
    this.consumed += taken.length;
    return taken;
  }

  /** Lets go of the socket, which stays paused. */
  close(): void {
    const socket = this.#socket;
    socket.pause();
    socket.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onClose);
    this.#options.deadline.removeEventListener('abort', this.#onAbort);
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    this.#socket.pause();
    this.#wake();
  };

  readonly #onEnd = (): void => {
    if (wasReset(this.#socket)) this.#lost = true;
    this.#ended = true;
    this.#wake();
  };

  readonly #onClose = (): void => {
    this.#lost = true;
    this.#wake();
  };

  readonly #onAbort = (): void => this.#wake();
}
