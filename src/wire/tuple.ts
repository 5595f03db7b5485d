/**
 * The addresses and ports of one packet as nine 32-bit words, so that IPv4 and IPv6 packets are looked up
 * alike and a lookup allocates nothing. IPv4 addresses are held in their IPv4-mapped form (RFC 4291
 * section 2.5.5.2). Words: 0–3 source address, 4–7 destination address, 8 source port << 16 | destination port.
 */

export const TUPLE_WORDS = 9;
const MAPPED_PREFIX = 0x0000ffff;

export class Tuple {
  readonly words = new Uint32Array(TUPLE_WORDS);

  get isIpv4(): boolean {
    const w = this.words;
    return w[0] === 0 && w[1] === 0 && w[2] === MAPPED_PREFIX;
  }

  get sourcePort(): number {
    return (this.words[8] as number) >>> 16;
  }

  get destinationPort(): number {
    return (this.words[8] as number) & 0xffff;
  }

  setIpv4(source: number, destination: number): void {
    const w = this.words;
    w[0] = 0;
    w[1] = 0;
    w[2] = MAPPED_PREFIX;
    w[3] = source;
    w[4] = 0;
    w[5] = 0;
    w[6] = MAPPED_PREFIX;
    w[7] = destination;
  }

  setPorts(source: number, destination: number): void {
    this.words[8] = (source << 16) | destination;
  }

  equals(other: Tuple): boolean {
    const a = this.words;
    const b = other.words;
    for (let i = 0; i < TUPLE_WORDS; i++) if (a[i] !== b[i]) return false;
    return true;
  }

  copyFrom(other: Tuple): this {
    this.words.set(other.words);
    return this;
  }

  clone(): Tuple {
    return new Tuple().copyFrom(this);
  }

  /** The same connection seen from its other end. Allocates. */
  reversed(): Tuple {
    const out = new Tuple();
    const w = this.words;
    out.words.set(w.subarray(4, 8), 0);
    out.words.set(w.subarray(0, 4), 4);
    out.setPorts(this.destinationPort, this.sourcePort);
    return out;
  }

  /** A well-mixed 32-bit hash (the finalizer of MurmurHash3 over the words). */
  hash(): number {
    let h = 0x9747b28c;
    for (let i = 0; i < TUPLE_WORDS; i++) {
      h = Math.imul(h ^ (this.words[i] as number), 0x85ebca6b);
      h ^= h >>> 13;
    }
    h = Math.imul(h, 0xc2b2ae35);
    return (h ^ (h >>> 16)) >>> 0;
  }
}
