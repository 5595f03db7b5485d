import t from 'tap';
import { OptionBit, TcpFlag } from '../../src/wire/segment.js';
import { seqDiff, seqNum } from '../../src/wire/seq.js';
import { Driver, ISN, NO_OFFSETS } from './driver.js';

const ts = { tsval: 110, tsecr: 100 };

t.test('an idle pair is stitched at once, without a drain', async (t) => {
  const driver = new Driver().open().enable();
  t.same(driver.events, ['relayed', 'clamping', 'stitched']);
  t.equal(driver.send('E', { seq: 0, ack: 0, len: 10, ...ts }), 'B 0+10 ack 0');
  t.equal(driver.send('B', { seq: 0, ack: 10, len: 5, ...ts }), 'E 0+5 ack 10');
});

t.test('asked for before the handshakes are complete, it waits for them', async (t) => {
  const driver = new Driver().reach('watched').enable();
  t.equal(driver.state, 'watched');
  driver.openInner();
  t.same(driver.events.slice(-2), ['clamping', 'stitched']);
});

t.test('offsets move the deltas', async (t) => {
  const driver = new Driver().open();
  driver.send('E', { seq: 0, ack: 0, len: 30, ...ts });
  driver.send('A>E', { seq: 0, ack: 30, ...ts });
  driver.send('A>B', { seq: 0, ack: 0, len: 12, ...ts });
  driver.send('B', { seq: 0, ack: 12, ...ts });
  // Of 30 bytes 20 were the shell's own business, and 2 of the 12 that it wrote were its own.
  driver.engine.enable('f', { ...NO_OFFSETS, consumedFromPeer: 20, injectedToCore: 2 }, driver.now);
  t.equal(driver.state, 'stitched');
  t.equal(driver.send('E', { seq: 30, ack: 0, len: 7, ...ts }), 'B 12+7 ack 0');
  t.equal(driver.send('B', { seq: 0, ack: 19, ...ts }), 'E 0 ack 37');
  t.equal(
    driver.send('E', { seq: 10, ack: 0, len: 10, ...ts }),
    'made E 0 ack 37',
    'bytes that the shell consumed are acknowledged again and go nowhere',
  );
  t.equal(
    driver.send('E', { seq: 10, ack: 0, len: 20, ...ts }),
    'made E 0 ack 37',
    'and so are they with what follows them',
  );
});

t.test('offsets that contradict what passed are refused', async (t) => {
  const wrongs = [{ consumedFromPeer: 31 }, { consumedFromPeer: 19 }, { consumedFromCore: 1 }];
  for (const wrong of wrongs) {
    const driver = new Driver().open();
    driver.send('E', { seq: 0, ack: 0, len: 30, ...ts });
    driver.send('A>B', { seq: 0, ack: 0, len: 12, ...ts });
    driver.engine.enable('f', { ...NO_OFFSETS, ...wrong }, driver.now);
    t.equal(driver.state, 'refused', JSON.stringify(wrong));
    t.equal(driver.engine.flow('f')?.reason, 'offsets-impossible');
    t.equal(driver.send('E', { seq: 30, ack: 0, len: 5, ...ts }), 'pass', 'and relayed on');
  }
});

t.test('injected bytes that the shell has not sent yet are drained like others', async (t) => {
  const driver = new Driver().open();
  driver.engine.enable('f', { ...NO_OFFSETS, injectedToCore: 8 }, driver.now);
  t.equal(driver.state, 'cutting');
  t.equal(driver.send('E', { seq: 0, ack: 0, len: 5, ...ts }), 'B 8+5 ack 0');
  driver.send('A>B', { seq: 0, ack: 0, len: 8, ...ts });
  driver.send('B', { seq: 0, ack: 13, ...ts });
  t.equal(driver.state, 'stitched');
});

t.test('the clamp waits for windows that fit, and for its deadline at most', async (t) => {
  const driver = new Driver().reach('clamping');
  driver.tick(199);
  t.equal(driver.state, 'clamping');
  driver.tick(1);
  t.equal(driver.state, 'cutting');
});

