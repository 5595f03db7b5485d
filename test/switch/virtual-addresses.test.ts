/** A switch that becomes the active one and loses its place at once: in the end the address must not be there. */
import { chmodSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { systemClock } from '../../src/platform/clock.js';
import { silentLog } from '../../src/platform/log.js';
import { VirtualAddresses } from '../../src/switch/virtual-addresses.js';

/** Says what it was called for, the later the earlier it was called. */
const SLOW_FIRST = `#!/bin/sh
case "$*" in *replace*|active) sleep 0.3;; esac
echo "$(basename "$0") $*" >> "$(dirname "$0")/calls"
`;

function scene(t: Tap) {
  const directory = t.testdir({ ip: SLOW_FIRST, hook: SLOW_FIRST });
  for (const name of ['ip', 'hook']) chmodSync(join(directory, name), 0o755);
  const { PATH } = process.env;
  process.env.PATH = `${directory}:${PATH}`;
  t.teardown(() => {
    process.env.PATH = PATH;
  });
  const hook = join(directory, 'hook');
  const announced: string[] = [];
  const addresses = new VirtualAddresses({
    config: {
      virtualAddresses: [{ interface: 'to-e', address: '10.201.1.1/24' }],
      hooks: { active: hook, standby: hook },
      name: 's1',
      group: 'g',
    },
    send: async (device) => void announced.push(device),
    clock: systemClock,
    log: silentLog(),
  });
  const calls = (): string[] => {
    const file = join(directory, 'calls');
    return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
  };
  return { addresses, announced, calls };
}

type Tap = { testdir(files: Record<string, string>): string; teardown(work: () => void): void };

const TAKEN = 'ip addr replace 10.201.1.1/24 dev to-e';
const RELEASED = 'ip addr del 10.201.1.1/24 dev to-e';

t.test('taken and released at once', async (t) => {
  const { addresses, announced, calls } = scene(t);
  const taking = addresses.take();
  await addresses.release();
  await taking;
  const ran = calls();
  t.strictSame(
    ran.filter((call) => call.startsWith('ip')),
    [TAKEN, RELEASED],
  );
  t.strictSame(
    ran.filter((call) => call.startsWith('hook')),
    ['hook active', 'hook standby'],
  );
  t.strictSame(announced, [], 'nobody is told to come here');
});

t.test('released, and taken again', async (t) => {
  const { addresses, announced, calls } = scene(t);
  const releasing = addresses.release();
  await addresses.take();
  await releasing;
  addresses.stop();
  t.strictSame(
    calls().filter((call) => call.startsWith('ip')),
    [RELEASED, TAKEN],
  );
  t.ok(announced.includes('to-e'));
});
