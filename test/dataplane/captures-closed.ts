/** Closes captures, and makes garbage until V8 has collected several times. In a network namespace of its own. */
import { execFileSync } from 'node:child_process';
import { Capture } from '../../src/dataplane/userspace/capture.js';

const CAPTURES = 3;
const ROUNDS = 40;
const STRINGS = 100_000;

execFileSync('ip', ['link', 'set', 'lo', 'up']);

function openAndClose(): void {
  const capture = new Capture('lo', 'tcp', () => undefined, 1 << 20);
  capture.start();
  capture.stop();
}

for (let i = 0; i < CAPTURES; i++) openAndClose();

/** In turns of the event loop: what the addon has closed is let go of between them. */
function makeGarbage(rounds: number): void {
  let text = '';
  for (let i = 0; i < STRINGS; i++) text = [text.slice(-10), i].join('');
  if (rounds > 0) setTimeout(() => makeGarbage(rounds - 1), 1);
  else process.stdout.write('alive\n');
}

makeGarbage(ROUNDS);
