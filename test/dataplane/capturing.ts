/**
 * To be run in a network namespace of its own: captures on one end of a veth pair, takes that end down and up again,
 * and sends to it before and after. Prints a line for each packet, and `down` in between.
 */
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { setTimeout as sleep } from 'node:timers/promises';
import { Capture } from '../../src/dataplane/userspace/capture.js';

const ip = (...args: string[]): unknown => execFileSync('ip', args);
ip('link', 'add', 'near', 'type', 'veth', 'peer', 'name', 'far');
ip('link', 'set', 'near', 'up');
ip('link', 'set', 'far', 'up');
ip('addr', 'add', '10.9.0.2/24', 'dev', 'far');
ip('neigh', 'replace', '10.9.0.1', 'lladdr', '02:00:00:00:00:01', 'dev', 'far', 'nud', 'permanent');

let packets = 0;
const capture = new Capture('near', 'udp dst port 9', () => {
  packets += 1;
  process.stdout.write('packet\n');
});
capture.start();
const socket = createSocket('udp4');

/** What is sent while an interface comes up may be lost. */
async function untilPacket(): Promise<void> {
  const before = packets;
  for (let i = 0; i < 500 && packets === before; i++) {
    socket.send('x', 9, '10.9.0.1', () => undefined);
    await sleep(20);
  }
}

await untilPacket();
ip('link', 'set', 'near', 'down');
await sleep(100);
process.stdout.write('down\n');
ip('link', 'set', 'near', 'up');
await untilPacket();
capture.stop();
socket.close();
