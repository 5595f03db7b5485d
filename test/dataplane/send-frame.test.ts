/** Single frames out of an interface, here the loopback one; test/e2e/standby.test.ts has the real ones. */
import t from 'tap';
import { sendFrame } from '../../src/dataplane/send-frame.js';

t.test('an interface that is not there', async (t) => {
  await t.rejects(
    sendFrame('no-such-if', () => Buffer.alloc(60)),
    { code: 'SUT_INTERFACE_UNKNOWN' },
  );
});

t.test('a frame with the interface’s MAC address', async (t) => {
  let asked = '';
  await sendFrame('lo', (mac) => {
    asked = mac;
    // EtherType 0x88b5 is for local experiments (IEEE 802), so nobody takes it for something.
    return Buffer.from(`${'00'.repeat(12)}88b5${'00'.repeat(46)}`, 'hex');
  });
  t.equal(asked, '00:00:00:00:00:00');
});

t.test('one that is too long for the interface', async (t) => {
  await t.rejects(
    sendFrame('lo', () => Buffer.alloc(100_000)),
    { code: 'SUT_CAPTURE_FAILED' },
  );
});
