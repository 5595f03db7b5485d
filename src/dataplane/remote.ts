/**
 * A data path in another thread. The packet path has the main thread to itself (its captures bind to that
 * thread's event loop and hold it up); control runs beside it and speaks to it through a `MessagePort`.
 *
 * `RemoteDataPlane` is the `DataPlane` that control sees, `DataPlaneService` answers it in the packet thread,
 * from the event loop or, while a capture holds that up, from `poll`.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import type { OwnedPorts, StitchOffsets } from '../flow/endpoints.js';
import type { TeardownMode } from '../flow/state.js';
import { asSutureError, type ErrorCode, SutureError } from '../platform/errors.js';
import { type Packed, packRestores, packSnapshots, unpackRestores, unpackSnapshots } from './packed.js';
import type {
  DataPlane,
  FlowEvent,
  FlowSide,
  FlowSnapshot,
  FlowStates,
  PairRequest,
  RestoreRequest,
} from './port.js';

const RESTORED_AT_ONCE = 500;
const METHODS = [
  'forward',
  'restore',
  'drop',
  'own',
  'disown',
  'pair',
  'enable',
  'proceed',
  'close',
  'steer',
  'list',
  'states',
  'counters',
] as const;
type Method = (typeof METHODS)[number];

interface Request {
  readonly call: number;
  readonly method: Method;
  readonly args: readonly unknown[];
}

type Reply =
  | { readonly call: number; readonly result: unknown }
  | { readonly call: number; readonly code: ErrorCode; readonly message: string }
  | { readonly event: FlowEvent }
  | { readonly missed: true }
  | { readonly kind: DataPlane['kind'] };

export class DataPlaneService {
  constructor(
    private readonly plane: DataPlane,
    private readonly port: MessagePort,
  ) {
    port.postMessage({ kind: plane.kind } satisfies Reply);
    port.on('message', (request: Request) => void this.serve(request));
    plane.onEvent((event) => port.postMessage({ event } satisfies Reply));
    plane.onMiss(() => port.postMessage({ missed: true } satisfies Reply));
  }

  /** Serves what has come in; for when the event loop may not get to it for a while. */
  poll(): void {
    for (;;) {
      const received = receiveMessageOnPort(this.port) as { message: Request } | undefined;
      if (received === undefined) return;
      void this.serve(received.message);
    }
  }

  private async serve({ call, method, args }: Request): Promise<void> {
    try {
      const result = await this.ask(method, args);
      this.port.postMessage({ call, result } satisfies Reply);
    } catch (thrown) {
      const { code, message } = asSutureError(thrown);
      this.port.postMessage({ call, code, message } satisfies Reply);
    }
  }

  private async ask(method: Method, args: readonly unknown[]): Promise<unknown> {
    if (method === 'restore') return this.plane.restore(unpackRestores(args[0] as Packed));
    const asked = this.plane[method] as (...given: readonly unknown[]) => Promise<unknown>;
    const result = await asked.call(this.plane, ...args);
    return method === 'list' ? packSnapshots(result as FlowSnapshot[]) : result;
  }
}

interface Waiting {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: SutureError) => void;
}

/**
 * Started and stopped with the thread that it speaks to, so its own `start` waits until that has a data path, and its
 * `stop` only closes the port.
 */
export class RemoteDataPlane implements DataPlane {
  private readonly waiting = new Map<number, Waiting>();
  private readonly listeners: ((event: FlowEvent) => void)[] = [];
  private readonly missListeners: (() => void)[] = [];
  private calls = 0;
  private found: DataPlane['kind'] | undefined;
  private isClosed = false;
  private begun: Waiting | undefined;

  constructor(private readonly port: MessagePort) {}

  get kind(): DataPlane['kind'] {
    if (!this.found)
      throw new SutureError('SUT_INTERNAL', 'the data path is asked for before it has started');
    return this.found;
  }

