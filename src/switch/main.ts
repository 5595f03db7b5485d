/**
 * The switch, in two threads. This one has the packets: the data path and, because `cap` needs the main
 * thread, the discovery captures. The control thread (`control-thread.ts`) has everything else, so that
 * neither a flood of packets nor a busy control service holds up the other.
 */
import { networkInterfaces } from 'node:os';
import { MessageChannel, Worker } from 'node:worker_threads';
import type { DataPlane } from '../dataplane/port.js';
import { DataPlaneService } from '../dataplane/remote.js';
import type { SystemClock } from '../platform/clock.js';
import type { SwitchConfig } from '../platform/config/index.js';
import { SutureError } from '../platform/errors.js';
import type { Running } from '../platform/lifecycle.js';
import type { Logger } from '../platform/log.js';
import { startDataPlane } from './choose-dataplane.js';
import type { FromControl, ToControl } from './control-thread.js';
import { DiscoveryCapture } from './discovery-capture.js';
import { namesOf } from './interfaces.js';

export interface SwitchOptions {
  readonly config: SwitchConfig;
  readonly log: Logger;
  readonly clock: SystemClock;
}

export async function startSwitch({ config: given, log, clock }: SwitchOptions): Promise<Running> {
  const config = { ...given, interfaces: namesOf(given.interfaces, networkInterfaces()) };
  // The admin socket is made by the control thread, and only this one may say who can open it.
  process.umask(0o077);
  let fail: (cause: unknown) => void = () => {};
  const failed = new Promise<unknown>((resolve) => {
    fail = resolve;
  });

  const { port1, port2 } = new MessageChannel();
  let service: DataPlaneService | undefined;
  const plane = await startDataPlane({ config, log, clock, poll: () => service?.poll(), onFailure: fail });
  service = new DataPlaneService(plane, port1);
  const control = new ControlThread(config, plane.kind, port2, fail);
  const discovery = new DiscoveryCapture(config.interfaces, config.discovery.port, (datagram) =>
    control.send({ datagram }),
  );
  const stop = async (signal?: AbortSignal): Promise<void> => {
    discovery.stop();
    await control.stop(signal);
    port1.close();
    await plane.stop();
  };
  try {
    await control.started;
    await discovery.start();
  } catch (error) {
    await stop(AbortSignal.abort());
    throw error;
  }
  return { stop, failed };
}

/** The control thread as this one sees it. */
class ControlThread {
  /** Rejects with the reason when it can't start. */
  readonly started: Promise<void>;
  private readonly worker: Worker;
  private readonly gone: Promise<void>;

  constructor(
    config: SwitchConfig,
    dataplane: DataPlane['kind'],
    port: MessageChannel['port1'],
    onFailure: (cause: unknown) => void,
  ) {
    const workerData = { config, dataplane, port };
    this.worker = new Worker(new URL('./control-thread.js', import.meta.url), {
      workerData,
      transferList: [port],
    });
    let isStarted = false;
    this.started = new Promise((resolve, reject) => {
      this.worker.on('message', (message: FromControl) => {
        if (message.kind === 'started') {
          isStarted = true;
          resolve();
        } else {
          const error = new SutureError(message.code, message.message);
          if (isStarted) onFailure(error);
          else reject(error);
        }
      });
      this.worker.on('error', (error) => (isStarted ? onFailure(error) : reject(error)));
      this.worker.on('exit', () => reject(new SutureError('SUT_INTERNAL', 'the control thread ended')));
    });
    this.started.catch(() => {});
    this.gone = new Promise((resolve) => this.worker.on('exit', () => resolve()));
  }

  send(message: ToControl): void {
    this.worker.postMessage(message);
  }

  async stop(signal?: AbortSignal): Promise<void> {
    this.send({ stop: 'drain' });
    const abort = (): void => this.send({ stop: 'now' });
    if (signal?.aborted) abort();
    signal?.addEventListener('abort', abort, { once: true });
    await this.gone;
    signal?.removeEventListener('abort', abort);
  }
}
