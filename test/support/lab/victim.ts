/** Makes a lab with a program in it, says so, and waits to be killed. */
import type { Test } from 'tap';
import { Rig } from './rig.js';

const noTeardown = { teardown: () => undefined } as unknown as Test;
const rig = await Rig.up(noTeardown);
const program = rig.stage.start('sleeper', 'a', ['sleep', '600']);
process.stdout.write(`${JSON.stringify({ prefix: rig.prefix, folder: rig.folder, program: program.pid })}\n`);
setInterval(() => undefined, 1000);
