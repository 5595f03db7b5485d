/**
 * One relayed connection: copies bytes between the outer and the inner socket until both directions ended.
 *
 * What always holds: bytes leave in the order in which they came, none is added or left out; a direction
 * holds at most its buffer limit plus two reads (64 KiB each) in user space; an end of one direction is passed on after its
 * last byte, and the other direction goes on; an error or a reset of one socket resets the other one. If the
 * process dies, both ends are reset: an end that nobody said would make a part of a stream look like all of it.
 *
 * A reset is noticed when the socket is next read or written: epoll is not asked about a socket that is
 * paused or has ended, and `node:net` gives no other way.
 */
import type { Socket } from 'node:net';
import { closeByReset, closeInOrder } from './linger.js';
import { codeOf, resetSocket, wasReset } from './sockets.js';

const NO_BYTES = Buffer.alloc(0);

/** One direction. */
class Pump {
  /** Bytes read from the source so far. */
  bytes = 0;
  #ended = false;

  constructor(
    readonly source: Socket,
    readonly sink: Socket,
    readonly limit: number,
    readonly onReset: (socket: Socket, code: string) => void,
  ) {}

  /** Bytes that this process holds: read by the stream and not yet taken by the sink's kernel. */
  get held(): number {
    return this.source.readableLength + this.sink.writableLength;
  }

  /** `early`: what was read from the source before. Its end may have been read as well. */
  start(early: Buffer): void {
    if (early.length > 0) this.#copy(early);
    this.source.on('data', (chunk: Buffer) => this.#copy(chunk));
    this.source.on('end', () => this.#end());
    if (this.source.readableEnded) this.#end();
  }

  #copy(chunk: Buffer): void {
    this.bytes += chunk.length;
    if (this.sink.destroyed) return;
    this.sink.write(chunk, this.#onWritten);
    if (this.sink.writableLength > this.limit) this.source.pause();
  }

  /** 'drain' comes only after a write that returned false, so the write's own callback is what is used. */
  readonly #onWritten = (): void => {
    const { source, sink } = this;
    if (sink.writableLength <= this.limit / 2 && source.isPaused()) source.resume();
    this.#passEnd();
  };

  #end(): void {
    if (wasReset(this.source)) {
      this.onReset(this.source, 'ECONNRESET');
    } else {
      this.#ended = true;
      this.#passEnd();
    }
  }

  /** Only an empty sink is ended: a reset that comes later must not meet a shutdown that waits for data. */
  #passEnd(): void {
    const { sink } = this;
    if (!this.#ended || sink.writableLength > 0 || sink.writableEnded || sink.destroyed) return;
    closeInOrder(sink);
    sink.end();
  }
}

export interface RelayEnd {
  /** Bytes from the peer and from the core. */
  readonly up: number;
  readonly down: number;
  /** What ended it other than an end from both sides: a system error code, or 'reset' by this shell. */
  readonly cause?: string;
  readonly from?: 'peer' | 'core' | 'shell';
  /** The shell's FIN came first on the connection that it opened, so that its port is in TIME-WAIT now. */
  readonly timeWait: boolean;
}

export interface RelayOptions {
  /** Bytes that one direction may hold in user space before its source is paused. */
  readonly bufferBytes: number;
  /** Which of the two the shell opened. */
  readonly opened: 'outer' | 'inner';
  /** Bytes that were read from the other one before. */
  readonly early: Buffer;
}

export class Relay {
  readonly #up: Pump;
  readonly #down: Pump;
  #cause: string | undefined;
  #from: 'peer' | 'core' | 'shell' | undefined;
  #endedOpenedFirst = false;
  readonly #options: RelayOptions;
  /** Resolves when both sockets are closed. */
  readonly closed: Promise<RelayEnd>;

  constructor(
    readonly outer: Socket,
    readonly inner: Socket,
    options: RelayOptions,
  ) {
    this.#options = options;
    const { bufferBytes } = options;
    const onReset = (socket: Socket, code: string): void => this.#abort(socket, code);
    this.#up = new Pump(outer, inner, bufferBytes, onReset);
    this.#down = new Pump(inner, outer, bufferBytes, onReset);
    this.closed = Promise.all([closing(outer), closing(inner)]).then(() => this.#result());
  }

  get bytesUp(): number {
    return this.#up.bytes;
  }

  get bytesDown(): number {
    return this.#down.bytes;
  }

  /** Bytes in user space, by direction. */
  get held(): { readonly up: number; readonly down: number } {
    return { up: this.#up.held, down: this.#down.held };
  }

  start(): void {
    if (!this.watch()) return;
    this.startUp();
    this.startDown();
  }

  /** Answers for both sockets from now on, before a byte is copied. False: one of them was dead already. */
  watch(): boolean {
    const { opened } = this.#options;
    const openedSocket = this[opened];
    openedSocket.on('end', () => {
      this.#endedOpenedFirst = openedSocket.writableEnded;
    });
    for (const socket of [this.outer, this.inner]) {
      closeByReset(socket);
      socket.on('error', (error) => this.#abort(socket, codeOf(error)));
      socket.on('close', () => this.#onClose(socket));
    }
    // Either may have died while the other one was being opened.
    const dead = [this.outer, this.inner].find((socket) => socket.destroyed);
    if (dead) {
      this.#abort(dead, 'ECONNRESET');
      return false;
    }
    return true;
  }

  /** Begins to copy from the peer to the core. */
  startUp(): void {
    const { opened, early } = this.#options;
    this.#up.start(opened === 'inner' ? early : NO_BYTES);
    this.outer.resume();
  }

  /** Begins to copy from the core to the peer. */
  startDown(): void {
    const { opened, early } = this.#options;
    this.#down.start(opened === 'outer' ? early : NO_BYTES);
    this.inner.resume();
  }

  /** Resets both sockets. */
  reset(): void {
    this.#from ??= 'shell';
    this.#cause ??= 'reset';
    resetSocket(this.outer);
    resetSocket(this.inner);
  }

  #abort(source: Socket, code: string): void {
    this.#cause ??= code;
    this.#from ??= source === this.outer ? 'peer' : 'core';
    source.destroy();
    resetSocket(source === this.outer ? this.inner : this.outer);
  }

  /** An orderly close comes after both ends; what the other socket still holds goes out by itself then. */
  #onClose(socket: Socket): void {
    if (!socket.readableEnded || !socket.writableFinished) this.#abort(socket, 'ECONNRESET');
  }

  #result(): RelayEnd {
    return {
      up: this.bytesUp,
      down: this.bytesDown,
      ...(this.#cause === undefined ? {} : { cause: this.#cause }),
      ...(this.#from === undefined ? {} : { from: this.#from }),
      timeWait: this.#endedOpenedFirst && this.#cause === undefined,
    };
  }
}

function closing(socket: Socket): Promise<void> {
  if (socket.closed) return Promise.resolve();
  return new Promise((resolve) => socket.once('close', () => resolve()));
}
