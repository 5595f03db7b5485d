/** Which datagrams the kernel's program hands to the process: those of discovery, whole and with their headers. */

import { LAYOUT } from '../../src/dataplane/kernel/layout.js';
import { RingBuffer } from '../../src/dataplane/kernel/libbpf.js';
import { datagramIn } from '../../src/switch/discovery-capture.js';
import { withKernel } from './support/driver.js';
import { TC_ACT_UNSPEC } from './support/kernel.js';

const PORT = 57_625;
const { datagram: DATAGRAM } = LAYOUT;
const MACS = Buffer.from('0202020202020303030303', 'hex');

function udp(port: number, payload: Buffer): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt16BE(40_000, 0);
  header.writeUInt16BE(port, 2);
  header.writeUInt16BE(8 + payload.length, 4);
  return Buffer.concat([header, payload]);
}

function ipv4(body: Buffer, { ttl = 1, fragment = 0 } = {}): Buffer {
  const header = Buffer.from('4500000000000000001100000a0000010a000002', 'hex');
  header.writeUInt16BE(20 + body.length, 2);
  header.writeUInt16BE(fragment, 6);
  header[8] = ttl;
  return frame(0x0800, header, body);
}

function ipv6(body: Buffer, hops = 1): Buffer {
  const header = Buffer.alloc(40);
  header[0] = 0x60;
  header.writeUInt16BE(body.length, 4);
  header[6] = 17;
  header[7] = hops;
  header.write('fd000000000000000000000000000001fd000000000000000000000000000002', 8, 'hex');
  return frame(0x86dd, header, body);
}

function frame(type: number, ...parts: Buffer[]): Buffer {
  const ethernet = Buffer.alloc(14);
  MACS.copy(ethernet);
  ethernet.writeUInt16BE(type, 12);
  return Buffer.concat([ethernet, ...parts]);
}

withKernel(
  'discovery datagrams',
  (t, kernel) => {
    const got: Buffer[] = [];
    const ring = new RingBuffer(kernel.maps.datagrams, (record) => got.push(Buffer.from(record)));
    const handed = (bytes: Buffer): Buffer[] => {
      t.equal(kernel.receive(bytes, 0).retval, TC_ACT_UNSPEC, 'the host has it too');
      ring.consume();
      return got.splice(0).map((record) => {
        const length = record.readUInt32LE(DATAGRAM.length);
        return record.subarray(DATAGRAM.bytes, DATAGRAM.bytes + length);
      });
    };
    const payload = Buffer.from(Array.from({ length: 160 }, (_, i) => i));
    const asked = udp(PORT, payload);

    for (const [name, bytes] of [
      ['IPv4', ipv4(asked)],
      ['IPv6', ipv6(asked)],
    ] as const) {
      const [one, ...more] = handed(bytes);
      t.same(one, bytes, `${name}: the frame as it came`);
      t.equal(more.length, 0);
      t.match(one && datagramIn('to-a', one, one.length), { ttl: 1, destination: { port: PORT }, payload });
    }
    t.match(datagramIn('x', handed(ipv4(asked, { ttl: 63 }))[0] as Buffer, 14 + 20 + asked.length), {
      ttl: 63,
    });

    const long = ipv4(udp(PORT, Buffer.alloc(1000)));
    const [beginning] = handed(long);
    t.same(beginning, long.subarray(0, 512), 'of one that is too long its beginning');
    t.equal(beginning && datagramIn('x', beginning, beginning.length), undefined, 'which is no datagram');

    t.same(handed(ipv4(udp(PORT + 1, payload))), [], 'another port');
    t.same(handed(ipv4(asked, { fragment: 0x2000 })), [], 'a first fragment');
    t.same(handed(ipv4(asked, { fragment: 1 })), [], 'a later fragment');
    t.same(handed(ipv4(asked.subarray(0, 6))), [], 'a header that is cut');

    for (let i = 0; i < 1000; i++) kernel.receive(ipv4(asked), 0);
    ring.consume();
    const kept = got.splice(0).length;
    t.ok(kept > 50 && kept < 1000, `a full buffer drops: ${kept} of 1000`);
    t.equal(handed(ipv4(asked)).length, 1, 'and then takes again');
    ring.stop();
    t.end();
  },
  { discovery_port: PORT },
);

withKernel('without a port nothing is handed over', (t, kernel) => {
  const ring = new RingBuffer(kernel.maps.datagrams, () => t.fail('handed over'));
  kernel.receive(ipv4(udp(0, Buffer.alloc(8))), 0);
  kernel.receive(ipv4(udp(PORT, Buffer.alloc(8))), 0);
  t.equal(ring.consume(), 0);
  ring.stop();
  t.end();
});
