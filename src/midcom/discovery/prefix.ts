/** On-link prefixes: an interface's own address and how many of its bits all neighbours share. */
import { addressWords } from '../../wire/endpoint.js';

export interface Prefix {
  readonly address: string;
  /** Bits, 0 … 32 for IPv4 and 0 … 128 for IPv6. */
  readonly length: number;
}

/** True when both are of one family and agree in the prefix. */
export function inPrefix(address: string, prefix: Prefix): boolean {
  const a = addressWords(address);
  const b = addressWords(prefix.address);
  if (!a || !b || isV4(a) !== isV4(b)) return false;
  const bits = isV4(a) ? 96 + prefix.length : prefix.length;
  for (let i = 0; i < 4; i++) {
    const inWord = Math.min(32, Math.max(0, bits - 32 * i));
    const mask = inWord === 0 ? 0 : (-1 << (32 - inWord)) >>> 0;
    if ((((a[i] ?? 0) ^ (b[i] ?? 0)) & mask) !== 0) return false;
  }
  return true;
}

/** Can be the source of a datagram that wants an answer: neither multicast, nor broadcast, nor nobody's. */
export function isUnicast(address: string): boolean {
  const words = addressWords(address);
  if (!words) return false;
  const [a = 0, b = 0, c = 0, d = 0] = words;
  // 224.0.0.0/4 and 240.0.0.0/4 with the limited broadcast; 0.0.0.0/8 (RFC 6890).
  if (isV4(words)) return d >>> 24 !== 0 && d >>> 28 < 0xe;
  return a >>> 24 !== 0xff && (a | b | c | d) !== 0;
}

/** fe80::/10, which means nothing without the interface. */
export function isLinkLocal(address: string): boolean {
  const words = addressWords(address);
  return words !== undefined && (words[0] ?? 0) >>> 22 === 0x3fa;
}

function isV4(words: Uint32Array): boolean {
  return words[0] === 0 && words[1] === 0 && words[2] === 0xffff;
}
