/**
 * `suture demo`: the whole story on one machine. It makes the lab, starts switch, shell, core and a Java
 * workload in it, lets a client in E run all kinds of connections through the shell, shows how each leaves
 * the shell while it runs, and proves with hashes and counters that nobody noticed.
 *
 * Whatever happens, Ctrl-C and failures included, it takes everything down again.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../platform/clock.js';
import { SutureError } from '../platform/errors.js';
import type { FlowDetail } from '../switch/admin-protocol.js';
import type { TaskResult } from './demo-client.js';
import { demoPlan } from './demo-plan.js';
import { between, connectionReport, type DemoDocument, sizeText, tableLines } from './demo-report.js';
import { FlowWatch, type WatchedFlow } from './demo-watch.js';
import { labDown, labStatus, labUp } from './lab.js';
import { labPrefix, namespaceOf } from './layout.js';
import { ShellCounter } from './shell-counter.js';
import { endpointOf, HTTP_PORT, PACKAGE_ROOT, Stage } from './stage.js';

const RUNTIME_FOLDER = '/run/suture';
/** After the client has ended, for the last acks and the switch's reports. */
const CLOSE_MS = 10_000;

export interface DemoOptions {
  readonly clock: Clock;
  /** Aborts when the demo is to end and to take everything down. */
  readonly signal: AbortSignal;
  /** One line for people. */
  readonly print: (line: string) => void;
  /** Of the lab's namespaces; default as for `suture lab`. */
  readonly prefix?: string;
}

export interface DemoResult {
  /** All hashes are equal, all flows were stitched and closed, and the shell carried none of their packets. */
  readonly ok: boolean;
  readonly document: DemoDocument;
}

