/** What the leader of a group makes of a flow most of whose packets pass at the followers. */
import t from 'tap';
import { TcpFlag } from '../../src/wire/segment.js';
import { Driver, type From, type Given } from './driver.js';

const { Fin, Rst } = TcpFlag;

/** Stitched: E has sent 150 bytes, B none. */
function stitched(shared = true): Driver {
  return new Driver({ engine: { shared } }).reach('stitched');
}

const bytes = ({ engine }: Driver, side: 'outer' | 'inner'): number | undefined =>
  engine.flow('f')?.[side].far.bytes;

t.test('an ack tells of bytes that did not pass here', (t) => {
  const driver = stitched();
  driver.send('B', { seq: 0, ack: 9000 });
  t.equal(bytes(driver, 'outer'), 9000);
  driver.send('B', { seq: 0, ack: 500 });
  t.equal(bytes(driver, 'outer'), 9000, 'an old one does not take them back');
  const alone = stitched(false);
  alone.send('B', { seq: 0, ack: 9000 });
  t.equal(bytes(alone, 'outer'), 150, 'a switch that is alone has seen all that there was');
  t.end();
});

t.test('a FIN tells how much there was', (t) => {
  const driver = stitched();
  driver.send('E', { seq: 7000, ack: 0, flags: Fin });
  t.equal(bytes(driver, 'outer'), 7000);
  driver.send('B', { seq: 0, ack: 7001 });
  t.equal(bytes(driver, 'outer'), 7000, 'and is no byte itself');
  t.end();
});

t.test('both FINs and silence are an end', (t) => {
  const driver = stitched();
  driver.send('E', { seq: 150, ack: 0, flags: Fin });
  driver.tick(5000);
  t.equal(driver.state, 'closing', 'one FIN is not');
  driver.send('B', { seq: 0, ack: 151, flags: Fin });
  driver.tick(1999);
  t.equal(driver.state, 'closing');
  driver.send('B', { seq: 0, ack: 151, flags: Fin });
  driver.tick(1999);
  t.equal(driver.state, 'closing', 'the last packet counts');
  driver.tick(1);
  t.equal(driver.state, 'closed');
  t.equal(driver.engine.flow('f')?.reason, 'fin');

  const alone = stitched(false);
  alone.send('E', { seq: 150, ack: 0, flags: Fin });
  alone.send('B', { seq: 0, ack: 151, flags: Fin });
  alone.tick(60_000);
  t.equal(alone.state, 'closing', 'where nothing can have passed elsewhere, an ack is missing');
  t.end();
});

t.test('who sends a RST that is not exact is asked, and answers for itself', (t) => {
  const driver = stitched();
  const reset = { seq: 5000, ack: 800, flags: Rst } satisfies Given;
  t.equal(driver.send('E', reset), 'B 5000 ack 800 rst | made E 0 ack 150');
  t.equal(driver.state, 'stitched');
  driver.now += 999;
  t.equal(driver.send('E', reset), 'B 5000 ack 800 rst', 'once a second');
  driver.now += 1;
  t.match(driver.send('E', reset), /made E/);
  driver.send('E', { seq: 150, flags: Rst });
  t.equal(driver.state, 'closed', 'the number that was acknowledged counts');
  t.equal(driver.engine.flow('f')?.reason, 'reset-by-peer');
  t.equal(bytes(driver, 'outer'), 5000, 'what the first RST said is known to be true now');
  t.equal(bytes(driver, 'inner'), 800);

  t.equal(stitched(false).send('E', reset), 'B 5000 ack 800 rst', 'where all is known, nobody is asked');
  t.end();
});

t.test('a RST of an end that has left in order is no reset', (t) => {
  const leave = (last: From, given: Given): string | undefined => {
    const driver = stitched();
    driver.send('E', { seq: 150, ack: 0, flags: Fin });
    driver.send('B', { seq: 0, ack: 151, flags: Fin });
    driver.send(last, given);
    return driver.engine.flow('f')?.reason;
  };
  t.equal(leave('B', { seq: 1, flags: Rst }), 'fin', 'it has acknowledged the other one’s FIN');
  t.equal(leave('E', { seq: 151, flags: Rst }), 'reset-by-peer', 'it has not');
  t.end();
});