t.test('what the core has no room for is not cut, however long that lasts', async (t) => {
  const driver = new Driver({ engine: { drainLimit: 500 } }).open();
  driver.send('E', { seq: 0, ack: 0, len: 100, ...ts });
  driver.send('A>B', { seq: 0, ack: 0, len: 100, ...ts });
  driver.send('B', { seq: 0, ack: 100, window: 20, ...ts });
  driver.send('E', { seq: 100, ack: 0, len: 50, ...ts });
  driver.enable();
  driver.tick(10_000);
  t.equal(driver.state, 'clamping', 'a relay waits as long as it takes');
  driver.send('B', { seq: 0, ack: 100, window: 49, ...ts });
  t.equal(driver.state, 'clamping');
  driver.send('B', { seq: 0, ack: 100, window: 50, ...ts });
  t.equal(driver.state, 'cutting');
  driver.tick(500);
  t.equal(driver.engine.flow('f')?.reason, 'drain-timeout', 'the drain has its limit all the same');
});

t.test('a clamp that lasts holds nothing up that moves', async (t) => {
  const scale = { E: 7, 'A>E': 7, 'A>B': 7, B: 7 };
  const driver = new Driver({ scale, engine: { clampCap: 10_000 } }).open();
  const offered = (): number => {
    driver.send('A>E', { seq: 10, ack: 0, window: 1000, ...ts });
    return driver.engine.outbox.at(0).segment.window << 7;
  };
  // The peer reads nothing, and the shell holds bytes for it.
  driver.send('B', { seq: 0, ack: 0, len: 10, ...ts });
  driver.send('A>E', { seq: 0, ack: 0, len: 10, window: 10, ...ts });
  driver.send('E', { seq: 0, ack: 10, window: 0, ...ts });
  driver.send('B', { seq: 10, ack: 0, len: 5, ...ts });
  driver.enable();
  const before = offered();
  driver.tick(200);
  t.equal(driver.state, 'clamping');
  t.ok(before < offered(), `${before} bytes are offered to it as long as a clamp should last`);
  t.equal(offered(), 128_000, 'and then what the core takes');
});

t.test('gigabytes in one direction until the other one can go on', async (t) => {
  const scale = { E: 14, 'A>E': 14, 'A>B': 14, B: 14 };
  const wide = { window: 65_535, ...ts };
  for (const during of ['clamping', 'cutting']) {
    const driver = new Driver({ scale, engine: { drainLimit: 60_000 } }).open();
    const step = 2 ** 28;
    let end = 0;
    const upload = (steps: number): void => {
      for (let i = 0; i < steps; i++) {
        end += step;
        driver.send('E', { seq: end - step, ack: 10, len: step, window: 0, ...ts });
        if (driver.state !== 'cutting') {
          driver.send('A>E', { seq: 10, ack: end, ...wide });
          driver.send('A>B', { seq: end - step, ack: 15, len: step, ...wide });
        }
        driver.send('B', { seq: 15, ack: end, ...wide });
      }
    };
    driver.send('A>E', { seq: 0, ack: 0, ...wide });
    driver.send('B', { seq: 0, ack: 0, len: 15, ...wide });
    driver.send('A>E', { seq: 0, ack: 0, len: 10, ...wide });
    upload(4);
    // What the shell holds for the peer keeps the flow from going on: there is no room for it, or it is on its way.
    driver.send('E', { seq: end, ack: 10, window: during === 'clamping' ? 0 : 100, ...ts });
    driver.enable();
    driver.tick(200);
    t.equal(driver.state, during);
    upload(7);
    t.equal(driver.state, during);
    driver.send('E', { seq: end, ack: 10, ...wide });
    driver.send('A>E', { seq: 10, ack: end, len: 5, ...wide });
    driver.send('E', { seq: end, ack: 15, ...wide });
    t.equal(driver.state, 'stitched');
    t.equal(driver.send('E', { seq: end, ack: 15, len: 10, ...wide }), `B ${end | 0}+10 ack 15`, during);
  }
});

t.test('the shell can offer no more than the core takes, and never takes back', async (t) => {
  const driver = new Driver().reach('clamping');
  const sent = (): number => driver.engine.outbox.at(0).segment.window;
  driver.send('A>E', { seq: 0, ack: 150, window: 65535, ...ts });
  t.equal(sent(), 65535, 'what was told before stands');
  driver.send('E', { seq: 150, ack: 0, len: 1000, ...ts });
  driver.send('A>E', { seq: 0, ack: 1150, window: 65535, ...ts });
  t.equal(sent(), 64535, 'and does not grow beyond what the core takes');
});

