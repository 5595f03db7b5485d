/**
 * The header of the PROXY protocol, version 2 (haproxy's doc/proxy-protocol.txt, section 2.2), with which a core
 * learns who its peer is. Binary, and made of nothing but the two ends of the accepted connection.
 */
import { addressWords, type Endpoint } from '../wire/endpoint.js';

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
/** Version 2 in the upper half; the lower half says for whom the connection is. */
const COMMAND_LOCAL = 0x20;
const COMMAND_PROXY = 0x21;
const TCP_OVER_IPV4 = 0x11;
const TCP_OVER_IPV6 = 0x21;
const UNSPECIFIED = 0x00;
const LENGTH_AT = 14;
const HEADER_BYTES = 16;

/** `from`: the peer's end; `to`: the shell's, which the peer connected to. Undefined ends make a header without them. */
export function proxyHeader(from: Endpoint | undefined, to: Endpoint | undefined): Buffer {
  const isIpv6 = [from, to].some((end) => end?.address.includes(':'));
  const ends = from && to ? endsBytes(from, to, isIpv6) : Buffer.alloc(0);
  const known = ends.length > 0;
  const header = Buffer.alloc(HEADER_BYTES + ends.length);
  SIGNATURE.copy(header);
  header[12] = known ? COMMAND_PROXY : COMMAND_LOCAL;
  header[13] = known ? (isIpv6 ? TCP_OVER_IPV6 : TCP_OVER_IPV4) : UNSPECIFIED;
  header.writeUInt16BE(ends.length, LENGTH_AT);
  ends.copy(header, HEADER_BYTES);
  return header;
}

/** Both addresses, then both ports. Of two families the IPv4 one is written in its IPv4-mapped form. */
function endsBytes(from: Endpoint, to: Endpoint, isIpv6: boolean): Buffer {
  const size = isIpv6 ? 16 : 4;
  const bytes = Buffer.alloc(2 * size + 4);
  for (const [i, { address, port }] of [from, to].entries()) {
    const words = addressWords(address) ?? new Uint32Array(4);
    for (const [j, word] of words.subarray(4 - size / 4).entries())
      bytes.writeUInt32BE(word, i * size + 4 * j);
    bytes.writeUInt16BE(port, 2 * size + 2 * i);
  }
  return bytes;
}
