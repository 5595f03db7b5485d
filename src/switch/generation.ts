/**
 * A switch from its start to the loss of its place, in two threads. This one has the packets: the data path and,
 * because `cap` needs the main thread, captures of discovery where the data path doesn't hand its datagrams over. The control thread (`control-thread.ts`) has
 * everything else, so that neither a flood of packets nor a busy control service holds up the other.
 */
import { MessageChannel, Worker } from 'node:worker_threads';
import type { DataPlane, OnFrame } from '../dataplane/port.js';
import { DataPlaneService } from '../dataplane/remote.js';
import { sendFrame } from '../dataplane/send-frame.js';
import type { SwitchConfig } from '../platform/config/index.js';
import { SutureError } from '../platform/errors.js';
import { startDataPlane } from './choose-dataplane.js';
import type { Role } from './control-part.js';
import type { FromControl, ToControl } from './control-thread.js';
import { DiscoveryCapture, datagramIn } from './discovery-capture.js';
import type { SwitchOptions } from './main.js';
import { VirtualAddresses } from './virtual-addresses.js';

export class Generation {
  /** Resolves with the cause when it can't go on. */
  readonly failed: Promise<unknown>;
  /** Resolves when another switch of the group has taken its place. */
  readonly deposed: Promise<void>;
  private fail: (cause: unknown) => void = () => {};
  private depose: () => void = () => {};
  private plane: DataPlane | undefined;
  private control: ControlThread | undefined;
  private role: Role | undefined;
  private settling: Promise<void> | undefined;
  private readonly discovery: DiscoveryCapture;
  private readonly addresses: VirtualAddresses;
  private readonly ports = new MessageChannel();

  private constructor(private readonly options: SwitchOptions) {
    const { config, log, clock } = options;
    this.failed = new Promise((resolve) => {
      this.fail = resolve;
    });
    this.deposed = new Promise((resolve) => {
      this.depose = resolve;
    });
    this.discovery = new DiscoveryCapture(config.interfaces, config.discovery.port, this.onDiscovery);
    this.addresses = new VirtualAddresses({ config, send: sendFrame, clock, log });
  }

  static async start(options: SwitchOptions): Promise<Generation> {
    const generation = new Generation(options);
    await generation.begin();
    return generation;
  }

  private async begin(): Promise<void> {
    const { config } = this.options;
    const { port1, port2 } = this.ports;
    // First, so that it reads the table while this thread has the data path's program loaded.
    const control = new ControlThread(config, port2, {
      onFailure: this.fail,
      onRole: (role) => this.become(role),
    });
    this.control = control;
    try {
      let service: DataPlaneService | undefined;
      const poll = (): void => service?.poll();
      const { fail: onFailure, onDiscovery } = this;
      const plane = await startDataPlane({ ...this.options, poll, onFailure, onDiscovery });
      this.plane = plane;
      service = new DataPlaneService(plane, port1);
      await control.started;
      if (plane.kind === 'userspace') await this.discovery.start();
      await this.settle();
    } catch (error) {
      await this.giveUp();
      throw error;
    }
  }

  /**
   * What a start that failed leaves behind: flows of a former process, as it found them, for the next start. Where there are
   * none nothing has to drain. The lease that the control thread may have by then is given back.
   */
  private async giveUp(): Promise<void> {
    const states = await this.plane?.states().catch(() => undefined);
    if (states && states.ids.length > 0) await this.leave();
    else await this.stop(this.plane && AbortSignal.abort());
  }

  async stop(signal?: AbortSignal): Promise<void> {
    this.discovery.stop();
    this.addresses.stop();
    await this.control?.stop('drain', signal);
    this.ports.port1.close();
    await this.plane?.stop();
  }

  /** In order, with the flows left to another switch; the addresses too, if there is one. */
  async leave(): Promise<void> {
    const hasSuccessor = (await this.control?.stop('leave')) ?? false;
    if (hasSuccessor) await this.addresses.release();
    this.addresses.stop();
    this.discovery.stop();
    this.ports.port1.close();
    await this.plane?.leave();
  }

  /** To the switch that has taken its place already. */
  async yield(): Promise<void> {
    await this.addresses.release();
    this.discovery.stop();
    await this.control?.stop('leave');
    this.ports.port1.close();
    await this.plane?.leave();
  }

  private readonly onDiscovery: OnFrame = (device, bytes, length) => {
    const datagram = datagramIn(device, bytes, length);
    if (datagram) this.control?.send({ datagram });
  };

  private become(role: Role): void {
    if (role === 'deposed') {
      this.depose();
      return;
    }
    this.role = role;
    // While it starts, nothing can be announced yet.
    if (this.settling) void this.settle();
  }

  private settle(): Promise<void> {
    const { addresses, role } = this;
    const before = this.settling ?? Promise.resolve();
    this.settling = before.then(() => (role === 'active' ? addresses.take() : addresses.release()));
    this.settling.catch(this.fail);
    return this.settling;
  }
}

interface ControlListener {
  readonly onFailure: (cause: unknown) => void;
  readonly onRole: (role: Role) => void;
}

/** The control thread as this one sees it. */
class ControlThread {
  /** Rejects with the reason when it can't start. */
  readonly started: Promise<void>;
  private readonly worker: Worker;
  private readonly gone: Promise<void>;
  private hasSuccessor = false;

  constructor(config: SwitchConfig, port: MessageChannel['port1'], { onFailure, onRole }: ControlListener) {
    const workerData = { config, port };
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
        } else if (message.kind === 'role') {
          onRole(message.role);
        } else if (message.kind === 'left') {
          this.hasSuccessor = message.hasSuccessor;
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

  /** Gives whether another switch goes on with the flows. */
  async stop(how: 'drain' | 'leave', signal?: AbortSignal): Promise<boolean> {
    this.send({ stop: how });
    const abort = (): void => this.send({ stop: 'now' });
    if (signal?.aborted) abort();
    signal?.addEventListener('abort', abort, { once: true });
    await this.gone;
    signal?.removeEventListener('abort', abort);
    return this.hasSuccessor;
  }
}