t.test('in the drain an ack covers what the shell or the core has, and no more', async (t) => {
  const driver = new Driver().reach('cutting');
  t.equal(driver.send('E', { seq: 150, ack: 0, len: 40, ...ts }), 'B 150+40 ack 0');
  t.equal(driver.send('B', { seq: 0, ack: 100, len: 3, ...ts }), 'E 0+3 ack 150', 'the shell owes the rest');
  driver.send('A>B', { seq: 100, ack: 0, len: 50, ...ts });
  t.equal(
    driver.send('B', { seq: 3, ack: 190, ...ts }),
    'E 3 ack 190 | A(inner) 0 ack 150 | made E 3 ack 190 | made B 190 ack 0',
    'and the shell hears only of what it sent itself',
  );
  t.equal(driver.state, 'stitched');
});

t.test(
  'a FIN that was lost before the cut, and only shows in the number of a bare ack, goes to the core',
  async (t) => {
    const driver = new Driver().open().holdBytes();
    driver.send('E', { seq: 151, ack: 0, ...ts });
    driver.enable();
    t.equal(driver.state, 'cutting');
    t.equal(driver.send('E', { seq: 150, ack: 0, flags: TcpFlag.Fin, ...ts }), 'B 150 ack 0 fin');
  },
);

t.test('a reset that came before the request keeps the flow with the shell', async (t) => {
  const driver = new Driver().open().holdBytes();
  driver.send('E', { seq: 150, flags: TcpFlag.Rst });
  driver.enable();
  t.equal(driver.engine.flow('f')?.reason, 'closing-before-cut');
});

t.test('a shell that missed an ack is told again, so that it can let go and drain', async (t) => {
  const driver = new Driver().reach('cutting');
  driver.send('A>B', { seq: 100, ack: 0, len: 30, ...ts });
  driver.send('B', { seq: 0, ack: 130, ...ts });
  t.equal(driver.send('A>B', { seq: 100, ack: 0, len: 30, ...ts }), 'made A(inner) 0 ack 130');
  t.equal(
    driver.send('A>B', { seq: 129, ack: 0, ...ts }),
    'made A(inner) 0 ack 130 | B 129 ack 0',
    'and its probe reaches the core, whose window may have changed',
  );
});

t.test('a drain that takes too long resets both ends', async (t) => {
  const driver = new Driver({ engine: { drainLimit: 500 } }).reach('cutting');
  driver.tick(499);
  t.equal(driver.state, 'cutting');
  t.match(driver.tick(1), /made E 0 rst \| made B 100 rst/);
  t.equal(driver.engine.flow('f')?.reason, 'drain-timeout');
});

t.test('SACK blocks for the shell end where its own bytes end', async (t) => {
  const driver = new Driver().open();
  driver.send('B', { seq: 0, ack: 0, len: 200, ...ts });
  driver.send('A>B', { seq: 0, ack: 200, ...ts });
  driver.send('A>E', { seq: 0, ack: 0, len: 100, ...ts });
  driver.enable();
  t.equal(driver.state, 'cutting');
  driver.send('B', { seq: 200, ack: 0, len: 50, ...ts });
  driver.send('E', {
    seq: 0,
    ack: 0,
    sack: [
      [40, 250],
      [90, 95],
    ],
    ...ts,
  });
  const [, second] = [0, 1].map((i) =>
    i < driver.engine.outbox.count ? driver.engine.outbox.at(i) : undefined,
  );
  const copy = second ?? driver.engine.outbox.at(0);
  t.equal(copy.segment.sackCount, 2);
  t.equal(seqDiff(copy.segment.sackRight[0] as never, seqNum(ISN['A>E'] + 1)), 100);
});

t.test('a window is converted from one scale to the other and never closed by it', async (t) => {
  const driver = new Driver({ scale: { E: 2, 'A>E': 7, 'A>B': 9, B: 0 } }).open().enable();
  const window = (): number => driver.engine.outbox.at(0).segment.window;
  driver.send('E', { seq: 0, ack: 0, window: 1024, ...ts });
  t.equal(window(), 8, '4096 bytes at scale 9');
  driver.send('E', { seq: 0, ack: 0, window: 3, ...ts });
  t.equal(window(), 1);
  driver.send('E', { seq: 0, ack: 0, window: 0, ...ts });
  t.equal(window(), 0);
  driver.send('B', { seq: 0, ack: 0, window: 65535, ...ts });
  t.equal(window(), 511);
});

