/**
 * One stream: the switch's end of a session. CLOSED until an Open succeeds, then OPEN until a Close, a lost
 * connection or the switch's own wish ends it; a stream does not open twice.
 *
 * Every request is answered exactly once, in the order in which requests finish. While an agent does not
 * read its replies, or has too many requests under way, the switch stops reading its requests.
 */
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { Clock } from '../platform/clock.js';
import { asSutureError, type ErrorCode, SutureError } from '../platform/errors.js';
import type { Endpoint } from '../wire/endpoint.js';
import type { Agent, LoggedEvent, SessionHandle } from './agents.js';
import { TokenBucket } from './bucket.js';
import { eventMessage, invalid } from './convert.js';
import type { Failure } from './gen/suture/v1/common.js';
import type { AgentMessage, Reply, SwitchMessage } from './gen/suture/v1/midcom.js';
import type { OpenResult } from './gen/suture/v1/transactions.js';
import type { Opening } from './opening.js';
import { Requests } from './requests.js';
import type { Epoch, MidcomLimits, MidcomLog } from './service.js';
import type { Transactions } from './transactions.js';

export type SessionStream = ServerDuplexStream<AgentMessage, SwitchMessage>;
export type Request = NonNullable<AgentMessage['request']>;
export type Result = NonNullable<Reply['result']>;

/** Requests a second of a stream that has not opened its session. */
const REQUESTS_BEFORE_OPEN = 8;
/** Time for an agent to take the last words of its session; one that does not read would keep it for ever. */
const LAST_WORDS_MS = 5_000;

export interface SessionOptions {
  readonly stream: SessionStream;
  readonly opening: Opening;
  readonly transactions: Transactions;
  readonly epoch: () => Epoch;
  readonly limits: MidcomLimits;
  readonly clock: Clock;
  readonly log: MidcomLog;
  /** The stream has ended, whoever ended it. Called once. */
  readonly onEnd: (session: Session) => void;
  readonly count: (counter: SessionCounter) => void;
}

export type SessionCounter =
  | 'requests'
  | 'failures'
  | 'events'
  | 'rateLimited'
  | 'sessionsLost'
  | 'sessionsClosed';

export class Session implements SessionHandle {
  readonly peer: string;
  readonly since: number;
  agent: Agent | undefined;
  private readonly stream: SessionStream;
  private readonly early: TokenBucket;
  private readonly ended = new AbortController();
  private requests: Requests | undefined;
  private inFlight = 0;
  private blocked = false;
  /** Set by Close or AST: no new request is taken, and the stream ends when the last one is answered. */
  private closing: (() => void) | undefined;

  constructor(private readonly options: SessionOptions) {
    const { stream, clock } = options;
    this.stream = stream;
    // A socket that takes both families names an IPv4 peer by its mapped address (RFC 4291 section 2.5.5.2).
    this.peer = stream.getPeer().replace(/^::ffff:(?=\d+\.)/, '');
    this.since = clock.wall();
    this.early = new TokenBucket(REQUESTS_BEFORE_OPEN, REQUESTS_BEFORE_OPEN, clock.monotonic());
    stream.on('data', (message) => void this.take(message));
    stream.on('drain', () => {
      this.blocked = false;
      this.steer();
    });
    for (const end of ['end', 'cancelled', 'error', 'close']) stream.on(end, () => this.over());
    void this.expectOpen();
  }

  event(logged: LoggedEvent): void {
    if (this.ended.signal.aborted) return;
    this.options.count('events');
    this.write({ $case: 'event', value: eventMessage(logged.sequence, logged.event) });
    if (this.stream.writableLength <= this.options.limits.messagesUnsent) return;
    this.terminate(
      'SUT_LIMIT',
      `${this.stream.writableLength} messages wait for an agent that does not read`,
    );
  }

  move(peer: Endpoint | undefined): void {
    this.write({ $case: 'move', value: { peer } });
  }

  terminate(code: ErrorCode, message: string): void {
    if (this.closing || this.ended.signal.aborted) return;
    this.detach();
    this.finish(() => {
      this.write({ $case: 'terminated', value: { cause: { code, message } } });
      this.stream.end();
    });
  }

  /** Ends the stream without more words. */
  destroy(): void {
    this.stream.destroy();
    this.over();
  }

  private async expectOpen(): Promise<void> {
    const { clock, limits } = this.options;
    await clock.sleep(limits.openTimeoutMs, this.ended.signal).catch(() => undefined);
    if (this.agent || this.ended.signal.aborted) return;
    this.terminate('SUT_TIMEOUT', `no session was opened within ${limits.openTimeoutMs} ms`);
  }

