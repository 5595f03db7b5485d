/**
 * Sends IP packets as they are, by raw sockets that include the header (`raw-socket`, IPPROTO_RAW: nothing is
 * ever received on them). The host's routes and neighbours decide the way out.
 *
 * The package's own `send` queues and needs the event loop, which a capture can hold up for long; so this
 * calls the synchronous `sendto` beneath it.
 */
import rawSocket, { type Socket } from 'raw-socket';
import { SutureError } from '../../platform/errors.js';
import { addressText } from '../../wire/endpoint.js';

const IPPROTO_RAW = 255;
const SOL_SOCKET = 1;
/** Past the host's limit, with CAP_NET_ADMIN (socket(7)). */
const SO_SNDBUFFORCE = 32;
/** A super-frame goes out as a burst of some 45 packets, and several may wait for a receiver's CPU. */
const SEND_BUFFER_BYTES = 8 << 20;
const MAX_CACHED_ADDRESSES = 65_536;
const ignoreLength = (): void => {};

export const SendResult = { Sent: 0, TooBig: 1, Failed: 2 } as const;
export type SendResult = (typeof SendResult)[keyof typeof SendResult];

export class Sender {
  private ipv4: Socket | undefined;
  private ipv6: Socket | undefined;
  /** Text of IPv4 destinations by their number, and of IPv6 ones by their last word and then all four. */
  private readonly texts4 = new Map<number, string>();
  private readonly texts6 = new Map<number, { readonly words: Uint32Array; readonly text: string }>();
  /** The last error, for the log. */
  lastError = '';

  start(): void {
    try {
      this.ipv4 = rawSocket.createSocket({
        protocol: IPPROTO_RAW,
        addressFamily: rawSocket.AddressFamily.IPv4,
      });
      this.ipv6 = rawSocket.createSocket({
        protocol: IPPROTO_RAW,
        addressFamily: rawSocket.AddressFamily.IPv6,
      });
      for (const socket of [this.ipv4, this.ipv6]) {
        socket.on('error', () => {});
        socket.pauseRecv();
        socket.setOption(SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER_BYTES);
      }
    } catch (error) {
      this.stop();
      const why = error instanceof Error ? error.message : String(error);
      throw new SutureError(
        'SUT_PERMISSION',
        `can't open a raw socket: ${why}. Run as root or with CAP_NET_RAW and CAP_NET_ADMIN`,
        {
          cause: error,
        },
      );
    }
  }

  stop(): void {
    this.ipv4?.close();
    this.ipv6?.close();
    this.ipv4 = undefined;
    this.ipv6 = undefined;
  }

  /** Sends the IPv4 packet in `bytes` to the address given as a number. Only a first packet to it allocates. */
  sendIpv4(bytes: Uint8Array, start: number, end: number, destination: number): SendResult {
    let text = this.texts4.get(destination);
    if (text === undefined) {
      if (this.texts4.size >= MAX_CACHED_ADDRESSES) this.texts4.clear();
      text = addressText([0, 0, 0xffff, destination]);
      this.texts4.set(destination, text);
    }
    return this.send(this.ipv4, bytes, start, end, text);
  }

  /** Sends the IPv6 packet in `bytes` to the address in `words` from `at` on. */
  sendIpv6(bytes: Uint8Array, start: number, end: number, words: Uint32Array, at: number): SendResult {
    const last = words[at + 3] as number;
    let known = this.texts6.get(last);
    if (known === undefined || !sameAddress(known.words, words, at)) {
      if (this.texts6.size >= MAX_CACHED_ADDRESSES) this.texts6.clear();
      known = { words: words.slice(at, at + 4), text: addressText(words, at) };
      this.texts6.set(last, known);
    }
    return this.send(this.ipv6, bytes, start, end, known.text);
  }

  private send(
    socket: Socket | undefined,
    bytes: Uint8Array,
    start: number,
    end: number,
    to: string,
  ): SendResult {
    if (socket === undefined) return SendResult.Failed;
    try {
      socket.wrap.send(bytes, start, end - start, to, ignoreLength);
      return SendResult.Sent;
    } catch (error) {
      this.lastError = error instanceof Error ? error.message : String(error);
      return this.lastError.includes('too long') ? SendResult.TooBig : SendResult.Failed;
    }
  }
}

function sameAddress(known: Uint32Array, words: Uint32Array, at: number): boolean {
  return (
    known[3] === words[at + 3] &&
    known[2] === words[at + 2] &&
    known[1] === words[at + 1] &&
    known[0] === words[at]
  );
}