t.test('timestamps of each end stay on its own clock and never go back', async (t) => {
  const driver = new Driver().open();
  driver.now += 50;
  driver.send('E', { seq: 0, ack: 0, len: 10, tsval: 1000, tsecr: 110 });
  driver.send('A>E', { seq: 0, ack: 10, tsval: 500, tsecr: 1000 });
  driver.send('A>B', { seq: 0, ack: 0, len: 10, tsval: 7000, tsecr: 110 });
  driver.send('B', { seq: 0, ack: 10, tsval: 90, tsecr: 7000 });
  driver.enable();
  t.equal(driver.state, 'stitched');
  driver.now += 5;
  driver.send('E', { seq: 10, ack: 0, len: 10, tsval: 1005, tsecr: 500 });
  const up = driver.engine.outbox.at(0).segment;
  t.equal(up.tsval, 7005, "as if the shell's clock had gone on");
  driver.send('B', { seq: 0, ack: 20, tsval: 95, tsecr: up.tsval });
  t.equal(driver.engine.outbox.at(0).segment.tsecr, 1005, 'an echo comes back as what was sent');
});

t.test('an option that one side lacks is taken out of the second SYN', async (t) => {
  const driver = new Driver({ timestamps: false, sack: false, mss: { E: 1200 } });
  driver.reach('watched');
  const syn = driver.segment('A>B', { seq: -1, flags: TcpFlag.Syn });
  syn.options = OptionBit.Mss | OptionBit.SackPermitted | OptionBit.Timestamps | OptionBit.WindowScale;
  syn.mss = 1460;
  const { TUPLES } = await import('./driver.js');
  driver.engine.receive(TUPLES['A>B'], syn, driver.now);
  const sent = driver.engine.outbox.at(0).segment;
  t.equal(sent.options, OptionBit.Mss | OptionBit.WindowScale);
  t.equal(sent.mss, 1200, 'and the MSS is no more than what the peer takes');
});

t.test('a bare ack from the end of a shrunken window is lifted; a probe is not', async (t) => {
  const driver = new Driver().open().enable();
  driver.send('E', { seq: 0, ack: 0, len: 500, ...ts });
  driver.send('B', { seq: 0, ack: 200, ...ts });
  t.equal(driver.send('E', { seq: 300, ack: 0, ...ts }), 'B 500 ack 0');
  t.equal(driver.send('E', { seq: 199, ack: 0, ...ts }), 'B 199 ack 0');
});

t.test('the shell dying in the drain breaks the flow, unless all that it held is on the wire', async (t) => {
  const early = new Driver().reach('cutting');
  early.send('A>B', { seq: 100, ack: 0, flags: TcpFlag.Fin, ...ts });
  t.equal(early.engine.flow('f')?.reason, 'shell-lost');
  const late = new Driver().reach('cutting');
  t.equal(
    late.send('A>B', { seq: 100, ack: 0, len: 50, flags: TcpFlag.Fin, ...ts }),
    'B 100+50 ack 0',
    'its FIN goes nowhere',
  );
  t.equal(
    late.send('B', { seq: 0, ack: 150, ...ts }),
    'A(inner) 0 ack 150 | made E 0 ack 150 | made B 150 ack 0',
    'and no number of it is told',
  );
  t.equal(late.state, 'stitched');
});

t.test('counters hold each byte once', async (t) => {
  const driver = new Driver().reach('stitched');
  driver.send('E', { seq: 150, ack: 0, len: 40, ...ts });
  driver.send('E', { seq: 150, ack: 0, len: 40, ...ts });
  driver.send('E', { seq: 170, ack: 0, len: 40, ...ts });
  t.equal(driver.engine.flow('f')?.outer.far.bytes, 210);
  driver.send('E', { seq: 210, ack: 0, flags: TcpFlag.Fin, ...ts });
  t.equal(driver.engine.flow('f')?.outer.far.bytes, 210);
});

t.test('bytes that were lost before the switch count when they are sent again', async (t) => {
  const driver = new Driver().open();
  driver.send('E', { seq: 0, ack: 0, len: 10, ...ts });
  driver.send('E', { seq: 30, ack: 0, ...ts });
  driver.send('E', { seq: 10, ack: 0, len: 20, ...ts });
  t.equal(driver.engine.flow('f')?.outer.far.bytes, 30);
});

t.test('a closed flow lingers, then is forgotten', async (t) => {
  const driver = new Driver({ engine: { lingerClosed: 5000 } }).reach('closed');
  t.equal(driver.engine.connections, 2);
  driver.tick(4000);
  t.equal(driver.state, 'closed');
  driver.tick(2000);
  t.equal(driver.state, 'gone');
  t.equal(driver.engine.connections, 0);
});

