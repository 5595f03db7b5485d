/** What stands around the segment: fragments, IP options and extension headers, VLAN tags, flow labels. */
import { tupleOf } from '../../../../src/wire/endpoint.js';
import { TcpFlag } from '../../../../src/wire/segment.js';
import { seqAdd } from '../../../../src/wire/seq.js';
import { ETHERNET_HEADER, rawFrame } from '../../../kernel/support/frames.js';
import type { Captured } from '../capture.js';
import { type Check, checkBytes, checkEnd, echo } from './check.js';
import { endpoint, nextOf, stamps } from './packets.js';

const { Ack, Rst } = TcpFlag;

/** A segment in two fragments is the host's: it comes to the shell, and what the shell says to it ends at the switch. */
export const fragments: Check = async (t, ground, family) => {
  const connection = await ground.open(family, 'ECHO', [echo(1), echo(2)]);
  checkBytes(t, await connection.step());
  const next = nextOf((await ground.calm(connection)).e.sent);
  const { ends } = connection;
  const tuple = tupleOf(endpoint(ends.local), endpoint(ends.remote));
  const packet = { ...next, flags: Ack, options: stamps(next), length: 200 };
  const whole = rawFrame({ ...packet, tuple }).subarray(ETHERNET_HEADER);
  const [before, swallowed] = [await ground.counter('fragments'), await ground.counter('swallowed')];
  await ground.injectIp('e', family === 4 ? inTwo4(whole) : inTwo6(whole));
  await ground.rig.stage.until(
    async () =>
      (await ground.counter('fragments')) >= before + 2 && (await ground.counter('swallowed')) > swallowed,
    30_000,
    () => 'no fragments were counted, or no answer of the shell’s was swallowed',
  );
  checkBytes(t, await connection.step());
  await checkEnd(t, ground, connection);
};

function inTwo4(packet: Buffer): Buffer[] {
  const header = packet.subarray(0, 20);
  const payload = packet.subarray(20);
  return [
    [0, 104, 0x2000],
    [104, payload.length, 13],
  ].map(([from = 0, to = 0, offset = 0]) => {
    const part = Buffer.concat([header, payload.subarray(from, to)]);
    part.writeUInt16BE(part.length, 2);
    part.writeUInt16BE(0x4321, 4);
    part.writeUInt16BE(offset, 6);
    // The kernel fills in the header's checksum (raw(7)).
    return part;
  });
}

function inTwo6(packet: Buffer): Buffer[] {
  const payload = packet.subarray(40);
  return [
    [0, 104, 1],
    [104, payload.length, 104],
  ].map(([from = 0, to = 0, offset = 0]) => {
    const header = Buffer.from(packet.subarray(0, 40));
    const fragment = Buffer.from([header[6] as number, 0, 0, 0, 0, 0, 0x43, 0x21]);
    fragment.writeUInt16BE(offset, 2);
    header[6] = 44;
    header.writeUInt16BE(8 + to - from, 4);
    return Buffer.concat([header, fragment, payload.subarray(from, to)]);
  });
}

/** Options between the IP header and TCP go along unchanged. */
export const ipOptions =
  (options: Readonly<Record<string, string>>): Check =>
  async (t, ground, family) => {
    const connection = await ground.open(family, 'ECHO', [echo(1)], options);
    checkBytes(t, await connection.step());
    await checkEnd(t, ground, connection);
    const { e, b } = ground.sides(connection);
    const between = ({ between }: Captured): string => between.toString('hex');
    const sent = new Set(e.sent.map(between));
    t.equal(sent.size, 1, 'on every packet of the peer’s');
    t.ok(
      [...sent].every((hex) => hex.length > 0),
      [...sent].join(),
    );
    const data = b.got.filter(({ segment }) => segment.payloadLength > 100);
    t.ok(data.length > 0);
    t.strictSame(new Set(data.map(between)), sent, 'and on what reached the core');
  };

/** A tag without a VLAN (IEEE 802.1Q: a priority tag) changes nothing; a frame of a VLAN is for another interface. */
export const vlanTags: Check = async (t, ground, family) => {
  const PRIORITY = 0xa000;
  const VLAN_5 = 5;
  const connection = await ground.open(family, 'ECHO', [echo(1), echo(2)]);
  checkBytes(t, await connection.step());
  const { seq } = nextOf((await ground.calm(connection)).e.sent);
  const { ends } = connection;
  const tuple = tupleOf(endpoint(ends.local), endpoint(ends.remote));
  const mac = await ground.switchMac();
  const frames = [PRIORITY, VLAN_5].map((tci) => {
    const frame = rawFrame({ tuple, seq: seqAdd(seq, 100 + tci), flags: Rst });
    mac.copy(frame);
    const tag = Buffer.from([0x81, 0x00, tci >> 8, tci & 0xff]);
    return Buffer.concat([frame.subarray(0, 12), tag, frame.subarray(12)]).toString('hex');
  });
  await ground.rig.client('frames.py', { frames });
  checkBytes(t, await connection.step());
  await checkEnd(t, ground, connection);
  const { e, b } = ground.sides(connection);
  const resets = b.got.filter(({ segment }) => segment.has(Rst)).map(({ segment }) => segment.seq);
  t.strictSame(resets, [seqAdd(seq, 100 + PRIORITY + b.shell.seq - e.own.seq)]);
};

export const flowLabel: Check = async (t, ground, family) => {
  const connection = await ground.open(family, 'ECHO', [echo(1)]);
  checkBytes(t, await connection.step());
  await checkEnd(t, ground, connection);
  const { e, b } = ground.sides(connection);
  const labels = (packets: readonly Captured[]): Set<number> =>
    new Set(packets.filter(({ segment: s }) => s.payloadLength > 10).map((packet) => packet.flowLabel));
  t.ok([...labels(e.sent)].every((label) => label > 0));
  t.strictSame(labels(b.got), labels(e.sent), 'to the core');
  t.strictSame(labels(e.got), labels(b.sent), 'to the peer');
};
