/**
 * The agent's end of one stream: requests and their replies, events as they come, and the end.
 *
 * Every request settles exactly once: with its reply, with SUT_TIMEOUT, or with SUT_SESSION_STATE when the
 * stream ends first. One timer serves all requests, since all wait equally long.
 */
import { type ChannelOptions, type ClientDuplexStream, credentials } from '@grpc/grpc-js';
import type { Clock } from '../platform/clock.js';
import { ERROR_CODES, type ErrorCode, SutureError } from '../platform/errors.js';
import { type AgentMessage, MidcomClient, type Reply, type SwitchMessage } from './gen/suture/v1/midcom.js';
import type { Event, Move } from './gen/suture/v1/transactions.js';
import { DEFAULT_LIMITS } from './service.js';

type Request = NonNullable<AgentMessage['request']>;
type Result = NonNullable<Reply['result']>;
type ResultOf<K extends Result['$case']> = Extract<Result, { $case: K }>['value'];
export type RequestKind = Request['$case'] & Result['$case'];
type RequestOf<K extends RequestKind> = Extract<Request, { $case: K }>['value'];

/** What is told of a request besides its own outcome. */
export interface Answer<T> {
  readonly value: T;
  /** The switch's instance, of the reply's epoch. */
  readonly instance: string;
}

interface Pending {
  readonly kind: RequestKind;
  readonly deadline: number;
  readonly first: ((value: never) => void) | undefined;
  readonly resolve: (answer: Answer<never>) => void;
  readonly reject: (error: SutureError) => void;
}

export interface ConversationOptions {
  /** `host:port`. */
  readonly target: string;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly onEvent: (event: Event) => void;
  readonly onMove?: (move: Move) => void;
  /** A reply came after its request had timed out. */
  readonly onLate: (result: Result) => void;
  readonly messageBytes?: number;
}

/** A dead connection is found out after the sum of the two. */
const KEEPALIVE_MS = 10_000;
const KEEPALIVE_TIMEOUT_MS = 5_000;
const KNOWN_CODES: ReadonlySet<string> = new Set(ERROR_CODES);

export class Conversation {
  /** Resolves with what ended the stream, whoever did. Never rejects. */
  readonly ended: Promise<SutureError>;
  private readonly client: MidcomClient;
  private readonly stream: ClientDuplexStream<AgentMessage, SwitchMessage>;
  private readonly pending = new Map<number, Pending>();
  private readonly closed = new AbortController();
  private settleEnd: (cause: SutureError) => void = () => undefined;
  private lastId = 0;
  private watching = false;

  constructor(private readonly options: ConversationOptions) {
    this.ended = new Promise((resolve) => {
      this.settleEnd = resolve;
    });
    const messageBytes = options.messageBytes ?? DEFAULT_LIMITS.messageBytes;
    this.client = new MidcomClient(
      options.target,
      credentials.createInsecure(),
      channelOptions(messageBytes),
    );
    this.stream = this.client.session();
    this.stream.on('data', (message: SwitchMessage) => this.take(message));
    this.stream.on('error', (error: Error) => this.over(lost(options.target, error.message)));
    this.stream.on('end', () => this.over(lost(options.target, 'the switch closed the stream')));
  }

  get open(): boolean {
    return !this.closed.signal.aborted;
  }

  /** Requests of this kind that have no reply yet. */
  unanswered(kind: RequestKind): number {
    let count = 0;
    for (const pending of this.pending.values()) if (pending.kind === kind) count++;
    return count;
  }

  /** `first` sees the result before anything that arrives after it. */
  request<K extends RequestKind>(
    kind: K,
    value: RequestOf<K>,
    first?: (value: ResultOf<K>) => void,
  ): Promise<Answer<ResultOf<K>>> {
    if (!this.open) return Promise.reject(lost(this.options.target, 'it has ended'));
    const requestId = ++this.lastId;
    const deadline = this.options.clock.monotonic() + this.options.timeoutMs;
    const answer = new Promise<Answer<ResultOf<K>>>((resolve, reject) => {
      this.pending.set(requestId, { kind, deadline, first, resolve, reject });
    });
    this.stream.write({ requestId, request: { $case: kind, value } as Request });
    if (!this.watching) void this.watchDeadlines();
    return answer;
  }

  /** Ends the stream at once; replies still to come are lost. */
  close(): void {
    if (this.open) this.stream.cancel();
    this.over(lost(this.options.target, 'this agent ended it'));
  }

  private take({ message }: SwitchMessage): void {
    try {
      if (message?.$case === 'reply') this.takeReply(message.value);
      else if (message?.$case === 'event') this.options.onEvent(message.value);
      else if (message?.$case === 'move') this.options.onMove?.(message.value);
      else if (message?.$case === 'terminated') {
        this.over(failureError(message.value.cause ?? { code: '', message: 'the switch ended the session' }));
      }
    } catch (error) {
      // A message that can't be read leaves nothing to rely on.
      this.over(lost(this.options.target, error instanceof Error ? error.message : String(error)));
    }
  }

  private takeReply({ requestId, epoch, result }: Reply): void {
    const pending = this.pending.get(requestId);
    if (!pending) {
      if (result) this.options.onLate(result);
      return;
    }
    this.pending.delete(requestId);
    if (result?.$case === 'failure') pending.reject(failureError(result.value));
    else if (result?.$case === pending.kind) {
      pending.first?.(result.value as never);
      pending.resolve({ value: result.value as never, instance: epoch?.instance ?? '' });
    } else {
      pending.reject(
        new SutureError('SUT_VERSION', `the reply to ${pending.kind} is not one that this agent knows`),
      );
    }
  }

  /** Requests are in the order of their deadlines, so only the first one is looked at. */
  private async watchDeadlines(): Promise<void> {
    const { clock, timeoutMs } = this.options;
    this.watching = true;
    for (const [id, { deadline, kind, reject }] of this.pending) {
      const left = deadline - clock.monotonic();
      if (left > 0) await clock.sleep(left, this.closed.signal).catch(() => undefined);
      if (!this.open) break;
      if (!this.pending.delete(id)) continue;
      reject(new SutureError('SUT_TIMEOUT', `the switch did not answer ${kind} within ${timeoutMs} ms`));
    }
    this.watching = false;
  }

  private over(cause: SutureError): void {
    if (!this.open) return;
    this.closed.abort();
    this.stream.cancel();
    this.client.close();
    for (const { reject } of this.pending.values()) {
      reject(new SutureError('SUT_SESSION_STATE', `the session ended before the reply: ${cause.message}`));
    }
    this.settleEnd(cause);
  }
}

function channelOptions(messageBytes: number): ChannelOptions {
  return {
    'grpc.max_receive_message_length': messageBytes,
    'grpc.max_send_message_length': messageBytes,
    'grpc.keepalive_time_ms': KEEPALIVE_MS,
    'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
    'grpc.keepalive_permit_without_calls': 1,
    // The control connection goes straight to the switch, and each stream has a connection of its own.
    'grpc.enable_http_proxy': 0,
    'grpc.service_config_disable_resolution': 1,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_retries': 0,
  };
}

function lost(target: string, why: string): SutureError {
  return new SutureError('SUT_SESSION_STATE', `no session with the switch at ${target}: ${why}`);
}

/** A code that a newer switch has added is kept in the message. */
function failureError({ code, message }: { code: string; message: string }): SutureError {
  if (KNOWN_CODES.has(code)) return new SutureError(code as ErrorCode, message);
  return new SutureError('SUT_INTERNAL', code === '' ? message : `${code}: ${message}`);
}
