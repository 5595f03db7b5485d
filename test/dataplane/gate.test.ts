import t from 'tap';
import { Gate } from '../../src/dataplane/userspace/gate.js';
import { systemClock } from '../../src/platform/clock.js';
import { run } from '../../src/platform/process.js';

// On an interface that there is none of, so that no packet of this machine can meet a rule.
const NAME = `test-${process.pid}`;
const TABLE = `suture_test_${process.pid}`;
const PORTS = [
  { address: '192.0.2.1', from: 80, to: 80 },
  { address: '192.0.2.1', from: 2000, to: 2999 },
  { address: '2001:db8::1', from: 2000, to: 2999 },
];
const skip = process.getuid?.() === 0 ? false : 'needs root, for nftables';

async function rules(): Promise<string> {
  const { stdout } = await run('nft', ['list', 'table', 'inet', TABLE], { okCodes: [0, 1] });
  return stdout;
}

t.test('the gate', { skip }, async (t) => {
  const lost: string[] = [];
  const gate = new Gate(NAME, ['sut-none0'], systemClock, (error) => lost.push(error.message));
  t.teardown(() => gate.stop());
  await gate.start();
  await gate.add(PORTS);
  t.match(await rules(), /192\.0\.2\.1 \. 80,?\s/);
  t.match(await rules(), /192\.0\.2\.1 \. 2000-2999/);
  t.match(await rules(), /2001:db8::1 \. 2000-2999/);
  t.match(await rules(), /flags owner/, 'the kernel removes it with its owner');

  await gate.remove(PORTS.slice(1));
  t.notMatch(await rules(), /2000-2999/);
  t.match(await rules(), /192\.0\.2\.1 \. 80/);

  const second = new Gate(NAME, ['sut-none0'], systemClock, () => {});
  await t.rejects(second.start(), { code: 'SUT_ALREADY_RUNNING' });
  t.match(await rules(), /192\.0\.2\.1 \. 80/, 'the first one still stands');

  await t.rejects(gate.add([{ address: 'nonsense', from: 1, to: 1 }]), { code: 'SUT_TOOL_FAILED' });
  await gate.stop();
  t.equal(await rules(), '', 'nothing is left');
  t.same(lost, []);
});