export async function runDemo(options: DemoOptions): Promise<DemoResult> {
  const prefix = labPrefix(options.prefix);
  const folder = join(RUNTIME_FOLDER, `demo-${prefix}`);
  await refuseBusyLab(prefix);
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  const { clock, signal } = options;
  const adminSocket = join(RUNTIME_FOLDER, `${prefix}.sock`);
  const stage = new Stage({ prefix, folder, adminSocket, clock, signal });
  const demo = new Demo(options, prefix, stage);
  const running = demo.run();
  try {
    return await Promise.race([running, rejectOnAbort(signal)]);
  } finally {
    options.print(demo.stamp('taking everything down'));
    await stage.stop();
    // An interrupted run ends by itself once its programs have; nothing is made behind what is taken down.
    await running.catch(() => undefined);
    await labDown({ prefix });
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Making the lab anew would take the network away from programs that someone runs in it. */
async function refuseBusyLab(prefix: string): Promise<void> {
  const { hosts } = await labStatus({ prefix });
  const busy = hosts.filter(({ processes }) => processes.length > 0);
  if (busy.length === 0) return;
  const list = busy.map(({ namespace, processes }) => `${namespace} (${processes.join(', ')})`).join(', ');
  throw new SutureError(
    'SUT_DEMO',
    `the lab is in use: programs run in ${list}; stop them, or choose another lab with SUTURE_LAB=NAME`,
  );
}

function rejectOnAbort(signal: AbortSignal): Promise<never> {
  const interrupted = (): SutureError => new SutureError('SUT_DEMO', 'the demo was interrupted');
  return new Promise((_, reject) => {
    if (signal.aborted) reject(interrupted());
    signal.addEventListener('abort', () => reject(interrupted()), { once: true });
  });
}

class Demo {
  readonly #options: DemoOptions;
  readonly #prefix: string;
  readonly #stage: Stage;
  readonly #startedAt: number;
  readonly #start: number;
  readonly #plan = demoPlan();
  /** Names of connections by the shell's endpoint that they use. */
  readonly #names: ReadonlyMap<string, string>;

  constructor(options: DemoOptions, prefix: string, stage: Stage) {
    this.#options = options;
    this.#prefix = prefix;
    this.#stage = stage;
    this.#startedAt = options.clock.wall();
    this.#start = options.clock.monotonic();
    const { tasks, routes } = this.#plan;
    this.#names = new Map(tasks.map(({ name }, i) => [routes[i]?.listen ?? '', name]));
  }

  async run(): Promise<DemoResult> {
    await this.#setUp();
    const counter = new ShellCounter(namespaceOf(this.#prefix, 'a'));
    await counter.start();
    const watch = new FlowWatch(counter, this.#options.clock, (flow) => this.#tell(flow));
    const over = new AbortController();
    const following = watch.follow(this.#stage.admin.watch(over.signal));
    // A switch that is gone is noticed by what is asked of it next.
    following.catch(() => undefined);
    try {
      const results = await this.#runClient();
      await this.#allClosed();
      const watched = await watch.result((id) => this.#stage.admin.flow(id));
      const connections = results.map((result) => {
        const isIts = ({ flow }: WatchedFlow): boolean => this.#names.get(flow.outer.local) === result.name;
        return connectionReport(result, watched.find(isIts));
      });
      return await this.#conclude(connections);
    } finally {
      over.abort();
    }
  }

  async #setUp(): Promise<void> {
    const stage = this.#stage;
    const { routes } = this.#plan;
    await labUp({ prefix: this.#prefix });
    this.#say(`lab: four hosts, ${['e', 's', 'a', 'b'].map((h) => `${this.#prefix}-${h}`).join(' ')}`);
    const workload = stage.startWorkload();
    // Awaited below; until then a failure must not count as unhandled.
    workload.catch(() => undefined);
    await stage.startSwitch();
    const { dataplane, interfaces } = await stage.admin.stats();
    this.#say(`switch: ${dataplane} data path on ${interfaces.join(', ')}`);
    const offers = [endpointOf('b', HTTP_PORT, 4), endpointOf('b', HTTP_PORT, 6)];
    await Promise.all([
      stage
        .startShell(routes)
        .then(() => this.#say(`shell: ${routes.length} routes, switch found by discovery`)),
      stage.startCore(offers).then(() => this.#say(`core: offers ${offers.join(' and ')}`)),
      workload.then(() => this.#say('workload: Java, HTTP on the offered endpoints')),
    ]);
  }

  async #runClient(): Promise<TaskResult[]> {
    const { tasks } = this.#plan;
    const results: TaskResult[] = [];
    this.#say(`client: ${tasks.length} connections at once`);
    const argv = [process.execPath, join(PACKAGE_ROOT, 'dist/lab/demo-client.js'), JSON.stringify(tasks)];
    const client = this.#stage.start('client', 'e', argv, (line, stream) => {
      if (stream === 'stdout') results.push(JSON.parse(line) as TaskResult);
    });
    const { code, signal } = await client.ended;
    if (results.length < tasks.length) {
      throw new SutureError(
        'SUT_DEMO',
        `the client ended with ${code ?? signal}; it wrote:\n${client.output}`,
      );
    }
    return tasks.flatMap(({ name }) => results.filter((result) => result.name === name));
  }

  /** A flow that does not close in time is a finding of the report, not the end of the demo. */
  async #allClosed(): Promise<void> {
    const ended = async (): Promise<boolean> => {
      const flows = await this.#stage.admin.flows();
      return flows.every(({ state }) => state === 'closed' || state === 'broken');
    };
    await this.#stage.until(ended, CLOSE_MS, () => '').catch(() => undefined);
  }

  async #conclude(connections: DemoDocument['connections']): Promise<DemoResult> {
    const { print, clock } = this.#options;
    const { dataplane } = await this.#stage.admin.stats();
    const ok = connections.every(({ problems }) => problems.length === 0);
    print('');
    for (const line of tableLines(connections)) print(line);
    print('');
    for (const { name, problems } of connections)
      for (const problem of problems) print(`${name}: ${problem}`);
    if (ok) print('Every byte arrived as it was sent, and no packet of a stitched flow reached the shell.');
    const startedAt = new Date(this.#startedAt).toISOString();
    const tookMs = Math.round(clock.monotonic() - this.#start);
    return { ok, document: { ok, dataplane, startedAt, tookMs, connections } };
  }

  #tell(flow: FlowDetail): void {
    const name = (this.#names.get(flow.outer.local) ?? flow.id).padEnd(15);
    const bytes = sizeText(flow.up.bytes + flow.down.bytes);
    if (flow.state === 'relayed') {
      this.#say(`${name} relayed: ${flow.outer.remote} to ${flow.inner.remote} through the shell`);
    } else if (flow.state === 'stitched') {
      const took = between(flow, 'clamping', 'stitched');
      this.#say(`${name} stitched after ${bytes}; the handover took ${took ?? '?'} ms`);
    } else if (flow.state === 'closed' || flow.state === 'broken' || flow.state === 'refused') {
      this.#say(`${name} ${flow.state}: ${flow.reason ?? 'no reason'}, ${bytes}`);
    }
  }

  /** A line with the time since the start. */
  stamp(text: string): string {
    const seconds = (this.#options.clock.monotonic() - this.#start) / 1000;
    return `${seconds.toFixed(2).padStart(6)} s  ${text}`;
  }

  #say(text: string): void {
    this.#options.print(this.stamp(text));
  }
}
