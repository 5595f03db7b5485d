/**
 * One stream of a link, as frames. It lies on any duplex stream; in use that is a stream of an HTTP/2
 * connection, which gives it a window of its own, so one that is not read holds up no other.
 *
 * What always holds: frames leave and arrive in order; the stream is closed exactly once, and says whether both
 * ends had finished it. Nothing is handed on after a reset.
 */
import type { Duplex } from 'node:stream';
import {
  type ControlType,
  controlFrame,
  FrameDecoder,
  type FrameSink,
  FrameType,
  frameHeader,
  MAX_DATA_BYTES,
} from './codec.js';

export interface FrameHandler extends FrameSink {
  /** Nothing comes any more. `orderly`: both ends finished it; `fault`: what came could not be. */
  closed(orderly: boolean, fault?: unknown): void;
}

export class FrameStream {
  readonly #duplex: Duplex;
  readonly #decoder = new FrameDecoder();
  #handler: FrameHandler | undefined;
  readonly #resetDuplex: () => void;
  #ended = false;
  #wasReset = false;
  #fault: unknown;
  #closed = false;

  /** `reset`: closes the stream so that the other end sees that it was no orderly end. */
  constructor(duplex: Duplex, reset = (): void => void duplex.destroy()) {
    this.#duplex = duplex;
    this.#resetDuplex = reset;
    duplex.on('error', () => {});
    duplex.on('close', () => this.#onClose());
  }

  /** Bytes that wait for the other end's window. */
  get writableLength(): number {
    return this.#duplex.writableLength;
  }

  get readableLength(): number {
    return this.#duplex.readableLength;
  }

  /** From now on frames go to `handler`; one that is closed already is told so. */
  start(handler: FrameHandler): void {
    this.#handler = handler;
    if (this.#closed) {
      handler.closed(false);
      return;
    }
    this.#duplex.on('data', (chunk: Buffer) => this.#take(chunk));
    this.#duplex.on('end', () => {
      this.#ended = true;
    });
  }

  /** `onSent`: the bytes have left this process, or never will. */
  sendData(chunk: Buffer, onSent: () => void): void {
    if (this.#closed || this.#wasReset) return;
    for (let at = 0; at < chunk.length; at += MAX_DATA_BYTES) {
      const piece = chunk.subarray(at, at + MAX_DATA_BYTES);
      this.#duplex.cork();
      this.#duplex.write(frameHeader(FrameType.Data, piece.length));
      this.#duplex.write(piece, onSent);
      this.#duplex.uncork();
    }
  }

  send(type: ControlType, payload?: Buffer): void {
    if (this.#closed || this.#wasReset || this.#duplex.writableEnded) return;
    this.#duplex.write(controlFrame(type, payload));
  }

  pause(): void {
    this.#duplex.pause();
  }

  resume(): void {
    if (this.#duplex.isPaused()) this.#duplex.resume();
  }

  /** This end has nothing more to send. The stream closes when the other end says the same. */
  finish(): void {
    if (!this.#duplex.writableEnded) this.#duplex.end();
    this.#duplex.resume();
  }

  reset(): void {
    if (this.#wasReset || this.#closed) return;
    this.#wasReset = true;
    this.#resetDuplex();
  }

  #take(chunk: Buffer): void {
    const handler = this.#handler;
    if (!handler || this.#wasReset) return;
    try {
      this.#decoder.push(chunk, handler);
    } catch (error) {
      // Nothing more on this stream can be relied on.
      this.#fault = error;
      this.reset();
    }
  }

  #onClose(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#handler?.closed(this.#ended && !this.#wasReset && this.#duplex.writableFinished, this.#fault);
  }
}
