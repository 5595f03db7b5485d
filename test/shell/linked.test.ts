/** Connections of a route via a link: on it, moved off it by whoever asks, and ended in every phase. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { PREFIX_BYTES } from '../../src/midcom/link/token.js';
import { type LinkBench, linkBench } from './link-bench.js';
import { readAll, until } from './support.js';

async function benchFor(t: Test, options?: Parameters<typeof linkBench>[0]): Promise<LinkBench> {
  const b = await linkBench(options);
  t.teardown(() => b.close());
  return b;
}

async function moved(b: LinkBench, count = 1): Promise<void> {
  await until(() => b.core.stats().delivery?.moved === count && b.fake.pairs.length >= count, 'it was moved');
}

t.test('on the link: both ways, half-close, and no flow', async (t) => {
  const b = await benchFor(t);
  const { peer, server } = await b.open();
  peer.end('question');
  t.match(await readAll(server), { data: Buffer.from('question'), how: 'end' });
  await sleep(20);
  server.end('answer');
  t.match(await readAll(peer), { data: Buffer.from('answer'), how: 'end' });
  await until(() => b.shell.stats().links[0]?.streams === 0, 'the stream is over');
  t.same(b.fake.pairs, []);
  t.match(b.shell.stats(), { linked: 1, relayed: 1, bytesUp: 8, bytesDown: 6, moved: 0 });
  await until(() => b.core.stats().delivery?.connections === 0, 'the core has let go of it');
});

t.test(
  'moved because the shell, the core or the switch wants it, and stitched with the right numbers',
  async (t) => {
    const ways = {
      shell: { options: { route: { move: { after: { bytes: 5 } } } }, ask: () => {} },
      core: { options: { core: { move: { after: { bytes: 5 } } } }, ask: () => {} },
      switch: { options: {}, ask: (b: LinkBench) => b.fake.askMove() },
    } as const;
    for (const [who, { options, ask }] of Object.entries(ways)) {
      await t.test(who, async (t) => {
        const b = await benchFor(t, options as Parameters<typeof linkBench>[0]);
        const { peer, server } = await b.open();
        t.equal(b.fake.pairs.length, 0);
        peer.write('up by link');
        t.equal(String((await once(server, 'data'))[0]), 'up by link');
        server.write('down');
        t.equal(String((await once(peer, 'data'))[0]), 'down');
        ask(b);
        await moved(b);
        t.match(b.fake.pairs[0]?.inner.remote, b.door);
        peer.write('up');
        t.equal(String((await once(server, 'data'))[0]), 'up');
        b.fake.tell('f1', 'relayed');
        await until(() => b.fake.enabled.length === 1, 'asked for the stitch');
        t.same(b.fake.enabled[0]?.offsets, {
          consumedFromPeer: 'up by link'.length,
          injectedToCore: PREFIX_BYTES,
          consumedFromCore: 0,
          injectedToPeer: 'down'.length,
        });
        await until(() => b.shell.stats().links[0]?.streams === 0, 'the stream is over');
        // Stitched: the shell lets go of its sockets, which a switch would swallow.
        server.end('last');
        t.match(await readAll(peer), { data: Buffer.from('last'), how: 'end' });
        peer.end();
        t.match(b.shell.stats(), { moved: 1, moveFailed: 0, moveAsked: who === 'shell' ? 0 : 1 });
      });
    }
  },
);

t.test('the switch asks for one peer only', async (t) => {
  const b = await benchFor(t);
  const [one, two] = [await b.open(), await b.open()];
  b.fake.askMove({ address: '127.0.0.1', port: two.peer.localPort ?? 0 });
  await moved(b);
  t.equal(b.fake.pairs[0]?.outer.remote.port, two.peer.localPort);
  await until(() => b.shell.stats().links[0]?.streams === 1, 'the other one is still on the link');
  t.equal(b.fake.pairs.length, 1);
  one.peer.write('still there');
  t.equal(String((await once(one.server, 'data'))[0]), 'still there');
});

t.test('a move while neither end says anything, and one that ends at once', async (t) => {
  const b = await benchFor(t, { route: { move: 'now' } });
  const { peer, server } = await b.open();
  await moved(b);
  peer.end('all');
  t.match(await readAll(server), { data: Buffer.from('all'), how: 'end' });
  server.end();
  t.match(await readAll(peer), { how: 'end' });
});

t.test('resets in each phase reach the other end', async (t) => {
  for (const move of ['never', 'now'] as const) {
    const b = await benchFor(t, { route: { move } });
    for (const from of ['peer', 'server'] as const) {
      const before = b.fake.pairs.length;
      const ends = await b.open();
      if (move === 'now') await moved(b, before + 1);
      const [first, other] = from === 'peer' ? [ends.peer, ends.server] : [ends.server, ends.peer];
      const end = readAll(other);
      first.resetAndDestroy();
      t.match(await end, { how: 'ECONNRESET' }, `${move}: by the ${from}`);
    }
    await until(() => b.core.stats().delivery?.connections === 0, 'the core has let go');
    await until(() => b.shell.stats().open === 0, 'the shell has let go');
  }
});

t.test('the link is lost: what is on it is reset, what has left it goes on, and it comes back', async (t) => {
  const b = await benchFor(t);
  const left = await b.open();
  b.fake.askMove();
  await moved(b);
  await until(() => b.shell.stats().links[0]?.streams === 0, 'it has left the link');
  const stays = await b.open();
  const [atPeer, atServer] = [readAll(stays.peer), readAll(stays.server)];
  b.cutLink();
  t.match(await atPeer, { how: 'ECONNRESET' });
  t.match(await atServer, { how: 'ECONNRESET' });
  left.peer.write('on');
  t.equal(String((await once(left.server, 'data'))[0]), 'on');
  // The shell connects again by itself; a connection that comes meanwhile waits for it.
  const next = await b.open();
  next.server.write('again');
  t.equal(String((await once(next.peer, 'data'))[0]), 'again');
});

t.test('another key: refused, nothing reaches the server', async (t) => {
  const b = await benchFor(t, { shellAuth: { mode: 'psk', key: 'quite another key' }, linkless: true });
  const peer = connect(b.listen.port, '127.0.0.1').on('error', () => {});
  t.match(await readAll(peer), { how: 'ECONNRESET', data: Buffer.alloc(0) });
  t.equal(b.accepted.length, 0);
  t.match(b.shell.stats(), { linkFailed: 1, linked: 0, links: [{ connections: 0 }] });
  t.match(b.core.stats().delivery, { links: 0, delivered: 0 });
});

t.test('no authentication, at both ends', async (t) => {
  const none = { mode: 'none' } as const;
  const b = await benchFor(t, { shellAuth: none, coreAuth: none });
  const { peer, server } = await b.open();
  peer.write('open');
  t.equal(String((await once(server, 'data'))[0]), 'open');
});

t.test('a stranger at the door, and one with a token of its own', async (t) => {
  const b = await benchFor(t);
  const { peer, server } = await b.open();
  for (const said of ['GET / HTTP/1.1\r\nHost: somewhere\r\n\r\n', `SUTURE\0\x01${'x'.repeat(24)}`]) {
    const stranger = connect(b.door.port, '127.0.0.1').on('error', () => {});
    stranger.write(said, 'latin1');
    t.match(await readAll(stranger), { how: 'ECONNRESET', data: Buffer.alloc(0) });
  }
  t.equal(b.core.stats().delivery?.strangers, 2);
  peer.write('unharmed');
  t.equal(String((await once(server, 'data'))[0]), 'unharmed');
});

t.test('a switch that does not pair it: it moves, and is relayed', async (t) => {
  const b = await benchFor(t);
  b.fake.onPair = () => {
    throw new Error('no');
  };
  const { peer, server } = await b.open();
  b.fake.askMove();
  await until(() => b.core.stats().delivery?.moved === 1, 'it was moved');
  peer.write('relayed');
  t.equal(String((await once(server, 'data'))[0]), 'relayed');
  t.equal(b.fake.enabled.length, 0);
});

t.test('a move that can not be made leaves the connection on its link, again and again', async (t) => {
  const b = await benchFor(t);
  const { peer, server } = await b.open();
  // A core that is stopping accepts no inner connections, and lets its streams go on.
  const stopping = b.core.stop();
  for (const times of [1, 2]) {
    b.fake.askMove();
    await until(() => b.shell.stats().moveFailed === times, 'the move was given up');
    t.ok(b.fake.released.includes(`f${times}`), 'no flow is left behind');
    peer.write(`up ${times}`);
    t.equal(String((await once(server, 'data'))[0]), `up ${times}`);
    server.write(`down ${times}`);
    t.equal(String((await once(peer, 'data'))[0]), `down ${times}`);
  }
  t.match(b.shell.stats(), { moved: 0, open: 1 });
  peer.end();
  server.end();
  await stopping;
});

t.test('a connection that ends while its move is prepared', async (t) => {
  const b = await benchFor(t);
  let go = (): void => {};
  b.fake.onPair = () =>
    new Promise((resolve) => {
      go = resolve;
    });
  const { peer, server } = await b.open();
  b.fake.askMove();
  await until(() => b.fake.pairs.length === 1, 'it is being paired');
  peer.end('the end');
  t.match(await readAll(server), { data: Buffer.from('the end'), how: 'end' });
  go();
  await until(() => b.fake.released.length === 1, 'the flow was given back');
  server.end('and back');
  t.match(await readAll(peer), { data: Buffer.from('and back'), how: 'end' });
  t.match(b.shell.stats(), { moved: 0, moveFailed: 0 });
});

t.test('limits: streams of a link, connections of a core', async (t) => {
  const b = await benchFor(t, { core: { streams: 1 } });
  const { peer, server } = await b.open();
  const second = connect(b.listen.port, '127.0.0.1').on('error', () => {});
  t.match(await readAll(second), { how: 'ECONNRESET' });
  t.match(b.shell.stats(), { linked: 1, linkFailed: 1 });
  peer.write('on');
  t.equal(String((await once(server, 'data'))[0]), 'on');
  const full = await benchFor(t, { core: { connections: 1 } });
  await full.open();
  const third = connect(full.listen.port, '127.0.0.1').on('error', () => {});
  t.match(await readAll(third), { how: 'ECONNRESET' });
  t.equal(full.core.stats().delivery?.refused, 1);
});