  /** Rejects when it is stopped before the other thread has a data path. */
  start(): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      this.begun = { resolve: () => resolve(), reject };
      this.port.on('message', (reply: Reply) => this.receive(reply));
      this.port.on('close', () => this.lose());
    });
  }

  async stop(): Promise<void> {
    this.port.close();
    this.lose();
  }

  private lose(): void {
    this.isClosed = true;
    for (const { reject } of [...this.waiting.values(), ...(this.begun ? [this.begun] : [])])
      reject(unanswered());
    this.waiting.clear();
  }

  leave(): Promise<void> {
    return this.stop();
  }

  forward(): Promise<void> {
    return this.call('forward');
  }

  /** In parts, so that one thread packs the next while the other restores the last. */
  async restore(flows: Iterable<RestoreRequest>): Promise<string[]> {
    const parts: Promise<string[]>[] = [];
    for (const part of partsOf(flows, RESTORED_AT_ONCE)) parts.push(this.call('restore', packRestores(part)));
    return (await Promise.all(parts)).flat();
  }

  drop(ids: readonly string[]): Promise<void> {
    return this.call('drop', ids);
  }

  own(ports: readonly OwnedPorts[]): Promise<void> {
    return this.call('own', ports);
  }

  disown(ports: readonly OwnedPorts[]): Promise<void> {
    return this.call('disown', ports);
  }

  pair(request: PairRequest): Promise<FlowSnapshot> {
    return this.call('pair', request);
  }

  enable(id: string, offsets: StitchOffsets, teardown: TeardownMode): Promise<FlowSnapshot> {
    return this.call('enable', id, offsets, teardown);
  }

  proceed(id: string, from: FlowSide): Promise<FlowSnapshot> {
    return this.call('proceed', id, from);
  }

  close(id: string): Promise<FlowSnapshot> {
    return this.call('close', id);
  }

  steer(leader: Readonly<Record<string, string>> | undefined): Promise<void> {
    return this.call('steer', leader);
  }

  async list(withSaved = false, ids?: readonly string[]): Promise<FlowSnapshot[]> {
    return unpackSnapshots(await this.call<Packed>('list', withSaved, ids));
  }

  states(): Promise<FlowStates> {
    return this.call('states');
  }

  counters(): Promise<Record<string, number>> {
    return this.call('counters');
  }

  onEvent(listener: (event: FlowEvent) => void): void {
    this.listeners.push(listener);
  }

  onMiss(listener: () => void): void {
    this.missListeners.push(listener);
  }

  private call<Result>(method: Method, ...args: readonly unknown[]): Promise<Result> {
    if (this.isClosed) return Promise.reject(unanswered());
    const call = ++this.calls;
    return new Promise<Result>((resolve, reject) => {
      this.waiting.set(call, { resolve: resolve as (result: unknown) => void, reject });
      this.port.postMessage({ call, method, args } satisfies Request);
    });
  }

  private receive(reply: Reply): void {
    if ('kind' in reply) {
      this.found = reply.kind;
      this.begun?.resolve(undefined);
      return;
    }
    if ('event' in reply) {
      for (const listener of this.listeners) listener(reply.event);
      return;
    }
    if ('missed' in reply) {
      for (const listener of this.missListeners) listener();
      return;
    }
    const waiting = this.waiting.get(reply.call);
    this.waiting.delete(reply.call);
    if ('code' in reply) waiting?.reject(new SutureError(reply.code, reply.message));
    else waiting?.resolve(reply.result);
  }
}

function unanswered(): SutureError {
  return new SutureError('SUT_SHUTTING_DOWN', 'the switch stopped before the data path answered');
}

function* partsOf<T>(all: Iterable<T>, size: number): Generator<readonly T[]> {
  let part: T[] = [];
  for (const one of all) {
    part.push(one);
    if (part.length < size) continue;
    yield part;
    part = [];
  }
  if (part.length > 0) yield part;
}
