/**
 * A switch that follows and carries: the kernel's program and the flow engine, compared at every packet, as the leader and
 * as the follower of simulated worlds whose packets take the one or the other; then what the program alone does.
 *
 * `SUTURE_TWIN_SEEDS=n` runs the seeds 1 … n. Some 10 s.
 */
import type { Test } from 'tap';
import { EventKind, LAYOUT } from '../../src/dataplane/kernel/layout.js';
import { Verdict } from '../../src/flow/engine.js';
import { sourceOf, tupleOf } from '../../src/wire/endpoint.js';
import { emitIcmpv4Error } from '../../src/wire/icmp.js';
import { emitIpv4 } from '../../src/wire/ipv4.js';
import { TcpFlag } from '../../src/wire/segment.js';
import { IpProto } from '../../src/wire/types.js';
import { type From, type Given, OUTER } from '../flow/driver.js';
import { Simulation } from '../support/sim/simulation.js';
import { smallScenario } from '../support/sim/small.js';
import { type Member, SprayingEngine } from '../support/sim/spraying.js';
import { raw } from './support/cases.js';
import { type Family, TwinDriver, withKernel, withTwin } from './support/driver.js';
import { ethernet, rawFrame } from './support/frames.js';
import { Kernel, TC_ACT_SHOT, TC_ACT_UNSPEC } from './support/kernel.js';
import { Twin } from './support/twin.js';

const SEEDS = Number(process.env.SUTURE_TWIN_SEEDS ?? 60);
const { Ack, Fin, Rst, Syn } = TcpFlag;

withKernel('leader and follower agree with the engine', async (t, first) => {
  first.close();
  const kernels = [await Kernel.load({ shared: 1 }), await Kernel.load({ shared: 1 })] as const;
  t.teardown(() => {
    for (const kernel of kernels) kernel.close();
  });
  let [carried, compared] = [0, 0];
  for (let seed = 1; seed <= SEEDS; seed++) {
    const [leader, follower] = [
      new Twin(kernels[0], { shared: true }),
      new Twin(kernels[1], { shared: true }),
    ] as const;
    const engine = new SprayingEngine(seed, member(leader), member(follower));
    try {
      const { fault } = new Simulation(smallScenario(seed), engine, { flushMs: 5_000 }).run();
      if (fault) t.fail(`seed ${seed}: ${fault.rule}: ${fault.text}`);
      follower.drop('f');
      for (const twin of [leader, follower]) twin.end();
    } catch (error) {
      t.fail(`seed ${seed}: ${error instanceof Error ? error.stack : error}`);
      for (const kernel of kernels) kernel.reset();
      break;
    }
    carried += engine.carried;
    compared += leader.compared + follower.compared;
  }
  t.comment(`${carried} packets translated by copies; ${compared} compared`);
  t.ok(carried > 5 * SEEDS, 'copies were used');
});

function member(twin: Twin): Member {
  return {
    get outbox() {
      return twin.outbox;
    },
    get busy() {
      return twin.busy;
    },
    own: (ports) => twin.own(ports),
    receive: (tuple, segment, now) => twin.receive(tuple, segment, now),
    tick: (now) => twin.tick(now),
    pair: (id, outer, inner, now) => twin.pair(id, outer, inner, now),
    enable: (id, offsets, now) => twin.enable(id, offsets, now),
    close: (id, now) => twin.close(id, now),
    flow: (id) => twin.flow(id),
    follow: (following, now) => twin.follow(following, now),
    restore: (id, ends, saved, past, now) => twin.restore(id, ends, saved, past, now),
    drop: (id) => twin.drop(id),
  };
}

/** Of one shared program; its driver's flow is stitched, and another switch leads by now. */
function following(
  t: Test,
  kernel: Kernel,
  body: (driver: TwinDriver, give: (from: From, given: Given) => Verdict | undefined) => void,
  { knowsLeader = true, family = 4 as Family } = {},
): void {
  withTwin(
    kernel,
    (twin) => {
      const driver = new TwinDriver(twin, {}, family).reach('stitched');
      const shells = [sourceOf(driver.tuples['A>E']).address];
      twin.follow({ shells, knowsLeader }, driver.now);
      body(driver, (from, given) => twin.receiveFrame(raw(driver, from, given), driver.now));
      twin.follow(undefined, driver.now);
    },
    { shared: true },
  );
  t.end();
}

