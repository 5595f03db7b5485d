/** Interfaces that a config gives by a prefix instead of by name. */
import t from 'tap';
import type { SwitchConfig } from '../../src/platform/config/index.js';
import { type HostInterfaces, namesOf, withNames } from '../../src/switch/interfaces.js';

const at = (...addresses: string[]) => addresses.map((address) => ({ address, internal: false }));
const HOST: HostInterfaces = {
  lo: [{ address: '127.0.0.1', internal: true }],
  eth0: at('10.202.3.2', 'fe80::1'),
  eth1: at('10.202.1.2', '10.202.1.1', 'fd00:202:1::2', 'fe80::2'),
};

t.test('a name stays, a prefix becomes the name of the interface with an address in it', async (t) => {
  t.same(namesOf(['eth1', '10.202.3.0/24'], HOST), ['eth1', 'eth0']);
  t.same(namesOf(['fd00:202:1::/64', '10.202.3.2/32'], HOST), ['eth1', 'eth0']);
  t.same(namesOf(['gone0'], HOST), ['gone0'], 'whether it is there is the data path’s question');
});

t.test('an interface that is meant twice is taken once', async (t) => {
  t.same(namesOf(['10.202.1.0/24', 'fd00:202:1::/64', 'eth0'], HOST), ['eth1', 'eth0']);
});

t.test('a prefix of no interface, and one of several', async (t) => {
  const code = 'SUT_INTERFACE_UNKNOWN';
  t.throws(() => namesOf(['10.203.0.0/16'], HOST), {
    code,
    message: /^no interface .* in 10\.203\.0\.0\/16/,
  });
  t.throws(() => namesOf(['10.202.0.0/16'], HOST), { code, message: /^eth0 and eth1 have/ });
  t.throws(() => namesOf(['fe80::/10'], HOST), { code, message: /^eth0 and eth1 have/ });
  t.throws(() => namesOf(['127.0.0.0/8'], HOST), { code }, 'loopback carries nothing');
});

t.test('virtual addresses name their interface like that too', async (t) => {
  const given = {
    interfaces: ['10.202.1.0/24'],
    virtualAddresses: [{ interface: '10.202.1.0/24', address: '10.202.1.1/24' }],
  };
  t.match(withNames(given as unknown as SwitchConfig, HOST), {
    interfaces: ['eth1'],
    virtualAddresses: [{ interface: 'eth1', address: '10.202.1.1/24' }],
  });
});