t.test('a port that comes back starts a new connection', async (t) => {
  const driver = new Driver().reach('closed');
  t.throws(
    () =>
      driver.engine.pair(
        'f',
        { local: { address: '10.2.0.2', port: 8080 }, remote: { address: '10.1.0.2', port: 1 } },
        { local: { address: '10.2.0.2', port: 20001 }, remote: { address: '10.3.0.2', port: 8080 } },
        driver.now,
      ),
    { code: 'SUT_FLOW_EXISTS' },
  );
  t.equal(driver.send('E', { seq: 40000, flags: TcpFlag.Syn, tsval: 9999 }), 'pass');
  t.equal(driver.engine.flow('f'), undefined);
});

t.test('half-open connections are bounded in number and time', async (t) => {
  const driver = new Driver({ engine: { maxUnpaired: 1, halfOpen: 1000 } });
  driver.send('E', { seq: -1, flags: TcpFlag.Syn });
  const other = (await import('./driver.js')).TUPLES.E.clone();
  other.setPorts(40001, 8080);
  driver.engine.receive(other, driver.segment('E', { seq: -1, flags: TcpFlag.Syn }), driver.now);
  t.equal(driver.engine.counters.limitReached, 1);
  t.equal(driver.engine.connections, 1);
  driver.tick(11_000);
  t.equal(driver.engine.connections, 0);
});

/** Sends `total` bytes from E by way of the shell, in giant segments. */
function relayMuch(driver: Driver, total: number): void {
  const step = 2 ** 28;
  for (let at = 0; at < total; at += step) {
    driver.send('E', { seq: at, ack: 0, len: step, ...ts });
    driver.send('A>E', { seq: 0, ack: at + step, ...ts });
    driver.send('A>B', { seq: at, ack: 0, len: step, ...ts });
    driver.send('B', { seq: 0, ack: at + step, ...ts });
  }
}

t.test('more than 4 GiB, before the cut and after it', async (t) => {
  const total = 5 * 2 ** 30;
  const driver = new Driver().open();
  relayMuch(driver, total);
  driver.enable();
  t.equal(driver.state, 'stitched');
  const wrapped = total - 2 ** 32;
  t.equal(driver.send('E', { seq: total, ack: 0, len: 10, ...ts }), `B ${wrapped}+10 ack 0`);
  t.equal(driver.send('E', { seq: total - 5, ack: 0, len: 5, ...ts }), `B ${wrapped - 5}+5 ack 0`);

  const direct = new Driver().open().enable();
  const step = 2 ** 28;
  for (let at = 0; at < total; at += step) {
    const text = direct.send('E', { seq: at, ack: 0, len: step, ...ts });
    t.match(text, /^B -?\d+\+268435456 ack 0$/, `${at}`);
    direct.send('B', { seq: 0, ack: at + step, ...ts });
  }
  t.equal(direct.engine.flow('f')?.outer.far.bytes, total);
  direct.send('E', { seq: total + 7, flags: TcpFlag.Rst });
  t.equal(direct.state, 'stitched', 'a reset still has to be exact');
});

t.test('a flow whose last ack never comes is closed before it would be idle', async (t) => {
  const driver = new Driver({ engine: { lingerClosed: 20_000 } }).reach('closing');
  driver.send('B', { seq: 0, ack: 151, flags: TcpFlag.Fin, ...ts });
  t.equal(driver.state, 'closing');
  driver.tick(31_000);
  t.equal(driver.state, 'gone');
  t.equal(driver.events.at(-1), 'closed');
  const halfClosed = new Driver({ engine: { lingerClosed: 20_000 } }).reach('closing');
  halfClosed.tick(31_000);
  t.equal(halfClosed.state, 'closing', 'one that is half-closed may go on for long');
});

t.test('a pair whose inner connection never comes is given up', async (t) => {
  const driver = new Driver({ engine: { halfOpen: 1000 } }).openOuter();
  driver.tick(11_000);
  t.equal(driver.state, 'gone');
  t.equal(driver.events.at(-1), 'closed');
});

t.test('a reset with the number of a FIN that was sent ends the flow', async (t) => {
  const driver = new Driver().open().enable();
  driver.send('B', { seq: 0, ack: 0, flags: TcpFlag.Fin, ...ts });
  driver.send('E', { seq: 0, ack: 1, ...ts });
  t.equal(driver.state, 'closing');
  t.equal(driver.send('B', { seq: 0, flags: TcpFlag.Rst }), 'E 0 rst');
  t.equal(driver.state, 'closed');
});
