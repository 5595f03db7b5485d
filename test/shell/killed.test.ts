/** What both ends see when the process that relays between them is killed. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { dial, HOST, listen, readAll, until } from './support.js';

const RELAYING = fileURLToPath(new URL('relaying.ts', import.meta.url));

/** A connection through a process of its own, with a few bytes through it each way. */
async function relayed(t: Test) {
  const accepted: Socket[] = [];
  const [server, { port }] = await listen((socket) => accepted.push(socket));
  const child = spawn(process.execPath, [...process.execArgv, RELAYING, String(port)], { stdio: 'pipe' });
  t.teardown(() => {
    child.kill('SIGKILL');
    for (const socket of accepted) socket.destroy();
    server.close();
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  const peer = await dial({ address: HOST, port: Number(line.toString()) });
  t.teardown(() => peer.destroy());
  await until(() => accepted.length === 1, 'the core was reached');
  const core = accepted[0] as Socket;
  const ends = [readAll(peer), readAll(core)] as const;
  peer.write('up');
  core.write('down');
  await until(() => peer.bytesRead === 4 && core.bytesRead === 2, 'relayed');
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  return { peer, core, ends, kill };
}

t.test('a killed relay resets both ends, also of a connection on which nothing is under way', async (t) => {
  const { ends, kill } = await relayed(t);
  await kill();
  const [peer, core] = await Promise.all(ends);
  t.match(peer, { data: Buffer.from('down'), how: 'ECONNRESET' });
  t.match(core, { data: Buffer.from('up'), how: 'ECONNRESET' });
});

t.test('what was ended in order before stays so', async (t) => {
  const { peer, core, ends, kill } = await relayed(t);
  peer.end('last words');
  t.match(await ends[1], { data: Buffer.from('uplast words'), how: 'end' });
  core.end('and the answer');
  t.match(await ends[0], { data: Buffer.from('downand the answer'), how: 'end' });
  await kill();
});
