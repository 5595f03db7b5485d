/** An agent without manners: sends any message on a stream of its own and keeps all that comes back. */
import { type ClientDuplexStream, credentials } from '@grpc/grpc-js';
import { Role } from '../../../src/midcom/gen/suture/v1/common.js';
import {
  type AgentMessage,
  MidcomClient,
  type Reply,
  type SwitchMessage,
} from '../../../src/midcom/gen/suture/v1/midcom.js';
import type { Event, Open } from '../../../src/midcom/gen/suture/v1/transactions.js';
import { type Endpoint, formatEndpoint } from '../../../src/wire/endpoint.js';

export type Request = NonNullable<AgentMessage['request']>;
export type Result = NonNullable<Reply['result']>;

export class RawAgent {
  readonly replies: Reply[] = [];
  readonly events: Event[] = [];
  /** Code of the AST that ended the stream. */
  terminated: string | undefined;
  readonly ended: Promise<void>;
  private readonly client: MidcomClient;
  readonly stream: ClientDuplexStream<AgentMessage, SwitchMessage>;
  private readonly waiting = new Map<number, (reply: Reply) => void>();
  private lastId = 0;

  constructor(control: Endpoint) {
    this.client = new MidcomClient(formatEndpoint(control), credentials.createInsecure(), {
      'grpc.use_local_subchannel_pool': 1,
    });
    this.stream = this.client.session();
    this.stream.on('data', ({ message }: SwitchMessage) => {
      if (message?.$case === 'event') this.events.push(message.value);
      if (message?.$case === 'terminated') this.terminated = message.value.cause?.code;
      if (message?.$case !== 'reply') return;
      this.replies.push(message.value);
      this.waiting.get(message.value.requestId)?.(message.value);
    });
    this.ended = new Promise((resolve) => {
      for (const end of ['end', 'error', 'close']) this.stream.on(end, () => resolve());
    });
  }

  send(request: Request | undefined): Promise<Reply> {
    const requestId = ++this.lastId;
    const reply = new Promise<Reply>((resolve) => this.waiting.set(requestId, resolve));
    this.stream.write({ requestId, request });
    return reply;
  }

  /** The reply's result, or the code of its failure. */
  async ask(request: Request | undefined): Promise<Result | string> {
    const { result } = await this.send(request);
    if (result === undefined) throw new Error('a reply without a result');
    return result.$case === 'failure' ? result.value.code : result;
  }

  open(agent: string, role: 'shell' | 'core', more: Partial<Open> = {}): Promise<Result | string> {
    return this.ask(openRequest(agent, role, more));
  }

  close(): void {
    this.stream.cancel();
    this.client.close();
  }
}

export function openRequest(agent: string, role: 'shell' | 'core', more: Partial<Open> = {}): Request {
  const value = {
    versions: [1],
    agent,
    role: role === 'shell' ? Role.ROLE_SHELL : Role.ROLE_CORE,
    capabilities: [],
    lifetimeSeconds: 0,
    token: '',
    lastEvent: 0,
    ...more,
  };
  return { $case: 'open', value };
}

export function standing(watch: readonly string[], offers: readonly string[] = []): Request {
  const ranges = watch.map((text) => {
    const [, address = '', first = '', last = first] = /^(.*):(\d+)(?:-(\d+))?$/.exec(text) ?? [];
    return { address, firstPort: Number(first), lastPort: Number(last || first) };
  });
  const value = { watch: ranges, offers: offers.map(endpoint) };
  return { $case: 'reserve', value: { what: { $case: 'standing', value }, lifetimeSeconds: 0 } };
}

/** A core's; no endpoint named lets all calls be stitched. */
export function callsRequest(to: readonly string[]): Request {
  const value = { watch: [], offers: [], calls: { to: to.map(endpoint) } };
  return { $case: 'reserve', value: { what: { $case: 'standing', value }, lifetimeSeconds: 0 } };
}

/** `local>remote` for each connection. */
export function pairRequest(outer: string, inner: string, lifetimeSeconds = 0, openedBy?: number): Request {
  const value = { outer: connection(outer), inner: connection(inner), ...(openedBy && { openedBy }) };
  return { $case: 'reserve', value: { what: { $case: 'pair', value }, lifetimeSeconds } };
}

export function enableRequest(flowId: string, teardown = 1, conditions?: string[]): Request {
  const offsets = { consumedFromPeer: 1, injectedToCore: 2, consumedFromCore: 3, injectedToPeer: 4 };
  return {
    $case: 'enable',
    value: { flowId, offsets, teardown, ...(conditions && { cause: { conditions } }) },
  };
}

export function lifetimeRequest(flowId: string | 'everything', lifetimeSeconds: number): Request {
  const target =
    flowId === 'everything'
      ? { $case: 'everything' as const, value: {} }
      : { $case: 'flowId' as const, value: flowId };
  return { $case: 'changeLifetime', value: { target, lifetimeSeconds } };
}

export function connection(text: string) {
  const [local = '', remote = ''] = text.split('>');
  return { local: endpoint(local), remote: endpoint(remote) };
}

export function endpoint(text: string): Endpoint {
  const at = text.lastIndexOf(':');
  return { address: text.slice(0, at), port: Number(text.slice(at + 1)) };
}
