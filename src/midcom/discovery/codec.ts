/**
 * Discovery datagrams, version 1. Numbers are big-endian; `length` is the datagram's own.
 *
 *    0  magic "SUTU"      4  version  1      5  type  1 request, 2 reply      6  length (2)
 *    8  nonce (12)
 *   request: 20  zeros, up to 160 bytes, so that no reply is longer than what asked for it
 *   reply:   20  capabilities (4)    24  seconds of the epoch (4)    28  control port (2)
 *            30  length of the name (1)    31  length of the instance (1)
 *            32  control address (16, IPv4 in its mapped form)    48  name, then instance, UTF-8
 *
 * What a request holds after its nonce is not looked at: a later version may use it.
 */
import { addressText, addressWords, type Endpoint } from '../../wire/endpoint.js';
import type { Epoch } from '../service.js';

const MAGIC = 0x53555455;
const DISCOVERY_VERSION = 1;
const TYPE_REQUEST = 1;
const TYPE_REPLY = 2;

const AT_VERSION = 4;
const AT_TYPE = 5;
const AT_LENGTH = 6;
const AT_NONCE = 8;
const AT_CAPABILITIES = 20;
const AT_SECONDS = 24;
const AT_PORT = 28;
const AT_NAME_LENGTH = 30;
const AT_INSTANCE_LENGTH = 31;
const AT_ADDRESS = 32;
const AT_NAME = 48;

/** RFC 6887 section 11.1 asks for a nonce of 96 bits. */
export const NONCE_BYTES = 12;
const HEADER_BYTES = AT_NONCE + NONCE_BYTES;
export const MAX_NAME_BYTES = 64;
export const MAX_INSTANCE_BYTES = 32;
export const MAX_REPLY_BYTES = AT_NAME + MAX_NAME_BYTES + MAX_INSTANCE_BYTES;
export const REQUEST_BYTES = 160;

/** Bits of `capabilities` that have a name; the others are for later. */
export const CAPABILITY_BITS = {
  'stitch-ipv4': 0x1,
  'stitch-ipv6': 0x2,
  'teardown-core': 0x4,
  /** The control service speaks without TLS. */
  plaintext: 0x8,
  'teardown-control': 0x10,
  'teardown-shell': 0x20,
  'teardown-both': 0x40,
} as const;
export type Capability = keyof typeof CAPABILITY_BITS;

export interface SwitchFacts {
  readonly name: string;
  readonly capabilities: readonly Capability[];
  readonly epoch: Epoch;
  readonly control: Endpoint;
}

export type DiscoveryDatagram =
  | { readonly kind: 'request'; readonly nonce: Uint8Array }
  | { readonly kind: 'reply'; readonly nonce: Uint8Array; readonly facts: SwitchFacts }
  /** Not of this protocol. */
  | { readonly kind: 'foreign' }
  /** Of this protocol, in a version or of a type that is not known here. */
  | { readonly kind: 'unknown' }
  | { readonly kind: 'malformed'; readonly why: string };

export function encodeRequest(nonce: Uint8Array): Uint8Array {
  return header(TYPE_REQUEST, REQUEST_BYTES, nonce);
}

export function encodeReply(
  nonce: Uint8Array,
  { name, capabilities, epoch, control }: SwitchFacts,
): Uint8Array {
  const nameBytes = Buffer.from(name, 'utf8');
  const instanceBytes = Buffer.from(epoch.instance, 'utf8');
  const address = addressWords(control.address);
  if (nameBytes.length === 0 || nameBytes.length > MAX_NAME_BYTES) throw new RangeError(`name: ${name}`);
  if (instanceBytes.length > MAX_INSTANCE_BYTES) throw new RangeError(`instance: ${epoch.instance}`);
  if (!address) throw new RangeError(`control address: ${control.address}`);
  const bytes = header(TYPE_REPLY, AT_NAME + nameBytes.length + instanceBytes.length, nonce);
  const view = viewOf(bytes);
  const bits = capabilities.reduce((sum, name) => sum | CAPABILITY_BITS[name], 0);
  view.setUint32(AT_CAPABILITIES, bits);
  view.setUint32(AT_SECONDS, epoch.seconds);
  view.setUint16(AT_PORT, control.port);
  view.setUint8(AT_NAME_LENGTH, nameBytes.length);
  view.setUint8(AT_INSTANCE_LENGTH, instanceBytes.length);
  address.forEach((word, i) => {
    view.setUint32(AT_ADDRESS + 4 * i, word);
  });
  bytes.set(nameBytes, AT_NAME);
  bytes.set(instanceBytes, AT_NAME + nameBytes.length);
  return bytes;
}

export function decodeDatagram(bytes: Uint8Array): DiscoveryDatagram {
  const view = viewOf(bytes);
  if (bytes.length < 4 || view.getUint32(0) !== MAGIC) return { kind: 'foreign' };
  if (bytes.length < HEADER_BYTES) return malformed(`${bytes.length} bytes are too short for a header`);
  const type = view.getUint8(AT_TYPE);
  if (view.getUint8(AT_VERSION) !== DISCOVERY_VERSION) return { kind: 'unknown' };
  const length = view.getUint16(AT_LENGTH);
  if (length !== bytes.length) return malformed(`length says ${length}, there are ${bytes.length} bytes`);
  const nonce = bytes.slice(AT_NONCE, HEADER_BYTES);
  if (type === TYPE_REQUEST) return { kind: 'request', nonce };
  return type === TYPE_REPLY ? decodeReply(bytes, view, nonce) : { kind: 'unknown' };
}

function decodeReply(bytes: Uint8Array, view: DataView, nonce: Uint8Array): DiscoveryDatagram {
  if (bytes.length < AT_NAME) return malformed(`${bytes.length} bytes are too short for a reply`);
  const nameEnd = AT_NAME + view.getUint8(AT_NAME_LENGTH);
  const end = nameEnd + view.getUint8(AT_INSTANCE_LENGTH);
  if (end !== bytes.length) return malformed(`its names end at ${end}, the datagram at ${bytes.length}`);
  const name = textOf(bytes.subarray(AT_NAME, nameEnd));
  const instance = textOf(bytes.subarray(nameEnd, end));
  if (!name || instance === undefined) return malformed('its name or its instance is no text');
  const port = view.getUint16(AT_PORT);
  if (port === 0) return malformed('its control port is 0');
  const words = [0, 4, 8, 12].map((i) => view.getUint32(AT_ADDRESS + i));
  const bits = view.getUint32(AT_CAPABILITIES);
  const capabilities = (Object.keys(CAPABILITY_BITS) as Capability[]).filter(
    (c) => bits & CAPABILITY_BITS[c],
  );
  const epoch = { instance, seconds: view.getUint32(AT_SECONDS) };
  const control = { address: addressText(words), port };
  return { kind: 'reply', nonce, facts: { name, capabilities, epoch, control } };
}

function header(type: number, length: number, nonce: Uint8Array): Uint8Array {
  if (nonce.length !== NONCE_BYTES) throw new RangeError(`a nonce of ${nonce.length} bytes`);
  const bytes = new Uint8Array(length);
  const view = viewOf(bytes);
  view.setUint32(0, MAGIC);
  view.setUint8(AT_VERSION, DISCOVERY_VERSION);
  view.setUint8(AT_TYPE, type);
  view.setUint16(AT_LENGTH, length);
  bytes.set(nonce, AT_NONCE);
  return bytes;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Undefined when the bytes are not UTF-8. */
function textOf(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function malformed(why: string): DiscoveryDatagram {
  return { kind: 'malformed', why };
}
