/**
 * Ethernet II frames, with up to two VLAN tags (IEEE 802.1Q inside 802.1ad).
 */
import { copyOf, readU16, writeU16 } from './bytes.js';
import { EtherType } from './types.js';

/** Offsets in an untagged header; every tag moves what follows by four bytes. */
export const ETHERNET = { destination: 0, source: 6, etherType: 12, header: 14 } as const;
export const VLAN_TAG_LENGTH = 4;
const MAX_VLAN_TAGS = 2;
const VLAN_ID_MASK = 0x0fff;
const MAC_LENGTH = 6;

function isVlanTag(etherType: number): boolean {
  return etherType === EtherType.Vlan || etherType === EtherType.ServiceVlan;
}

/**
 * Where the EtherType of the frame at `start` stands, behind its tags; −1 when the frame ends before it.
 * Behind a third tag nothing is looked for: the EtherType found there is the tag's own.
 */
export function etherTypeOffset(bytes: Uint8Array, start: number, end: number): number {
  let at = start + ETHERNET.etherType;
  for (let tags = 0; at + 2 <= end; tags++) {
    if (tags === MAX_VLAN_TAGS || !isVlanTag(readU16(bytes, at))) return at;
    at += VLAN_TAG_LENGTH;
  }
  return -1;
}

/** True when a tag between the addresses and the EtherType at `at` has a VLAN id. */
export function namesVlan(bytes: Uint8Array, start: number, at: number): boolean {
  let ids = 0;
  for (let tag = start + ETHERNET.etherType; tag < at; tag += VLAN_TAG_LENGTH) {
    ids |= readU16(bytes, tag + 2) & VLAN_ID_MASK;
  }
  return ids !== 0;
}

export interface VlanTag {
  /** EtherType.Vlan or EtherType.ServiceVlan. */
  readonly tpid: EtherType;
  /** Priority, drop eligible, VLAN id: the 16 bits as they stand. */
  readonly tci: number;
}

export interface EthernetRepr {
  /** `02:00:00:00:00:01` */
  readonly destination: string;
  readonly source: string;
  /** Outermost first. */
  readonly tags: readonly VlanTag[];
  readonly etherType: EtherType;
  /** What follows the header, padding included. */
  readonly payload: Uint8Array;
}

/** Undefined when the frame is cut short. */
export function parseEthernet(bytes: Uint8Array): EthernetRepr | undefined {
  const at = etherTypeOffset(bytes, 0, bytes.length);
  if (at < 0) return undefined;
  const tags: VlanTag[] = [];
  for (let tag = ETHERNET.etherType; tag < at; tag += VLAN_TAG_LENGTH) {
    tags.push({ tpid: readU16(bytes, tag) as EtherType, tci: readU16(bytes, tag + 2) });
  }
  return {
    destination: macText(bytes, ETHERNET.destination),
    source: macText(bytes, ETHERNET.source),
    tags,
    etherType: readU16(bytes, at) as EtherType,
    payload: copyOf(bytes, at + 2),
  };
}

export function emitEthernet(repr: EthernetRepr): Uint8Array {
  const header = ETHERNET.header + VLAN_TAG_LENGTH * repr.tags.length;
  const out = new Uint8Array(header + repr.payload.length);
  out.set(macBytes(repr.destination), ETHERNET.destination);
  out.set(macBytes(repr.source), ETHERNET.source);
  let at = ETHERNET.etherType;
  for (const { tpid, tci } of repr.tags) {
    writeU16(out, at, tpid);
    writeU16(out, at + 2, tci);
    at += VLAN_TAG_LENGTH;
  }
  writeU16(out, at, repr.etherType);
  out.set(repr.payload, header);
  return out;
}

function macText(bytes: Uint8Array, at: number): string {
  return Array.from(bytes.subarray(at, at + MAC_LENGTH), (b) => b.toString(16).padStart(2, '0')).join(':');
}

/** Throws on text that is no MAC address. */
export function macBytes(text: string): Uint8Array {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) throw new TypeError(`not a MAC address: ${text}`);
  return Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16));
}
