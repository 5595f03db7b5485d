/** Charts from a capture and logs: what tcpdump writes is read, and nothing is drawn before what led to it. */
import t from 'tap';
import { type ChartPacket, drawChart, readPacket } from '../support/lab/chart.js';
import { withChart } from '../support/lab/teardown.js';

const FIN =
  '1763712345.500400 to-e  In  IP 10.201.1.2.40000 > 10.201.2.2.8201: Flags [F.], seq 700, ack 900, win 502, options [nop,nop,TS val 1 ecr 2], length 0';
const ACK =
  '1763712345.500500 to-e  Out IP 10.201.2.2.8201 > 10.201.1.2.40000: Flags [.], ack 701, win 64, length 0';
const DATA =
  '1763712345.500700 to-b  Out IP6 fd00:201:2::2.20000 > fd00:201:3::2.8081: Flags [P.], seq 30:40, ack 50, win 64, length 10';

t.test('lines of tcpdump', async (t) => {
  const time = 1763712345.5004;
  t.strictSame(readPacket(FIN), {
    time,
    host: 'E',
    toSwitch: true,
    flags: 'F.',
    seq: 700,
    ack: 900,
    length: 0,
  });
  t.match(readPacket(ACK), { host: 'E', toSwitch: false, flags: '.', ack: 701 });
  t.match(readPacket(DATA), { host: 'B', toSwitch: false, flags: 'P.', seq: 30, length: 10 });
  t.equal(readPacket('listening on any, link-type LINUX_SLL2'), undefined);
});

t.test('logs have only milliseconds: causes come first all the same', async (t) => {
  const packets = [FIN, ACK, DATA].map(readPacket) as ChartPacket[];
  const time = 1763712345500;
  const event = { kind: 'fin', state: 'closing', from: 'peer', held: true, seq: 700 } as const;
  const chart = drawChart(packets, {
    shell: [
      { ...event, time },
      { answers: 'peer', time },
      { kind: 'state', state: 'closed', time },
    ],
    core: [{ ...event, toldBy: 'shell', time }],
  });
  t.strictSame(chart.slice(5), [
    '  E->>S: FIN ACK, seq 700, ack 900',
    '  S-->>A: Event FIN of the peer (seq 700, held)',
    '  A-->>S: Proceed (peer)',
    '  S-->>B: Event FIN of the peer (seq 700, held, told by the shell)',
    '  S->>E: ACK, ack 701',
    '  S->>B: PSH ACK, seq 30, ack 50, 10 bytes',
    '  S-->>A: Event closed',
  ]);
});

t.test('a chart takes the place of the one before', async (t) => {
  const page = 'a\n<!-- chart x -->\nold\n<!-- end -->\nb\n';
  t.equal(withChart(page, 'x', ['new']), 'a\n<!-- chart x -->\n```mermaid\nnew\n```\n<!-- end -->\nb\n');
  t.throws(() => withChart(page, 'y', []));
});