  private async take(message: AgentMessage): Promise<void> {
    const { count } = this.options;
    count('requests');
    this.inFlight++;
    this.steer();
    let result: Result;
    let after: (() => void) | undefined;
    try {
      const request = this.admit(message);
      if (request.$case === 'open') {
        const opened = this.open(request);
        result = { $case: 'open', value: opened.result };
        after = opened.replay;
      } else if (request.$case === 'close') {
        this.opened();
        this.detach();
        count('sessionsClosed');
        result = { $case: 'close', value: {} };
        after = () => this.finish(() => this.stream.end());
      } else {
        result = await this.opened().handle(request);
        if (result.$case === 'reserve') after = await this.announce(result.value.flow?.id);
      }
    } catch (thrown) {
      result = { $case: 'failure', value: this.failure(thrown) };
    }
    this.reply(message.requestId, result);
    after?.();
    this.inFlight--;
    this.steer();
    if (this.inFlight === 0) this.closing?.();
  }

  private admit({ request }: AgentMessage): Request {
    const { clock, count } = this.options;
    if (this.closing) throw new SutureError('SUT_SESSION_STATE', 'this session is being ended; open another');
    if (!(this.agent?.bucket ?? this.early).take(clock.monotonic())) {
      count('rateLimited');
      throw new SutureError('SUT_LIMIT', 'too many requests a second; ask again later');
    }
    if (!request) throw invalid('the message holds no request that this switch knows');
    return request;
  }

  private opened(): Requests {
    if (this.requests) return this.requests;
    throw new SutureError('SUT_SESSION_STATE', 'no session is open on this stream; open one first');
  }

  private open(request: Request & { $case: 'open' }): { result: OpenResult; replay: () => void } {
    if (this.agent) throw new SutureError('SUT_SESSION_STATE', 'a session is open on this stream already');
    const { agent, result, missed } = this.options.opening.open(request.value, this);
    this.agent = agent;
    this.requests = new Requests(
      agent,
      this.options.transactions,
      result.lifetimeSeconds,
      this.options.limits,
    );
    this.options.log.info({ agent: agent.name, peer: this.peer, resumed: result.resumed }, 'session open');
    return {
      result,
      replay: () => {
        for (const logged of missed) this.event(logged);
      },
    };
  }

  /**
   * Who resumes the session looks at once for flows whose reply was lost. One that is made after that would belong to
   * nobody, and stay.
   */
  private async announce(id: string | undefined): Promise<(() => void) | undefined> {
    if (id === undefined) return undefined;
    const { transactions } = this.options;
    const successor = this.agent?.session;
    if (successor === undefined || successor === this) return () => transactions.announced(id);
    await transactions.abandon(id);
    throw new SutureError('SUT_SESSION_STATE', 'the session ended before the flow was made');
  }

  private failure(thrown: unknown): Failure {
    const { code, message } = asSutureError(thrown);
    this.options.count('failures');
    const where = { agent: this.agent?.name, peer: this.peer, code };
    if (code === 'SUT_INTERNAL') this.options.log.error({ ...where, err: thrown }, 'a request failed inside');
    else this.options.log.debug({ ...where, cause: message }, 'request refused');
    return { code, message };
  }

  private reply(requestId: number, result: Result): void {
    this.write({ $case: 'reply', value: { requestId, epoch: this.options.epoch(), result } });
  }

  private write(message: NonNullable<SwitchMessage['message']>): void {
    if (this.ended.signal.aborted || this.stream.writableEnded) return;
    if (!this.stream.write({ message })) {
      this.blocked = true;
      this.steer();
    }
  }

  /** Reads on, or does not, as the load of this session asks for. */
  private steer(): void {
    const stop = this.blocked || this.inFlight >= this.options.limits.requestsInFlight;
    if (stop === this.stream.isPaused()) return;
    if (stop) this.stream.pause();
    else this.stream.resume();
  }

  private finish(last: () => void): void {
    if (this.closing) return;
    let done = false;
    this.closing = () => {
      if (done) return;
      done = true;
      last();
      void this.cutWhenLate();
    };
    if (this.inFlight === 0) this.closing();
  }

  private async cutWhenLate(): Promise<void> {
    await this.options.clock.sleep(LAST_WORDS_MS, this.ended.signal).catch(() => undefined);
    if (!this.ended.signal.aborted) this.destroy();
  }

  private detach(): void {
    if (this.agent?.session !== this) return;
    this.agent.session = undefined;
    this.agent.links = [];
  }

  private over(): void {
    if (this.ended.signal.aborted) return;
    this.ended.abort();
    if (this.agent && !this.closing) {
      this.options.count('sessionsLost');
      this.options.log.warn(
        { agent: this.agent.name, peer: this.peer },
        'session lost; what it reserved stays until its lifetime ends',
      );
    }
    this.detach();
    if (!this.stream.writableEnded) this.stream.end();
    this.options.onEnd(this);
  }
}
