/**
 * What only one switch at a time may have in a network namespace: its name, which its pins and tables go by, and each
 * of its interfaces, where a second one would put its program in the first one's place and take it off when it ends.
 *
 * A claim is an abstract Unix socket, which belongs to the network namespace: switches in several containers of one
 * namespace see each other's, no file is left, and the kernel gives it back with the process, however that ends.
 */
import { createServer, type Server } from 'node:net';
import { SutureError } from '../platform/errors.js';

export interface Claimed {
  release(): void;
}

/** All or nothing; SUT_ALREADY_RUNNING names what another switch has. To be made before anything is changed. */
export async function claim(name: string, interfaces: readonly string[]): Promise<Claimed> {
  const claims: [string, string][] = [
    [
      `name/${name}`,
      `a switch with the name ${name} runs here already: stop it first, or give this one another name`,
    ],
    ...interfaces.map((one): [string, string] => [
      `interface/${one}`,
      `another switch runs on the interface ${one}: stop it first, or name other \`interfaces\``,
    ]),
  ];
  const held: Server[] = [];
  const release = (): void => {
    for (const server of held) server.close();
  };
  try {
    for (const [what, taken] of claims) held.push(await hold(what, taken));
  } catch (error) {
    release();
    throw error;
  }
  return { release };
}

function hold(what: string, taken: string): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  return new Promise((resolve, reject) => {
    // It stays: an accept that fails later must not end the process, and says nothing about the claim.
    server.on('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'EADDRINUSE' ? taken : `can't claim ${what}: ${error.message}`;
      reject(new SutureError('SUT_ALREADY_RUNNING', why, { cause: error }));
    });
    server.listen(`\0suture/switch/${what}`, () => resolve(server.unref()));
  });
}
