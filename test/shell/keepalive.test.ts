/** Probes on relayed connections, as the kernel sees them. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import t from 'tap';
import { bench } from './support.js';

/** What `ss` says of the timer of a socket of this host with these two ports. */
async function timerOf(localPort: number | undefined, remotePort: number | undefined): Promise<string> {
  const filter = ['sport', '=', `:${localPort}`, 'and', 'dport', '=', `:${remotePort}`];
  const { stdout } = await promisify(execFile)('ss', ['-tnoH', ...filter]);
  return stdout;
}

for (const [keepalive, expected] of [
  [3_600_000, /timer:\(keepalive,5\dmin/],
  [0, /^ESTAB(?!.*timer)/],
] as const) {
  t.test(keepalive ? 'both sockets are probed when they are quiet' : 'none is probed', async (t) => {
    const b = await bench({ stitch: 'never' }, { keepalive });
    t.teardown(() => b.close());
    const { peer, core } = await b.open();
    peer.on('data', () => {});
    core.write('!');
    t.match(await timerOf(b.listen.port, peer.localPort), expected, 'the one that was accepted');
    t.match(await timerOf(core.remotePort, b.core.port), expected, 'the one that was opened');
    peer.destroy();
  });
}
