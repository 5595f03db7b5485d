/** A control service on loopback with a fake switch behind it, and what tests connect to it. */
import { connect as connectTcp, createServer, type Socket } from 'node:net';
import { ControlServer, type ControlServerOptions } from '../../../src/midcom/server.js';
import type { AgentConfig } from '../../../src/midcom/service.js';
import type { Clock } from '../../../src/platform/clock.js';
import { systemClock } from '../../../src/platform/clock.js';
import { createLog, type Logger, silentLog } from '../../../src/platform/log.js';
import type { Endpoint } from '../../../src/wire/endpoint.js';
import { FakeBackend } from './fake-backend.js';
import { RawAgent } from './raw-agent.js';

export const AGENTS: readonly AgentConfig[] = [
  { name: 'a1', role: 'shell', addresses: ['10.201.2.2', 'fd00:201:2::2'] },
  { name: 'a2', role: 'shell', addresses: ['10.201.2.3'] },
  { name: 'b1', role: 'core', addresses: ['10.201.3.2'] },
  { name: 'b2', role: 'core', addresses: ['10.201.3.2', '10.201.3.3'] },
];
export const WATCH = ['10.201.2.2:8080', '10.201.2.2:20000-29999'];
export const OFFERS = ['10.201.3.2:8080'];
export const OUTER = '10.201.2.2:8080>10.201.1.2:40000';
export const INNER = '10.201.2.2:20000>10.201.3.2:8080';

export class Rig {
  readonly backend: FakeBackend;
  readonly server: ControlServer;
  control: Endpoint = { address: '127.0.0.1', port: 0 };
  private readonly agents: RawAgent[] = [];

  constructor(options: Partial<ControlServerOptions> = {}, backend = new FakeBackend()) {
    this.backend = backend;
    this.server = new ControlServer({
      name: 's1',
      listen: this.control,
      auth: { mode: 'none' },
      agents: AGENTS,
      backend,
      clock: systemClock,
      log: silentLog(),
      graceMs: 500,
      ...options,
    });
  }

  static async started(options: Partial<ControlServerOptions> = {}, backend?: FakeBackend): Promise<Rig> {
    const rig = new Rig(options, backend);
    rig.control = await rig.server.start();
    return rig;
  }

  agent(): RawAgent {
    const agent = new RawAgent(this.control);
    this.agents.push(agent);
    return agent;
  }

  async stop(): Promise<void> {
    for (const agent of this.agents) agent.close();
    await this.server.stop();
  }
}

export interface LogLine {
  readonly level: string;
  readonly msg: string;
}

/** A log, and the lines written to it. */
export function recordingLog(): { log: Logger; lines: LogLine[] } {
  const lines: LogLine[] = [];
  const stream = { write: (line: string) => void lines.push(JSON.parse(line)) };
  return { log: createLog({ level: 'debug', stream, env: {} }), lines };
}

/** Passes TCP through until it is told to cut it; each byte on its own if asked. */
export class CutProxy {
  endpoint: Endpoint = { address: '127.0.0.1', port: 0 };
  private readonly sockets = new Set<Socket>();
  private readonly server = createServer((near) => this.join(near));
  private refusing = false;

  constructor(
    private target: Endpoint,
    private readonly bytewise = false,
  ) {}

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    const bound = this.server.address();
    if (bound === null || typeof bound === 'string') throw new Error('not bound');
    this.endpoint = { address: '127.0.0.1', port: bound.port };
    return this;
  }

  retarget(target: Endpoint): void {
    this.target = target;
  }

  /** Resets every connection; while `refuse` is true new ones too. */
  cut(refuse = false): void {
    this.refusing = refuse;
    for (const socket of this.sockets) socket.resetAndDestroy();
  }

  accept(): void {
    this.refusing = false;
  }

  stop(): void {
    this.server.close();
    this.cut();
  }

  private join(near: Socket): void {
    if (this.refusing) {
      near.resetAndDestroy();
      return;
    }
    const far = connectTcp(this.target.port, this.target.address);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      one.setNoDelay(true);
      this.sockets.add(one);
      one.on('data', (bytes) => {
        if (!this.bytewise) other.write(bytes);
        else for (const byte of bytes) other.write(Uint8Array.of(byte));
      });
      one.on('error', () => undefined);
      one.on('close', () => {
        this.sockets.delete(one);
        other.destroy();
      });
    }
  }
}

/** Waits until a condition holds; fails after a few seconds. */
export async function until(condition: () => boolean, clock: Clock = systemClock): Promise<void> {
  for (let i = 0; i < 1000; i++) {
    if (condition()) return;
    await clock.sleep(5);
  }
  throw new Error(`never came true: ${condition}`);
}
