/**
 * Teardown modes that hold a FIN or a RST, segment by segment: what goes on, what the switch says itself, when it
 * repeats and gives up. Each case from either end. The core's stream begins at offset 0, the peer's stands at 150.
 */
import t from 'tap';
import { TcpFlag } from '../../src/wire/segment.js';
import { Driver, type DriverOptions, type From } from './driver.js';

const { Fin, Rst } = TcpFlag;
const TS = { tsval: 200, tsecr: 110 };

/** An end and the one opposite, with where their streams stand once the flow is stitched. */
interface Ends {
  readonly x: 'E' | 'B';
  readonly y: 'E' | 'B';
  readonly name: 'peer' | 'core';
  readonly other: 'peer' | 'core';
  readonly xAt: number;
  readonly yAt: number;
}
const BOTH: readonly Ends[] = [
  { x: 'E', y: 'B', name: 'peer', other: 'core', xAt: 150, yAt: 0 },
  { x: 'B', y: 'E', name: 'core', other: 'peer', xAt: 0, yAt: 150 },
];

function stitched(options: DriverOptions = {}): Driver {
  const driver = new Driver({ teardown: 'control', ...options }).reach('stitched');
  driver.events.length = 0;
  return driver;
}

for (const { x, y, name, other, xAt, yAt } of BOTH) {
  const send = (driver: Driver, from: From, seq: number, ack: number, more: object = {}): string =>
    driver.send(from, { seq, ack, ...TS, ...more });

  t.test(`FIN of the ${name}: held, acknowledged, and let go on by an answer`, async (t) => {
    const driver = stitched();
    t.equal(send(driver, x, xAt, yAt, { flags: Fin }), `made ${x} ${yAt} ack ${xAt + 1}`);
    t.strictSame([driver.state, driver.events], ['closing', [`fin ${name}`, 'closing']]);
    t.equal(send(driver, x, xAt, yAt, { flags: Fin }), `made ${x} ${yAt} ack ${xAt + 1}`, 'repeated');
    t.equal(driver.tick(4_999), 'swallowed');
    t.equal(driver.proceed(name), `made ${y} ${xAt} ack ${yAt} fin`);
    t.equal(driver.proceed(name), 'swallowed', 'a second answer');
    t.equal(send(driver, y, yAt, xAt + 1), `${x} ${yAt} ack ${xAt + 1}`);
    t.equal(driver.tick(600_000), 'swallowed', 'acknowledged, so not repeated');
    t.equal(driver.events.length, 2);
  });

  t.test(`FIN of the ${name}: both ends, one after the other, to the end`, async (t) => {
    const driver = stitched();
    send(driver, x, xAt, yAt, { flags: Fin });
    driver.proceed(name);
    send(driver, y, yAt, xAt + 1);
    t.equal(send(driver, y, yAt, xAt + 1, { flags: Fin }), `made ${y} ${xAt + 1} ack ${yAt + 1}`);
    t.equal(driver.state, 'closing');
    t.equal(driver.proceed(other), `made ${x} ${yAt} ack ${xAt + 1} fin`);
    t.equal(send(driver, x, xAt + 1, yAt + 1), 'swallowed', 'an end that may be gone is sent no ack');
    t.strictSame(driver.events, [`fin ${name}`, 'closing', `fin ${other}`, 'closed']);
    t.equal(driver.engine.flow('f')?.reason, 'fin');
    t.equal(
      send(driver, y, yAt, xAt + 1, { flags: Fin }),
      `made ${y} ${xAt + 1} ack ${yAt + 1}`,
      'repeated late',
    );
    t.equal(send(driver, x, xAt + 1, yAt + 1), 'swallowed');
  });

  t.test(`FIN of the ${name}: both at once`, async (t) => {
    const driver = stitched();
    send(driver, x, xAt, yAt, { flags: Fin });
    t.equal(send(driver, y, yAt, xAt, { flags: Fin }), `made ${y} ${xAt} ack ${yAt + 1}`);
    t.equal(driver.proceed(other), `made ${x} ${yAt} ack ${xAt + 1} fin`);
    t.equal(send(driver, x, xAt + 1, yAt + 1), `${y} ${xAt} ack ${yAt + 1}`, 'seen as before its FIN');
    t.equal(driver.state, 'closing');
    t.equal(driver.proceed(name), `made ${y} ${xAt} ack ${yAt + 1} fin`);
    t.equal(send(driver, y, yAt + 1, xAt + 1), 'swallowed');
    t.equal(driver.state, 'closed');
  });

  t.test(`FIN of the ${name} with data: the data goes on at once`, async (t) => {
    const driver = stitched();
    t.equal(send(driver, x, xAt, yAt, { flags: Fin, len: 10 }), `${y} ${xAt}+10 ack ${yAt}`);
    t.equal(send(driver, x, xAt, yAt, { flags: Fin, len: 10 }), `${y} ${xAt}+10 ack ${yAt}`, 'and again');
    t.equal(send(driver, y, yAt, xAt), `${x} ${yAt} ack ${xAt}`, 'not all of it: no promise');
    t.equal(send(driver, y, yAt, xAt + 10), `${x} ${yAt} ack ${xAt + 11}`, 'with the last byte, the FIN');
    t.equal(driver.proceed(name), `made ${y} ${xAt + 10} ack ${yAt} fin`);
  });

  t.test(`FIN of the ${name} that comes before lost data`, async (t) => {
    const driver = stitched();
    t.equal(send(driver, x, xAt + 10, yAt, { flags: Fin }), 'swallowed');
    t.equal(driver.proceed(name), `made ${y} ${xAt + 10} ack ${yAt} fin`);
    t.equal(send(driver, y, yAt, xAt), `${x} ${yAt} ack ${xAt}`);
    t.equal(send(driver, x, xAt, yAt, { len: 10 }), `${y} ${xAt}+10 ack ${yAt}`);
    t.equal(send(driver, y, yAt, xAt + 11), `${x} ${yAt} ack ${xAt + 11}`);
    t.equal(driver.tick(600_000), 'swallowed');
  });

  t.test(`half-closed by the ${name}: data the other way`, async (t) => {
    const driver = stitched();
    send(driver, x, xAt, yAt, { flags: Fin });
    t.equal(send(driver, y, yAt, xAt, { len: 20 }), `${x} ${yAt}+20 ack ${xAt + 1}`);
    t.equal(
      send(driver, x, xAt + 1, yAt + 20),
      `${y} ${xAt} ack ${yAt + 20}`,
      'held: nothing beyond the last byte',
    );
    driver.proceed(name);
    t.equal(send(driver, y, yAt + 20, xAt, { len: 20 }), `${x} ${yAt + 20}+20 ack ${xAt + 1}`);
    t.equal(send(driver, x, xAt + 1, yAt + 40), `${y} ${xAt + 1} ack ${yAt + 40}`);
    t.equal(
      driver.tick(300),
      `made ${y} ${xAt} ack ${yAt + 40} fin`,
      'repeated with what is acknowledged by now',
    );
    send(driver, y, yAt + 40, xAt + 1);
    t.equal(send(driver, y, yAt + 40, xAt + 1, { len: 20 }), `${x} ${yAt + 40}+20 ack ${xAt + 1}`);
    t.equal(send(driver, x, xAt + 1, yAt + 60), `${y} ${xAt + 1} ack ${yAt + 60}`);
    t.equal(driver.state, 'closing');
  });

  t.test(`keepalives of the ${name} while its FIN is held`, async (t) => {
    const driver = stitched();
    send(driver, x, xAt, yAt, { flags: Fin });
    t.equal(send(driver, x, xAt, yAt), `made ${x} ${yAt} ack ${xAt + 1}`);
    driver.proceed(name);
    t.equal(send(driver, x, xAt, yAt), `made ${x} ${yAt} ack ${xAt + 1}`);
    send(driver, y, yAt, xAt + 1);
    t.equal(send(driver, x, xAt, yAt), `${y} ${xAt} ack ${yAt}`, 'delivered: the other end answers');
  });

  t.test(`FIN of the ${name}, and nobody answers`, async (t) => {
    const driver = stitched({ engine: { teardownLimit: 700 } });
    send(driver, x, xAt, yAt, { flags: Fin });
    t.equal(driver.tick(699), 'swallowed');
    t.equal(driver.tick(1), `made ${y} ${xAt} ack ${yAt} fin`);
  });

  t.test(
    `FIN of the ${name}: repeated until it is acknowledged, or for as long as there is hope`,
    async (t) => {
      const driver = stitched();
      send(driver, x, xAt, yAt, { flags: Fin });
      driver.proceed(name);
      for (let i = 0, wait = 300; i < 8; i++, wait *= 2) {
        t.equal(driver.tick(wait - 1), 'swallowed');
        t.equal(driver.tick(1), `made ${y} ${xAt} ack ${yAt} fin`, `time ${i + 1}`);
      }
      const resets =
        x === 'E' ? 'E 0 rst | made B 150 rst | made B 151 rst' : 'E 0 rst | made E 1 rst | made B 150 rst';
      t.equal(driver.tick(300 * 2 ** 8), `made ${resets}`);
      t.strictSame([driver.state, driver.engine.flow('f')?.reason], ['broken', 'fin-unacknowledged']);
    },
  );

  t.test(`FIN of the ${name} to an end that answers but does not take it`, async (t) => {
    const driver = stitched();
    send(driver, x, xAt, yAt, { flags: Fin });
    driver.proceed(name);
    for (let i = 0; i < 300; i++) {
      driver.tick(2_400);
      send(driver, y, yAt, xAt, { window: 0 });
    }
    t.equal(driver.state, 'closing', 'after 12 minutes');
    t.match(driver.tick(2_400), `made ${y} ${xAt} ack ${yAt} fin`);
  });

  t.test(`RST of the ${name}: held, let go on by an answer`, async (t) => {
    const driver = stitched();
    t.equal(driver.send(x, { seq: xAt, flags: Rst }), 'swallowed');
    t.strictSame([driver.state, driver.events], ['stitched', [`rst ${name}`]]);
    t.equal(send(driver, y, yAt, xAt, { len: 10 }), 'swallowed', 'for an end that is gone');
    t.equal(driver.send(x, { seq: xAt, flags: Rst }), 'swallowed');
    t.equal(driver.proceed(name), `made ${y} ${xAt} rst`);
    t.strictSame([driver.state, driver.engine.flow('f')?.reason], ['closed', `reset-by-${name}`]);
    t.strictSame(driver.events, [`rst ${name}`, 'closed']);
  });

  t.test(`RST of the ${name}, and nobody answers`, async (t) => {
    const driver = stitched({ teardown: 'shell' });
    driver.send(x, { seq: xAt, flags: Rst });
    t.equal(driver.tick(5_000), `made ${y} ${xAt} rst`);
    t.equal(driver.state, 'closed');
  });

  t.test(`RST of the ${name} that does not count is passed on`, async (t) => {
    const driver = stitched();
    t.equal(driver.send(x, { seq: xAt + 5, flags: Rst }), `${y} ${xAt + 5} rst`);
    t.strictSame([driver.state, driver.events], ['stitched', []]);
  });

  t.test(`RST of both ends, the ${name} first`, async (t) => {
    const driver = stitched();
    driver.send(x, { seq: xAt, flags: Rst });
    t.equal(driver.send(y, { seq: yAt, flags: Rst }), 'swallowed');
    t.strictSame(driver.events, [`rst ${name}`, `rst ${other}`, 'closed']);
    t.equal(driver.engine.flow('f')?.reason, `reset-by-${name}`);
    t.equal(driver.proceed(name), 'swallowed');
  });

  t.test(`RST of the ${name} after its FIN was held`, async (t) => {
    const driver = stitched();
    send(driver, x, xAt, yAt, { flags: Fin });
    driver.send(x, { seq: xAt + 1, flags: Rst });
    t.strictSame(driver.events, [`fin ${name}`, 'closing', `rst ${name}`]);
    t.equal(driver.proceed(name), `made ${y} ${xAt} rst`, 'with the number that the other end expects');
    t.equal(driver.state, 'closed');
  });

  t.test(`RST of the ${other} while the FIN of the ${name} is held`, async (t) => {
    const driver = stitched();
    send(driver, x, xAt, yAt, { flags: Fin });
    driver.send(y, { seq: yAt, flags: Rst });
    t.equal(driver.proceed(name), 'swallowed', 'nobody is there to take the FIN');
    t.equal(driver.proceed(other), `made ${x} ${yAt} rst`);
    t.equal(driver.state, 'closed');
  });
}

t.test('a FIN that comes during the drain is taken as lost', async (t) => {
  const driver = new Driver({ teardown: 'control' }).reach('cutting');
  t.equal(driver.send('E', { seq: 150, ack: 0, len: 5, flags: Fin, ...TS }), 'B 150+5 ack 0');
  driver.send('A>B', { seq: 100, ack: 0, len: 50, ...TS });
  driver.send('B', { seq: 0, ack: 155, ...TS });
  t.equal(driver.state, 'stitched');
  t.notMatch(driver.events, ['fin peer']);
  t.equal(driver.send('E', { seq: 155, ack: 0, flags: Fin, ...TS }), 'made E 0 ack 156');
});

for (const teardown of ['core', 'both'] as const) {
  t.test(`${teardown}: FIN and RST go on at once`, async (t) => {
    const driver = stitched({ teardown });
    t.equal(driver.send('E', { seq: 150, ack: 0, flags: Fin, ...TS }), 'B 150 ack 0 fin');
    t.equal(driver.send('B', { seq: 0, ack: 151, ...TS }), 'E 0 ack 151');
    t.equal(driver.send('B', { seq: 0, flags: Rst }), 'E 0 rst');
    t.equal(driver.state, 'closed');
  });
}