withKernel('a switch that follows', async (t, plain) => {
  plain.close();
  const kernel = await Kernel.load({ shared: 1 });
  t.teardown(() => kernel.close());

  for (const family of [4, 6] as const) {
    t.test(`steers one packet of each direction a second, IPv${family}`, (t) =>
      following(
        t,
        kernel,
        (driver, give) => {
          const data = (seq: number): Verdict | undefined => give('E', { seq, ack: 0, len: 10 });
          t.equal(data(150), Verdict.Steer, 'the first one');
          t.equal(data(160), Verdict.Emit);
          t.equal(give('B', { seq: 0, ack: 160 }), Verdict.Steer, 'the other direction by itself');
          driver.now += 999;
          t.equal(data(170), Verdict.Emit);
          driver.now += 1;
          t.equal(data(180), Verdict.Steer);
          t.equal(data(190), Verdict.Emit);
          t.equal(data(190 + 2 ** 28), Verdict.Steer, 'and where many bytes went by');
          t.equal(data(200 + 2 ** 28), Verdict.Emit);
        },
        { family },
      ),
    );
  }

  for (const [name, flags] of Object.entries({ Fin, Rst, Syn })) {
    t.test(`leaves a ${name.toUpperCase()}, and all after it, to the leader`, (t) =>
      following(t, kernel, (_driver, give) => {
        give('E', { seq: 150, ack: 0 });
        t.equal(give('E', { seq: 150, ack: 0 }), Verdict.Emit);
        t.equal(give('E', { seq: 150, ack: 0, flags }), Verdict.Steer);
        t.equal(give('E', { seq: 151, ack: 0 }), Verdict.Steer);
        t.equal(give('B', { seq: 0, ack: 150 }), Verdict.Steer);
      }),
    );
  }

  t.test('swallows what the shell still says, but not a SYN', (t) =>
    following(t, kernel, (_driver, give) => {
      t.equal(give('A>E', { seq: 0, ack: 150, flags: Rst }), Verdict.Emit);
      t.equal(give('A>B', { seq: 0, flags: Syn }), Verdict.Steer);
    }),
  );

  t.test('translates all of a copy where no leader is known', (t) =>
    following(
      t,
      kernel,
      (_driver, give) => {
        t.equal(give('E', { seq: 150, ack: 0, len: 10 }), Verdict.Emit);
        t.equal(give('E', { seq: 160, ack: 0, flags: Fin }), Verdict.Emit);
        t.equal(give('B', { seq: 0, ack: 150, flags: Rst }), Verdict.Emit);
      },
      { knowsLeader: false },
    ),
  );

  t.test("steers what it has no copy of, if it is a shell's", (t) =>
    following(t, kernel, ({ twin, now }) => {
      const give = (tuple: ReturnType<typeof tupleOf>, more = {}): Verdict | undefined =>
        twin.receiveFrame(rawFrame({ tuple, seq: 1, flags: Ack, ...more }), now);
      const [stranger, other] = [
        { address: '10.9.0.1', port: 5 },
        { address: '10.9.0.2', port: 6 },
      ];
      t.equal(give(tupleOf(stranger, OUTER.local)), Verdict.Steer);
      t.equal(give(tupleOf({ ...OUTER.local, port: 1 }, stranger)), Verdict.Steer);
      t.equal(give(tupleOf(stranger, other)), Verdict.Host);
      t.equal(give(tupleOf(stranger, OUTER.local), { ttl: 1 }), undefined, 'not where its way ends');
    }),
  );

  t.test("steers an ICMP error about a shell's packet", (t) => {
    kernel.follow([OUTER.local.address]);
    const about = (source: string): number => {
      const quoted = rawFrame({
        tuple: tupleOf({ address: source, port: 1 }, { address: '10.9.0.1', port: 2 }),
        seq: 1,
        flags: Ack,
      });
      const payload = emitIcmpv4Error({ type: 3, code: 4, info: 1280, quoted: quoted.subarray(14) });
      const header = { tos: 0, id: 1, dontFragment: false, moreFragments: false, fragmentOffset: 0 };
      const ends = { source: '10.9.0.7', destination: source, ttl: 9, protocol: IpProto.Icmp };
      const packet = emitIpv4({ ...header, ...ends, options: new Uint8Array(0), payload });
      const { retval, packets } = kernel.receive(ethernet(packet), 5);
      if (packets[0]) t.equal(packets[0].readUInt8(8), 8, 'one hop less');
      return retval;
    };
    t.equal(about(OUTER.local.address), TC_ACT_SHOT);
    t.equal(about('10.9.0.3'), TC_ACT_UNSPEC);
    t.end();
  });

  t.test('tells its process of what it misses, now and then', (t) => {
    let missed = 0;
    kernel.follow([OUTER.local.address]);
    const ring = kernel.ring((record) => {
      if (record.readUInt8(LAYOUT.event.kind) === EventKind.Miss) missed += 1;
    });
    const give = (port: number, now: number, flags: number = Ack): void => {
      const tuple = tupleOf({ address: '10.9.0.1', port }, OUTER.local);
      t.equal(kernel.receive(rawFrame({ tuple, seq: 1, flags }), now).retval, TC_ACT_SHOT);
      ring.consume();
    };
    const began = 1_000_000;
    for (const _ of [1, 2, 3]) give(1000, began);
    t.equal(missed, 1, 'once for one tuple');
    give(1000, began + 999);
    t.equal(missed, 1);
    give(1000, began + 1000);
    t.equal(missed, 2, 'and again a second later');
    give(1001, began + 2000, Syn);
    t.equal(missed, 2, 'a SYN begins something new');
    for (let i = 0; i < 1000; i++) give(2000 + i, began + 3000 + Math.floor(i / 10));
    t.ok(missed > 10 && missed <= 2 + 21, `a scan of 1,000 tuples in 100 ms: ${missed - 2} times`);
    kernel.follow(undefined);
    t.equal(
      kernel.receive(rawFrame({ tuple: tupleOf(OUTER.remote, OUTER.local), seq: 1, flags: Ack }), began)
        .retval,
      TC_ACT_UNSPEC,
    );
    t.end();
  });
});
