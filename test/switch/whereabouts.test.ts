/** Where the leader of a group is found, by what it says of its links. */
import t from 'tap';
import { leaderOn, whereabouts } from '../../src/switch/whereabouts.js';

const link = (mac: string, ...cidrs: string[]) =>
  cidrs.map((cidr) => ({ mac, cidr, address: cidr.split('/')[0] as string }));
const [M1, M2, M3] = ['02:00:00:00:00:01', '02:00:00:00:00:02', '02:00:00:00:00:03'];
const LEADER = {
  'to-e': link(M1, '10.1.0.251/24', '10.1.0.1/24', 'fd00:1::251/64', 'fe80::1/64'),
  'to-a': link(M2, '10.2.0.251/24', 'fe80::2/64'),
  other: link(M3, '10.3.0.251/24'),
};

t.test('on each link that both are on', async (t) => {
  const told = whereabouts(['to-e', 'to-a'], LEADER);
  const host = {
    x: link('02:00:00:00:00:11', '10.2.0.252/24'),
    y: link('02:00:00:00:00:12', 'fd00:1::252/64'),
    z: link('02:00:00:00:00:13', '10.3.0.252/24'),
    l: link('02:00:00:00:00:14', 'fe80::14/64'),
  };
  t.strictSame(leaderOn(['x', 'y', 'z', 'l', 'gone'], host, told), { x: M2, y: M1 });
});

t.test('an interface without addresses is told of to nobody', async (t) => {
  t.equal(whereabouts(['none', 'local'], { local: link(M1, 'fe80::1/64') }), '[]');
});

t.test('what cannot be read names no place', async (t) => {
  const host = { x: link(M1, '10.2.0.252/24') };
  const wrong = [
    '',
    '{',
    '{}',
    'null',
    '[null]',
    '[{}]',
    '[{"mac":"x","addresses":["10.2.0.1"]}]',
    `[{"mac":"${M2}","addresses":[1]}]`,
  ];
  for (const text of wrong) t.strictSame(leaderOn(['x'], host, text), {}, text);
});
