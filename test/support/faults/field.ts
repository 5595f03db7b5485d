/**
 * A lab with everything in it that a fault can hit, and the way back for each: programs can be started again as
 * they were, and the network can be cut and mended.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { LabHost } from '../../../src/lab/layout.js';
import type { Program } from '../../../src/lab/program.js';
import { LOCAL_TABLE, startRedis } from '../../../src/lab/redis.js';
import { type ConfigObject, endpointOf, HTTP_PORT, RAW_PORT, route } from '../../../src/lab/stage.js';
import type { Clock } from '../../../src/platform/clock.js';
import { CUT_WHILE_HELD } from '../lab/held-drains.js';
import { Rig } from '../lab/rig.js';
import { clockUntil, type Labs } from './labs.js';
import type { Part, Path } from './plan.js';

const START_MS = 30_000;
const CONTROL = 'th dport { 57626, 57627 } drop\nth sport { 57626, 57627 } drop';
const REDIS = 'tcp dport 6379 drop\ntcp sport 6379 drop';

/** The shell's listeners: one service each, stitched at the moment that the phase asks for. */
export const PORTS = {
  relayedHttp: 7001,
  relayedRaw: 7002,
  stitchedHttp: 7003,
  stitchedRaw: 7004,
  clamping: 7005,
  cutting: 7006,
} as const;
/** More than the peer has room for, and less than the shell takes for it; many more bytes are behind that. */
const CLAMP_AFTER = 200_000;

const ROUTES = [
  route(PORTS.relayedHttp, HTTP_PORT, { after: { age: '2h' } }),
  route(PORTS.relayedRaw, RAW_PORT, { after: { age: '2h' } }),
  route(PORTS.stitchedHttp, HTTP_PORT),
  route(PORTS.stitchedRaw, RAW_PORT),
  route(PORTS.clamping, RAW_PORT, { after: { bytes: CLAMP_AFTER } }),
  route(PORTS.cutting, RAW_PORT, { after: { bytes: CUT_WHILE_HELD } }),
];

export interface FieldOptions {
  readonly path: Path;
  /** Longer than any pause, so that a handover outlives it. */
  readonly drainLimit: string;
  readonly switchConfig?: ConfigObject;
}

export class Field {
  /** Sockets that an injection is known to leave for ever, as `after.ts` names them. */
  readonly orphans = new Set<string>();
  readonly #programs = new Map<Part | 'workload', Program>();

  private constructor(
    readonly rig: Rig,
    readonly clock: Clock,
    private readonly options: FieldOptions,
  ) {}

  static async up(labs: Labs, options: FieldOptions): Promise<Field> {
    const { signal } = labs;
    const field = new Field(await Rig.up(labs, signal && { signal }), clockUntil(signal), options);
    field.#programs.set('workload', await field.rig.stage.startWorkload());
    for (const part of ['redis', 'switch', 'core', 'shell'] as const) await field.start(part);
    return field;
  }

  get path(): Path {
    return this.options.path;
  }

  program(part: Part): Program {
    const program = this.#programs.get(part);
    if (!program) throw new Error(`no ${part} was started`);
    return program;
  }

  async start(part: Part): Promise<void> {
    this.#programs.set(part, await this.#starting(part));
  }

  /** Ends it without a word. */
  async kill(part: Part): Promise<void> {
    const program = this.program(part);
    program.kill('SIGKILL');
    await program.ended;
  }

  /** What the part keeps for its next start: only Redis, and the switch in it, keep anything. */
  async forget(part: Part): Promise<void> {
    if (part === 'redis') rmSync(join(this.rig.folder, 'appendonlydir'), { recursive: true, force: true });
    if (part === 'switch') await this.rig.tool('s', ['redis-cli', 'flushall']);
  }

  async cut(part: Part): Promise<void> {
    const { host, rules } = cutOf(part);
    const chain = (name: 'prerouting' | 'output'): string =>
      `chain ${name} {\ntype filter hook ${name} priority -400\n${rules[name]}\n}`;
    await this.rig.tool(
      host,
      ['nft', '-f', '-'],
      `table inet fault {\n${chain('prerouting')}\n${chain('output')}\n}\n`,
    );
  }

  async mend(part: Part): Promise<void> {
    await this.rig.tool(cutOf(part).host, ['nft', 'delete', 'table', 'inet', 'fault']);
  }

  /** The switch's interface towards the part's host goes down, and with it the routes by it. */
  async linkDown(part: Part): Promise<void> {
    await this.rig.tool('s', ['ip', 'link', 'set', linkOf(part), 'down']);
  }

  /** As whatever configures an interface would: the kernel forgets IPv6 addresses of one that is down. */
  async linkUp(part: Part): Promise<void> {
    const link = linkOf(part);
    const address = `fd00:201:${part === 'shell' ? 2 : 3}::1/64`;
    await this.rig.tool('s', ['ip', 'link', 'set', link, 'up']);
    await this.rig.tool('s', ['ip', '-6', 'addr', 'replace', address, 'dev', link, 'nodad']);
  }

  /** Everybody is there, and knows of the others. */
  async ready(): Promise<void> {
    const { stage } = this.rig;
    await Promise.all([stage.agentReady('a1'), stage.agentReady('b1')]);
    let table = '';
    await stage.until(
      async () => {
        const stats = await stage.admin.stats();
        table = `${stats.table.state} ${stats.table.reason ?? ''} ${stats.counters['table.queued']}`;
        return stats.table.state === 'up' && stats.counters['table.queued'] === 0;
      },
      START_MS,
      () => `the table is ${table}`,
    );
  }

  async #starting(part: Part): Promise<Program> {
    const { stage } = this.rig;
    if (part === 'redis') return startRedis(stage, { durable: true });
    // A core may be out of reach for as long as TCP itself would try.
    if (part === 'shell') return stage.startShell(ROUTES, { timers: { connect: '1m' } });
    if (part === 'core') return stage.startCore([HTTP_PORT, RAW_PORT].map((port) => endpointOf('b', port)));
    const { path, drainLimit, switchConfig } = this.options;
    const timers = { drainLimit, lingerClosed: '5s', lingerReset: '5s' };
    return stage.startSwitch({
      dataplane: path,
      table: LOCAL_TABLE,
      redis: { timeout: 0.5 },
      limits: { flows: 4096 },
      timers,
      ...switchConfig,
    });
  }
}

function linkOf(part: Part): string {
  return part === 'shell' ? 'to-a' : 'to-b';
}

interface Cut {
  readonly host: LabHost;
  readonly rules: { readonly prerouting: string; readonly output: string };
}

function cutOf(part: Part): Cut {
  if (part === 'shell') {
    return { host: 'a', rules: { prerouting: 'iifname != "lo" drop', output: 'oifname != "lo" drop' } };
  }
  const rules = part === 'redis' ? REDIS : CONTROL;
  return { host: part === 'core' ? 'b' : 's', rules: { prerouting: rules, output: rules } };
}
