/**
 * Lets messages of a stream leave together. The gRPC library takes a stream's next message when the one before is on
 * the socket: each is a write, a packet and a wake-up of its reader. Here the next is taken at once, and HTTP/2 puts
 * into one write what gathers meanwhile.
 *
 * What always holds: messages leave in their order; at most `MOST_ON_THEIR_WAY` have left the stream for the socket, and the
 * others wait in the stream, whose `writableLength` counts them.
 */
import { ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js';

/** More than a turn of a busy event loop says to one agent; few enough to be no queue of their own. */
const MOST_ON_THEIR_WAY = 64;

export const batching: ServerInterceptor = (_method, call) => new BatchingCall(call);

class BatchingCall extends ServerInterceptingCall {
  private onTheirWay = 0;
  private next: (() => void) | undefined;

  /** `taken`: the stream gives its next message then. */
  override sendMessage(message: unknown, taken: () => void): void {
    this.onTheirWay++;
    super.sendMessage(message, () => this.written());
    if (this.onTheirWay < MOST_ON_THEIR_WAY) taken();
    else this.next = taken;
  }

  private written(): void {
    this.onTheirWay--;
    const { next } = this;
    this.next = undefined;
    next?.();
  }
}
