import { once } from 'node:events';
import fc from 'fast-check';
import t from 'tap';
import { proxyHeader } from '../../src/shell/proxy-header.js';
import { addressWords } from '../../src/wire/endpoint.js';
import { bench, freeEndpoint, listen, readAll, setUp, startDial, until } from './support.js';

const hex = (text: string): Buffer => Buffer.from(text.replace(/\s+/g, ''), 'hex');
/** Section 2.2: the signature, version and command, family and protocol, length. */
const SIGNATURE = '0d0a0d0a 000d0a51 5549540a';

t.test('the bytes of the specification', async (t) => {
  t.same(
    proxyHeader({ address: '10.201.1.2', port: 40_000 }, { address: '10.201.2.2', port: 8080 }),
    hex(`${SIGNATURE} 21 11 000c 0ac90102 0ac90202 9c40 1f90`),
  );
  t.same(
    proxyHeader({ address: 'fd00:201:1::2', port: 1 }, { address: 'fd00:201:2::2', port: 65_535 }),
    hex(
      `${SIGNATURE} 21 21 0024 fd000201000100000000000000000002 fd000201000200000000000000000002 0001 ffff`,
    ),
  );
  t.same(
    proxyHeader({ address: 'fd00::1', port: 1 }, { address: '10.0.0.1', port: 2 }),
    hex(
      `${SIGNATURE} 21 21 0024 fd000000000000000000000000000001 00000000000000000000ffff0a000001 0001 0002`,
    ),
    'two families',
  );
  t.same(proxyHeader(undefined, { address: '10.0.0.1', port: 2 }), hex(`${SIGNATURE} 20 00 0000`));
});

/** As the specification's example receiver does it. */
function readBack(header: Buffer): { from: string; to: string; ports: number[] } {
  if (header.subarray(0, 12).compare(hex(SIGNATURE)) !== 0 || header[12] !== 0x21) throw new Error('head');
  const size = header[13] === 0x11 ? 4 : 16;
  if (header.readUInt16BE(14) !== 2 * size + 4 || header.length !== 16 + 2 * size + 4)
    throw new Error('length');
  const at = (from: number): string => header.subarray(from, from + size).toString('hex');
  const ports = [header.readUInt16BE(16 + 2 * size), header.readUInt16BE(18 + 2 * size)];
  return { from: at(16), to: at(16 + size), ports };
}

t.test('a receiver reads back what went in', async (t) => {
  const raw = (address: string): string => {
    const words = [...(addressWords(address) ?? [])].slice(address.includes(':') ? 0 : 3);
    return words.map((word) => word.toString(16).padStart(8, '0')).join('');
  };
  const end = (address: fc.Arbitrary<string>) =>
    fc.record({ address, port: fc.integer({ min: 1, max: 65535 }) });
  const pairs = fc.oneof(
    fc.tuple(end(fc.ipV4()), end(fc.ipV4())),
    // An IPv4-mapped address is an IPv4 one everywhere here.
    fc.tuple(
      end(fc.constantFrom('fd00::1', '2001:db8::', '::1')),
      end(fc.constantFrom('fe80::2', '1:2:3:4:5:6:7:8')),
    ),
  );
  fc.assert(
    fc.property(pairs, ([from, to]) => {
      const found = readBack(proxyHeader(from, to));
      const expected = { from: raw(from.address), to: raw(to.address), ports: [from.port, to.port] };
      if (JSON.stringify(found) !== JSON.stringify(expected))
        throw new Error(JSON.stringify({ found, expected }));
    }),
    { numRuns: 300, interruptAfterTimeLimit: 5_000 },
  );
  t.pass('300 pairs');
});

t.test('it comes before the first byte of the peer, and the switch is told', async (t) => {
  for (const host of ['127.0.0.1', '::1']) {
    const b = await bench({ listen: { address: host, port: 1 }, prepend: 'proxy-v2' });
    const peer = startDial(b.listen);
    peer.write('hello');
    await once(peer, 'connect');
    await until(() => b.accepted.length === 1, 'the core was reached');
    const header = proxyHeader({ address: host, port: peer.localPort ?? 0 }, b.listen);
    const atCore = readAll(b.accepted[0] as NonNullable<(typeof b.accepted)[0]>);
    b.fake.tell('f1', 'relayed');
    await until(() => b.fake.enabled.length === 1, 'asked');
    t.same(b.fake.enabled[0]?.offsets, {
      consumedFromPeer: 0,
      injectedToCore: header.length,
      consumedFromCore: 0,
      injectedToPeer: 0,
    });
    peer.end();
    t.same((await atCore).data, Buffer.concat([header, Buffer.from('hello')]));
    b.accepted[0]?.end();
    await until(() => b.shell.stats().open === 0, 'closed');
    t.equal(b.shell.stats().bytesUp, 5, 'the peer’s bytes');
    await b.close();
  }
});

t.test('a peer of the other family', async (t) => {
  const [server, core] = await listen((socket) => void readAll(socket).then(({ data }) => socket.end(data)));
  const at = await freeEndpoint('::1');
  const { shell } = await setUp({ routes: [{ listen: at, core, prepend: 'proxy-v2' }] });
  t.teardown(async () => {
    await shell.stop(AbortSignal.abort());
    server.close();
  });
  const peer = startDial(at);
  await once(peer, 'connect');
  peer.end('!');
  const header = proxyHeader({ address: '::1', port: peer.localPort ?? 0 }, at);
  t.same((await readAll(peer)).data, Buffer.concat([header, Buffer.from('!')]));
});
