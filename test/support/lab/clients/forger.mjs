/**
 * Answers discovery as somebody who should not be believed: with a wrong nonce, malformed, and from an address
 * that is not on the asker's link. Arguments: port, address (of the asker's link), offLink (another of its own).
 */
import { createSocket } from 'node:dgram';
import { args, report } from './common.mjs';

const NONCE_AT = 8;
const NAME = Buffer.from('forged');

/** A reply of version 1, laid out as src/midcom/discovery/codec.ts says. */
function reply(nonce) {
  const bytes = Buffer.alloc(48 + NAME.length);
  bytes.write('SUTU', 0, 'latin1');
  bytes[4] = 1;
  bytes[5] = 2;
  bytes.writeUInt16BE(bytes.length, 6);
  nonce.copy(bytes, NONCE_AT);
  bytes.writeUInt16BE(57_626, 28);
  bytes[30] = NAME.length;
  bytes.writeUInt16BE(0xffff, 42);
  Buffer.from(args.address.split('.').map(Number)).copy(bytes, 44);
  NAME.copy(bytes, 48);
  return bytes;
}

const near = createSocket('udp4');
const far = createSocket('udp4');
near.on('message', (request, { address, port }) => {
  const nonce = request.subarray(NONCE_AT, NONCE_AT + 12);
  const right = reply(nonce);
  near.send(reply(Buffer.alloc(12, 0xee)), port, address);
  near.send(right.subarray(0, right.length - 1), port, address);
  far.send(args.honest ? Buffer.alloc(0) : right, port, address);
  if (args.honest) near.send(right, port, address);
});
near.bind({ address: args.address, port: args.port }, () => {
  far.bind({ address: args.offLink }, () => report({ ready: true }));
});
