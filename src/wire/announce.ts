/** Frames that tell a link where an address is now: gratuitous ARP and unsolicited neighbour advertisements. */
import { finishChecksum, sumBytes } from './checksum.js';
import { addressWords } from './endpoint.js';
import { ETHERNET, macBytes } from './ethernet.js';
import { EtherType } from './types.js';

const BROADCAST = 'ff:ff:ff:ff:ff:ff';
/** All nodes, by RFC 2464 section 7. */
const ALL_NODES_MAC = '33:33:00:00:00:01';
const ALL_NODES = 'ff02::1';
/** RFC 826; offsets from the start of the message. */
const ARP = { hardware: 0, protocol: 2, sizes: 4, operation: 6, sender: 8, target: 18, bytes: 28 } as const;
const ARP_ETHERNET = 1;
const ARP_SIZES = 0x0604;
const ARP_REQUEST = 1;
/** RFC 8200 section 3. */
const IPV6_HEADER = 40;
const ICMPV6 = 58;
/** RFC 4861 section 4.4: type, code, checksum, flags, target, and the option with the link-layer address. */
const ADVERTISEMENT = { type: 136, flags: 4, target: 8, option: 24, bytes: 32 } as const;
const ROUTER_AND_OVERRIDE = 0xa0;
const TARGET_LINK_LAYER = 2;
const HOP_LIMIT = 255;

/** The frame that makes everyone on a link send packets for `address` to `mac`. */
export function announcement(address: string, mac: string): Buffer {
  return address.includes(':') ? advertisement(address, mac) : gratuitousArp(address, mac);
}

/** An ARP announcement: a request for one's own address (RFC 5227 section 3). */
function gratuitousArp(address: string, mac: string): Buffer {
  const frame = ethernet(BROADCAST, mac, EtherType.Arp, ARP.bytes);
  const at = ETHERNET.header;
  frame.writeUInt16BE(ARP_ETHERNET, at + ARP.hardware);
  frame.writeUInt16BE(EtherType.Ipv4, at + ARP.protocol);
  frame.writeUInt16BE(ARP_SIZES, at + ARP.sizes);
  frame.writeUInt16BE(ARP_REQUEST, at + ARP.operation);
  frame.set(macBytes(mac), at + ARP.sender);
  for (const field of [ARP.sender, ARP.target]) frame.writeUInt32BE(wordsOf(address)[3] ?? 0, at + field + 6);
  return frame;
}

/** RFC 4861 section 7.2.6. */
function advertisement(address: string, mac: string): Buffer {
  const frame = ethernet(ALL_NODES_MAC, mac, EtherType.Ipv6, IPV6_HEADER + ADVERTISEMENT.bytes);
  const ip = ETHERNET.header;
  frame.writeUInt8(0x60, ip);
  frame.writeUInt16BE(ADVERTISEMENT.bytes, ip + 4);
  frame.writeUInt8(ICMPV6, ip + 6);
  frame.writeUInt8(HOP_LIMIT, ip + 7);
  writeAddress(frame, ip + 8, address);
  writeAddress(frame, ip + 24, ALL_NODES);
  const icmp = ip + IPV6_HEADER;
  frame.writeUInt8(ADVERTISEMENT.type, icmp);
  frame.writeUInt8(ROUTER_AND_OVERRIDE, icmp + ADVERTISEMENT.flags);
  writeAddress(frame, icmp + ADVERTISEMENT.target, address);
  frame.writeUInt8(TARGET_LINK_LAYER, icmp + ADVERTISEMENT.option);
  // In units of eight bytes.
  frame.writeUInt8(1, icmp + ADVERTISEMENT.option + 1);
  frame.set(macBytes(mac), icmp + ADVERTISEMENT.option + 2);
  // The pseudo-header of RFC 8200 section 8.1: both addresses, the length and the protocol.
  const sum = sumBytes(frame, ip + 8, frame.length, ADVERTISEMENT.bytes + ICMPV6);
  frame.writeUInt16BE(finishChecksum(sum), icmp + 2);
  return frame;
}

function ethernet(destination: string, source: string, type: number, payload: number): Buffer {
  const frame = Buffer.alloc(ETHERNET.header + payload);
  frame.set(macBytes(destination), ETHERNET.destination);
  frame.set(macBytes(source), ETHERNET.source);
  frame.writeUInt16BE(type, ETHERNET.etherType);
  return frame;
}

function writeAddress(frame: Buffer, at: number, address: string): void {
  for (const [i, word] of wordsOf(address).entries()) frame.writeUInt32BE(word, at + 4 * i);
}

function wordsOf(address: string): Uint32Array {
  const words = addressWords(address);
  if (!words) throw new TypeError(`not an address: ${address}`);
  return words;
}
