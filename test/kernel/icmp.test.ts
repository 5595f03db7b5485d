/**
 * ICMP errors about packets of a flow: the kernel's program and the userspace path send the same, to the same end. Whole
 * errors of every kind, then errors with random bytes changed or missing.
 *
 * `SUTURE_TWIN_RUNS=n` makes n random ones for each family; `SUTURE_TWIN_FUZZ_SEED=n` begins elsewhere.
 */
import * as fc from 'fast-check';
import { addressText } from '../../src/wire/endpoint.js';
import { emitIcmpv4Error, emitIcmpv6Error } from '../../src/wire/icmp.js';
import { emitIpv4 } from '../../src/wire/ipv4.js';
import { emitIpv6, type Ipv6Extension } from '../../src/wire/ipv6.js';
import { IpProto } from '../../src/wire/types.js';
import { raw } from './support/cases.js';
import { type Family, TwinDriver, withKernel, withTwin } from './support/driver.js';
import { ethernet } from './support/frames.js';

const RUNS = Number(process.env.SUTURE_TWIN_RUNS ?? 300);
const SEED = Number(process.env.SUTURE_TWIN_FUZZ_SEED ?? 1);
const ROUTER = { 4: '10.3.0.1', 6: 'fd00:201:3:ffff::1' } as const;
const TYPES = {
  4: [
    [3, 4],
    [3, 1],
    [11, 0],
    [12, 0],
  ],
  6: [
    [2, 0],
    [1, 0],
    [3, 0],
    [4, 1],
  ],
} as const;
const MTU = 1280;

interface ErrorOptions {
  readonly type?: readonly [type: number, code: number];
  readonly hopLimit?: number;
  /** How many bytes of the packet are quoted. */
  readonly length?: number;
  readonly extensions?: readonly Ipv6Extension[];
}

function addressAt(packet: Buffer, at: number, family: Family): string {
  const words =
    family === 4
      ? [0, 0, 0xffff, packet.readUInt32BE(at)]
      : [0, 4, 8, 12].map((i) => packet.readUInt32BE(at + i));
  return addressText(words);
}

/** What a router says about a packet to the one that it came from. */
function errorAbout(packet: Buffer, family: Family, options: ErrorOptions = {}): Buffer {
  const { type: [type, code] = TYPES[family][0], hopLimit = 60, length, extensions = [] } = options;
  const repr = { type, code, info: MTU, quoted: packet.subarray(0, length) };
  const [source, destination] = [ROUTER[family], addressAt(packet, family === 4 ? 12 : 8, family)];
  if (family === 4) {
    const payload = emitIcmpv4Error(repr);
    const header = { source, destination, ttl: hopLimit, protocol: IpProto.Icmp, payload };
    return ethernet(
      emitIpv4({
        tos: 0,
        id: 1,
        dontFragment: false,
        moreFragments: false,
        fragmentOffset: 0,
        options: new Uint8Array(0),
        ...header,
      }),
    );
  }
  const payload = emitIcmpv6Error(repr, source, destination);
  const header = { source, destination, hopLimit, nextHeader: IpProto.Icmpv6, payload };
  return ethernet(emitIpv6({ trafficClass: 0, flowLabel: 0, extensions, ...header }));
}

/** A packet that an end sent through the stitched flow, as it left the switch. */
function translated(driver: TwinDriver, from: 'E' | 'B'): Buffer {
  const given = from === 'E' ? { seq: 150, ack: 0, len: 120 } : { seq: 0, ack: 150, len: 120 };
  driver.twin.receiveFrame(raw(driver, from, given), driver.now);
  const [packet] = driver.twin.lastPackets;
  if (packet === undefined) throw new Error('nothing was sent');
  return packet;
}

withKernel('ICMP errors about translated packets', (t, kernel) => {
  for (const family of [4, 6] as const) {
    for (const from of ['E', 'B'] as const) {
      t.test(`are told to ${from}, which sent the packet, IPv${family}`, (t) => {
        withTwin(kernel, (twin) => {
          const driver = new TwinDriver(twin, {}, family).reach('stitched');
          const packet = translated(driver, from);
          const own = raw(driver, from, { seq: from === 'E' ? 150 : 0 });
          const [header, addresses] = family === 4 ? [20, 12] : [40, 8];
          const quoted = header + 8;
          for (const type of TYPES[family]) {
            twin.receiveFrame(errorAbout(packet, family, { type }), driver.now);
            const [error] = twin.lastPackets;
            if (error === undefined) throw new Error(`type ${type} was not sent on`);
            const width = family === 4 ? 4 : 16;
            t.equal(addressAt(error, addresses, family), ROUTER[family]);
            t.equal(
              addressAt(error, addresses + width, family),
              addressAt(own.subarray(14), addresses, family),
            );
            t.same(
              error.subarray(quoted + addresses, quoted + header),
              own.subarray(14 + addresses, 14 + header),
            );
            t.same(
              error.subarray(quoted + header, quoted + header + 8),
              own.subarray(14 + header, 14 + header + 8),
            );
            t.equal(error.readUInt32BE(header + 4), MTU);
          }
        });
        t.end();
      });
    }

    t.test(`random ones, IPv${family}`, (t) => {
      const change = fc.record({
        from: fc.constantFrom('E' as const, 'B' as const),
        type: fc.constantFrom(...TYPES[family]),
        hopLimit: fc.constantFrom(0, 1, 2, 60),
        length: fc.oneof(fc.constant(1000), fc.nat(80)),
        changes: fc.array(fc.tuple(fc.nat(160), fc.nat(255)), { maxLength: 2 }),
        options: fc.constantFrom([], [60], [0, 60], [44]),
      });
      let sent = 0;
      withTwin(kernel, (twin) => {
        const driver = new TwinDriver(twin, {}, family).reach('stitched');
        const packets = { E: translated(driver, 'E'), B: translated(driver, 'B') };
        const one = fc.property(change, ({ from, type, hopLimit, length, changes, options }) => {
          const extensions = options.map((header) => ({ header, body: new Uint8Array(6) }) as Ipv6Extension);
          const frame = errorAbout(packets[from], family, { type, hopLimit, length, extensions });
          for (const [at, value] of changes) if (at < frame.length) frame[at] = value;
          twin.receiveFrame(frame, driver.now);
          sent += twin.lastPackets.length;
        });
        fc.assert(one, { numRuns: RUNS, seed: SEED });
      });
      t.ok(sent > RUNS / 20, `${sent} of ${RUNS} were sent on`);
      t.end();
    });

    for (const state of ['relayed', 'cutting'] as const) {
      t.test(`of a flow that is ${state}, IPv${family}: they are for the host to forward`, (t) => {
        withTwin(kernel, (twin) => {
          const driver = new TwinDriver(twin, {}, family).reach(state);
          const packet = raw(driver, 'A>B', { seq: 0, ack: 0, len: 10 }).subarray(14);
          twin.receiveFrame(errorAbout(packet, family), driver.now);
          t.same(twin.lastPackets, []);
        });
        t.end();
      });
    }
  }
  t.end();
});
