/**
 * Packets that an end would not believe: of an older connection with the same addresses, or made up by somebody who
 * knows no more than these. They must not change what the switch thinks of the ends.
 */
import t from 'tap';
import { TcpFlag } from '../../src/wire/segment.js';
import { Driver, INNER, OUTER } from './driver.js';

const ts = { tsval: 110, tsecr: 100 };
const FAR = 1_000_000_000;

t.test('an ack of bytes that were never sent ends no drain', async (t) => {
  const driver = new Driver().reach('cutting');
  driver.send('B', { seq: 0, ack: 100 + FAR, ...ts });
  t.equal(driver.state, 'cutting');
  t.equal(driver.send('A>B', { seq: 100, ack: 0, len: 50, ...ts }), 'B 100+50 ack 0');
});

t.test('nor does the other end hear of it', async (t) => {
  const driver = new Driver().reach('cutting');
  const told = driver.send('B', { seq: 0, ack: 100 + FAR, ...ts });
  t.notMatch(told, /E .*ack 1\d{9}/);
  const after = driver.send('E', { seq: 100, ack: 0, len: 50, ...ts });
  t.notMatch(after, /ack 1\d{9}/);
});

t.test('a number far ahead does not move the cut', async (t) => {
  const driver = new Driver().reach('relayed');
  t.equal(driver.send('E', { seq: FAR, ack: 0, len: 10, ...ts }), 'pass');
  driver.enable();
  driver.send('A>B', { seq: 100, ack: 0, len: 50, ...ts });
  driver.send('B', { seq: 0, ack: 150, ...ts });
  t.equal(driver.state, 'stitched');
});

t.test('a timestamp of such a packet does not move the clocks', async (t) => {
  const driver = new Driver().reach('relayed');
  driver.send('E', { seq: FAR, ack: 0, tsval: 2_000_000_000 });
  driver.enable();
  driver.send('A>B', { seq: 100, ack: 0, len: 50, ...ts });
  driver.send('B', { seq: 0, ack: 150, ...ts });
  driver.send('E', { seq: 150, ack: 0, len: 10, tsval: 120, tsecr: 110 });
  const { tsval } = driver.engine.outbox.at(0).segment;
  t.ok(tsval < 1000, `${tsval}`);
});

t.test('a stitched flow goes on after it', async (t) => {
  const driver = new Driver().open().enable();
  driver.send('B', { seq: 0, ack: 1_700_000_000, ...ts });
  t.equal(driver.send('E', { seq: 0, ack: 0, len: 10, ...ts }), 'B 0+10 ack 0');
});

t.test('after gigabytes straight from the core, the switch still knows what the peer was sent', async (t) => {
  const driver = new Driver({ scale: { E: 14, 'A>E': 14, 'A>B': 14, B: 14 } }).open().enable();
  let end = 0;
  for (let at = 0; at < 3_000_000_000; at += 750_000_000) {
    end = at + 1000;
    driver.send('B', { seq: at, ack: 0, len: 1000, ...ts });
    driver.send('E', { seq: 0, ack: end, window: 65535, ...ts });
  }
  const wrapped = end - 2 ** 32;
  t.equal(driver.send('E', { seq: -1, flags: TcpFlag.Syn }), `made E ${wrapped | 0} ack 0`);
});

t.test('a new connection of the same ports takes the place of one whose end was not seen', async (t) => {
  const driver = new Driver().openUnpaired();
  driver.send('E', { seq: 0, ack: 0, len: 100, ...ts });
  driver.send('A>E', { seq: 0, ack: 100, ...ts });
  // Both ends of it are gone without a word.
  driver.restart({ E: 7_000_000, 'A>E': 9_000_000 });
  driver.open();
  driver.holdBytes().enable();
  t.equal(driver.state, 'cutting');
  t.equal(driver.send('E', { seq: 150, ack: 0, len: 10, ...ts }), 'B 150+10 ack 0');
});

t.test('a repeated SYN does not', async (t) => {
  const driver = new Driver().openUnpaired();
  driver.send('E', { seq: -1, flags: TcpFlag.Syn });
  driver.engine.pair('f', OUTER, INNER, driver.now);
  driver.openInner().enable();
  t.equal(driver.state, 'stitched');
});
