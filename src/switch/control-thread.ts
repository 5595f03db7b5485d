/** Entry of the control thread: runs `ControlPart` on the data path that answers at the other end of a port. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { RemoteDataPlane } from '../dataplane/remote.js';
import { systemClock } from '../platform/clock.js';
import type { SwitchConfig } from '../platform/config/index.js';
import { asSutureError, type ErrorCode } from '../platform/errors.js';
import { createLog } from '../platform/log.js';
import { ControlPart, type Role } from './control-part.js';
import type { CapturedDatagram } from './discovery-capture.js';

export type ToControl =
  | { readonly stop: 'drain' | 'leave' | 'now' }
  | { readonly datagram: CapturedDatagram };

export type FromControl =
  | { readonly kind: 'started' }
  | { readonly kind: 'role'; readonly role: Role }
  | { readonly kind: 'left'; readonly hasSuccessor: boolean }
  | { readonly kind: 'failed'; readonly code: ErrorCode; readonly message: string };

const { config, port } = workerData as { config: SwitchConfig; port: MessagePort };
const log = createLog({ level: config.log.level, fields: { role: 'switch', name: config.name } });
const tell = (message: FromControl): void => parentPort?.postMessage(message);
const plane = new RemoteDataPlane(port);
const part = new ControlPart({
  config,
  plane,
  clock: systemClock,
  log,
  onRole: (role) => tell({ kind: 'role', role }),
});
const abort = new AbortController();
const report = (thrown: unknown): void => {
  const { code, message } = asSutureError(thrown);
  tell({ kind: 'failed', code, message });
};

parentPort?.on('message', (message: ToControl) => {
  if ('datagram' in message) part.discovered(message.datagram);
  else if (message.stop === 'now') abort.abort();
  else void stop(message.stop === 'leave');
});

part.start().then(() => tell({ kind: 'started' }), report);

async function stop(leave: boolean): Promise<void> {
  try {
    tell({ kind: 'left', hasSuccessor: await part.stop(abort.signal, leave) });
  } catch (error) {
    report(error);
  }
  parentPort?.close();
  // Also where there never was a data path, and the start still waits for one.
  await plane.stop();
}
