/**
 * A connection in its first phase, at either end of a link: copies bytes between a socket (at the shell the
 * peer's, at the core the local server's) and a stream of the link, until both directions have ended or have
 * left for an inner connection.
 *
 * What always holds: bytes leave in the order in which they came, none is added or left out; a direction leaves
 * with its position, after which this end neither reads the socket nor writes to the stream for it; the other
 * end's position has to be what arrived. When the stream or the socket fails before that, the other is reset.
 * A direction holds at most its buffer limit plus two reads in user space.
 */
import type { Socket } from 'node:net';
import { codeOf, resetSocket, wasReset } from '../../platform/sockets.js';
import { type ControlType, FrameType, linkFault, positionOf, positionPayload } from './codec.js';
import type { FrameStream } from './frame-stream.js';

export interface LinkedRelayOptions {
  readonly bufferBytes: number;
  /** What is not about bytes: asking for the move, and agreeing on it. */
  readonly onControl: (type: ControlType, payload: Buffer) => void;
  /** All that the other end sends on the link has come; its next byte comes on the inner connection. */
  readonly onFarLeft: () => void;
}

export interface LinkedEnd {
  /** Both directions go on elsewhere; otherwise the connection is over. */
  readonly moved: boolean;
  /** What ended it other than an end from both sides. */
  readonly cause?: string;
}

export class LinkedRelay {
  /** Bytes of the connection that went to the link and came from it. */
  sent = 0;
  received = 0;
  /** Resolves when the connection is over here, or has moved. */
  readonly closed: Promise<LinkedEnd>;
  readonly #near: Socket;
  readonly #frames: FrameStream;
  readonly #options: LinkedRelayOptions;
  #nearEnded = false;
  #farEnded = false;
  #left = false;
  #farLeft = false;
  #cause: string | undefined;
  #resolve: (end: LinkedEnd) => void = () => {};

  constructor(near: Socket, frames: FrameStream, options: LinkedRelayOptions) {
    this.#near = near;
    this.#frames = frames;
    this.#options = options;
    this.closed = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  /** Neither direction has ended. */
  get open(): boolean {
    return !this.#nearEnded && !this.#farEnded && this.#cause === undefined && !this.#near.destroyed;
  }

  get moved(): boolean {
    return this.#left && this.#farLeft;
  }

  /** Bytes in user space, in both directions. */
  get held(): number {
    const near = this.#near.readableLength + this.#near.writableLength;
    return near + this.#frames.readableLength + this.#frames.writableLength;
  }

  /** `early`: what the link is given before anything that is read from the socket now. */
  start(early: Buffer): void {
    const near = this.#near;
    near.on('error', (error) => this.#abort(codeOf(error)));
    near.on('close', () => this.#onNearClose());
    if (near.destroyed) {
      this.#abort('ECONNRESET');
      return;
    }
    this.#frames.start({
      data: (piece) => this.#take(piece),
      control: (type, payload) => this.#control(type, payload),
      closed: (orderly, fault) => this.#onStreamClosed(orderly, fault),
    });
    if (early.length > 0) this.#copy(early);
    near.on('data', this.#copy);
    near.on('end', this.#end);
    if (near.readableEnded) this.#end();
    else if (this.#frames.writableLength <= this.#options.bufferBytes) near.resume();
  }

  /** From the next byte on this direction goes on elsewhere: the socket is nobody's until someone reads it. */
  leave(): void {
    if (this.#left) return;
    this.#left = true;
    const near = this.#near;
    near.off('data', this.#copy);
    near.off('end', this.#end);
    near.pause();
    this.#frames.send(FrameType.Switch, positionPayload(this.sent));
    this.#settleMove();
  }

  send(type: ControlType, payload?: Buffer): void {
    this.#frames.send(type, payload);
  }

  /** Resets both. */
  reset(cause = 'reset'): void {
    this.#abort(cause);
  }

  readonly #copy = (chunk: Buffer): void => {
    this.sent += chunk.length;
    this.#frames.sendData(chunk, this.#onSent);
    if (this.#frames.writableLength > this.#options.bufferBytes) this.#near.pause();
  };

  readonly #onSent = (): void => {
    if (this.#left || this.#frames.writableLength > this.#options.bufferBytes / 2) return;
    if (this.#near.isPaused()) this.#near.resume();
  };

  readonly #end = (): void => {
    if (wasReset(this.#near)) {
      this.#abort('ECONNRESET');
      return;
    }
    this.#nearEnded = true;
    this.#frames.send(FrameType.End, positionPayload(this.sent));
    this.#settleEnd();
  };

  #take(piece: Buffer): void {
    if (this.#farEnded || this.#farLeft) throw linkFault('bytes behind its end');
    this.received += piece.length;
    if (this.#near.destroyed) return;
    this.#near.write(piece, this.#onWritten);
    if (this.#near.writableLength > this.#options.bufferBytes) this.#frames.pause();
  }

  readonly #onWritten = (): void => {
    if (this.#near.writableLength <= this.#options.bufferBytes / 2) this.#frames.resume();
    this.#passEnd();
  };

  #control(type: ControlType, payload: Buffer): void {
    if (type === FrameType.End) {
      this.#checkPosition(payload);
      this.#farEnded = true;
      this.#passEnd();
      this.#settleEnd();
    } else if (type === FrameType.Switch) {
      this.#checkPosition(payload);
      if (this.#farLeft) throw linkFault('a second position to leave at');
      this.#farLeft = true;
      this.#options.onFarLeft();
      this.#settleMove();
    } else {
      this.#options.onControl(type, payload);
    }
  }

  #checkPosition(payload: Buffer): void {
    const position = positionOf(payload);
    if (position !== this.received)
      throw linkFault(`position ${position} when ${this.received} bytes had come`);
  }

  /** Only an empty socket is ended, as in `platform/relay.ts`. */
  #passEnd(): void {
    const near = this.#near;
    if (this.#farEnded && near.writableLength === 0 && !near.writableEnded && !near.destroyed) near.end();
  }

  #settleEnd(): void {
    if (this.#nearEnded && this.#farEnded && !this.#left) this.#frames.finish();
  }

  #settleMove(): void {
    if (!this.moved) return;
    this.#frames.finish();
    this.#resolve({ moved: true });
  }

  #abort(cause: string): void {
    if (this.moved) return;
    this.#cause ??= cause;
    this.#frames.reset();
    resetSocket(this.#near);
    if (this.#near.closed) this.#settleOver();
  }

  #onNearClose(): void {
    if (this.moved) return;
    const { readableEnded, writableFinished } = this.#near;
    if (!readableEnded || !writableFinished) this.#abort('ECONNRESET');
    // Half moved and ended in order: the other end still has to say that it has left.
    else if (!this.#left || this.#cause !== undefined) this.#settleOver();
  }

  #settleOver(): void {
    this.#resolve({ moved: false, ...(this.#cause !== undefined && { cause: this.#cause }) });
  }

  #onStreamClosed(orderly: boolean, fault: unknown): void {
    if (this.moved || (orderly && this.#nearEnded && this.#farEnded)) return;
    this.#abort(fault instanceof Error ? fault.message : 'link-lost');
  }
}
