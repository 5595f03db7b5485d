/** Ends that cross, a SYN while a flow closes, and a port that is used again at once. */
import { TcpFlag } from '../../../../src/wire/segment.js';
import { seqAdd } from '../../../../src/wire/seq.js';
import type { Captured } from '../capture.js';
import { BYTES, type Check, checkBytes, checkEnd, echo } from './check.js';
import { nextOf } from './packets.js';

const { Syn, Fin } = TcpFlag;
const FIXED_PORT = 45_000;

export const simultaneousClose: Check = async (t, ground, family) => {
  const go = ground.rig.go();
  const connection = await ground.open(family, `FIRST ${go.path}`, [{ do: 'end', bytes: 0 }]);
  await ground.deaf(async () => {
    go.say();
    connection.say(0);
    const hasFin = (packet: Captured): boolean => packet.segment.has(Fin);
    await ground.until(connection, 'both FINs', (e, b) => e.sent.some(hasFin) && b.sent.some(hasFin));
  });
  checkBytes(t, await connection.report(), 0);
  await checkEnd(t, ground, connection);
  const { e, b } = ground.sides(connection);
  for (const { sent, got } of [e, b]) {
    const own = sent.find(({ segment }) => segment.has(Fin))?.segment;
    const other = got.find(({ segment }) => segment.has(Fin))?.segment;
    t.ok(own && other && own.ack === seqAdd(other.end, -1), 'each ended before it heard of the other’s end');
  }
};

export const synOnClosing: Check = async (t, ground, family) => {
  const connection = await ground.open(family, `LATE ${BYTES} 1.5`, [{ do: 'end', bytes: BYTES }]);
  connection.say(0);
  await ground.rig.flowOf(connection.ends, ({ state }) => state === 'closing');
  const { seq } = nextOf(ground.sides(connection).e.sent);
  await ground.inject('e', connection, { seq: seqAdd(seq, 1_000_000), flags: Syn });
  checkBytes(t, await connection.report());
  await checkEnd(t, ground, connection);
};

export const portReuse: Check = async (t, ground, family) => {
  // The server ends first, so that no TIME-WAIT keeps the client from its port.
  const rounds = [
    { timestamps: 1, endings: ['end', 'reset', 'reset', 'end'] },
    { timestamps: 0, endings: ['end', 'end', 'reset', 'end'] },
  ];
  for (const { timestamps, endings } of rounds) {
    await ground.rig.tool('e', ['sysctl', '-qw', `net.ipv4.tcp_timestamps=${timestamps}`]);
    const ids = new Set<string>();
    for (const ending of endings) {
      const go = ground.rig.go();
      const line = ending === 'end' ? `FIRST ${go.path}` : 'ECHO';
      const steps = ending === 'end' ? [{ do: 'end', bytes: 0 }] : [echo(1), { do: 'reset' }];
      const connection = await ground.open(family, line, steps, { from: FIXED_PORT });
      ids.add(connection.flow.id);
      if (ending === 'reset') {
        checkBytes(t, await connection.step());
      } else {
        go.say();
        await ground.rig.flowOf(connection.ends, ({ state }) => state === 'closing');
      }
      await connection.step();
      await connection.client.finished();
      await checkEnd(t, ground, connection, ending === 'end' ? 'fin' : 'reset-by-peer');
    }
    t.equal(ids.size, endings.length, `each a flow of its own${timestamps ? '' : ', without timestamps'}`);
  }
  await ground.rig.tool('e', ['sysctl', '-qw', 'net.ipv4.tcp_timestamps=1']);
};
