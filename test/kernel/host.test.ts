/** What the kernel's program leaves to the host, and where it differs by design from the userspace path. */
import { Verdict } from '../../src/flow/engine.js';
import { OptionBit, TcpFlag } from '../../src/wire/segment.js';
import { NO_OFFSETS } from '../flow/driver.js';
import { raw, TS } from './support/cases.js';
import { TwinDriver, withKernel, withTwin } from './support/driver.js';
import { frameOf } from './support/frames.js';

const { Syn } = TcpFlag;

withKernel('frames that are left to the host', (t, kernel) => {
  withTwin(kernel, (twin) => {
    const driver = new TwinDriver(twin).reach('stitched');
    const good = raw(driver, 'E', { seq: 150, ack: 0, len: 20 });
    const changed = (at: number, ...bytes: number[]): Buffer => {
      const frame = Buffer.from(good);
      frame.set(bytes, at);
      return frame;
    };
    const shifted = raw(driver, 'E', { seq: 150, ack: 0 }, { padding: 20 });
    shifted[46] = 0x60;
    const frames: Record<string, Buffer> = {
      'the first fragment': changed(20, 0x20, 0),
      'a later fragment': changed(20, 0, 9),
      ARP: changed(12, 8, 6),
      UDP: changed(23, 17),
      'IP version 6 as IPv4': changed(14, 0x65),
      'a header of 16 bytes': changed(14, 0x44),
      'a length beyond the frame': changed(16, 1, 0),
      'a length of 0': changed(16, 0, 0),
      'a TCP header of 16 bytes': changed(46, 0x40),
      'a TCP header beyond the packet': changed(46, 0xf0),
      'a TCP header that ends in the padding': shifted,
      'cut within the TCP header': good.subarray(0, 40),
    };
    for (const [name, frame] of Object.entries(frames)) {
      t.equal(twin.receiveFrame(Buffer.from(frame), driver.now), undefined, name);
    }
    t.equal(twin.receiveFrame(good, driver.now), Verdict.Emit, 'and what is theirs is not');
  });
  t.end();
});

withKernel('what the userspace path does otherwise', (t, kernel) => {
  t.test('a tagged frame comes again by its own interface', (t) => {
    withTwin(kernel, (twin) => {
      const driver = new TwinDriver(twin).reach('stitched');
      const good = raw(driver, 'E', { seq: 150, ack: 0, len: 20 });
      const tagged = Buffer.concat([good.subarray(0, 12), Buffer.from([0x81, 0, 0, 5]), good.subarray(12)]);
      t.same(kernel.receive(tagged, driver.now), { retval: -1, packets: [] });
    });
    t.end();
  });

  for (const family of [4, 6] as const) {
    t.test(`a bad checksum is edited and stays bad, IPv${family}`, (t) => {
      withTwin(kernel, (twin) => {
        const driver = new TwinDriver(twin, {}, family).reach('stitched');
        const given = { seq: 150, ack: 0, len: 21 };
        const [good] = kernel.receive(raw(driver, 'E', given), driver.now).packets;
        const [bad] = kernel.receive(raw(driver, 'E', given, { spoil: 0x0101 }), driver.now).packets;
        if (!good || !bad) throw new Error('not sent');
        const at = (family === 4 ? 20 : 40) + 16;
        // One's complement: what was added on the way in is there on the way out.
        const sum = good.readUInt16BE(at) + 0x0101;
        t.equal(bad.readUInt16BE(at), sum > 0xffff ? sum - 0xffff : sum);
        bad.writeUInt16BE(good.readUInt16BE(at), at);
        t.same(bad, good, 'and nothing else differs');
        kernel.reset();
      });
      t.end();
    });
  }

  for (const family of [4, 6] as const) {
    // Of packets with a whole one only the kernel knows which they are, so here it is what the program makes anew.
    t.test(`a checksum that was left to the interface is left to the next, IPv${family}`, (t) => {
      withTwin(kernel, (twin) => {
        const driver = new TwinDriver(twin, {}, family).open().holdBytes();
        const consumed = { ...NO_OFFSETS, consumedFromPeer: 120, injectedToCore: 120 };
        twin.enable('f', consumed, driver.now);
        const cut = raw(driver, 'E', { seq: 100, ack: 0, len: 151, ...TS }, { partial: true });
        const made = raw(driver, 'B', { seq: -1, flags: Syn }, { partial: true });
        for (const frame of [cut, made]) {
          const before = twin.compared;
          t.equal(twin.receiveFrame(frame, driver.now), Verdict.Emit);
          t.equal(twin.compared, before + 1);
          t.ok(twin.wasPartial, 'for the interface to complete');
        }
      });
      t.end();
    });
  }

  t.test('without a free record a connection passes unwatched', (t) => {
    withTwin(kernel, (twin) => {
      const driver = new TwinDriver(twin);
      const segment = driver.segment('E', { seq: -1, flags: Syn });
      segment.options = OptionBit.FastOpen;
      const port = (n: number): Buffer => {
        const tuple = driver.tuples.E.clone();
        tuple.setPorts(30_000 + n, 8080);
        return frameOf(tuple, segment);
      };
      const retvals = Array.from({ length: 20 }, (_, n) => kernel.receive(port(n), driver.now).retval);
      t.same(retvals, [...new Array<number>(16).fill(2), ...new Array<number>(4).fill(-1)]);
      t.equal(kernel.unpairedCount(), 16);
      t.equal(kernel.reset(), undefined, 'all are free again');
    });
    t.end();
  });
  t.end();
});
