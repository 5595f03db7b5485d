import t from 'tap';
import { ephemeralOverlap, parseHostPorts, parsePortRange, readHostPorts } from '../../src/platform/host.js';

t.test('port ranges', async (t) => {
  t.strictSame(parsePortRange('20000-29999'), { from: 20000, to: 29999 });
  t.strictSame(parsePortRange(' 8080\n'), { from: 8080, to: 8080 });
  for (const wrong of ['', 'x', '2-1', '1-65536', '1-2-3', '-5'])
    t.equal(parsePortRange(wrong), undefined, wrong);
});

t.test('what the kernel says', async (t) => {
  t.strictSame(parseHostPorts('32768\t60999\n', '\n'), {
    ephemeral: { from: 32768, to: 60999 },
    reserved: [],
  });
  t.strictSame(parseHostPorts('1024\t65535\n', '8080,9000-9010\n')?.reserved, [
    { from: 8080, to: 8080 },
    { from: 9000, to: 9010 },
  ]);
  t.equal(parseHostPorts('', ''), undefined);
  t.ok(readHostPorts(), 'this host says it');
});

t.test('what of a range the kernel may hand out', async (t) => {
  const ephemeral = { from: 32768, to: 60999 };
  const overlap = (from: number, to: number, reserved: { from: number; to: number }[] = []) =>
    ephemeralOverlap({ from, to }, { ephemeral, reserved });
  t.equal(overlap(20000, 29999), undefined);
  t.equal(overlap(61000, 65535), undefined);
  t.equal(overlap(20000, 32767), undefined);
  t.strictSame(overlap(20000, 32768), { from: 32768, to: 32768 });
  t.strictSame(overlap(60999, 65535), { from: 60999, to: 60999 });
  t.strictSame(overlap(40000, 49999), { from: 40000, to: 49999 });
  t.equal(overlap(40000, 49999, [{ from: 40000, to: 49999 }]), undefined);
  t.equal(
    overlap(30000, 39999, [
      { from: 35000, to: 40000 },
      { from: 30000, to: 34999 },
    ]),
    undefined,
  );
  t.strictSame(overlap(40000, 49999, [{ from: 40000, to: 44999 }]), { from: 45000, to: 49999 });
  t.ok(overlap(40000, 49999, [{ from: 45000, to: 49999 }]), 'the first part is still handed out');
});
