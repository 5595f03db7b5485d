/** Everything that a run depends on, drawn from its seed. */
import type { AppScript } from './app.js';
import type { LegConfig } from './network.js';
import { Random } from './random.js';
import type { ShellScript } from './shell.js';
import type { TcpConfig } from './tcp-config.js';

export interface Scenario {
  readonly seed: number;
  readonly family: 4 | 6;
  readonly peer: TcpConfig;
  readonly outer: TcpConfig;
  readonly inner: TcpConfig;
  readonly core: TcpConfig;
  /** Legs to and from the switch, in the order E, A, B. */
  readonly toSwitch: readonly LegConfig[];
  readonly fromSwitch: readonly LegConfig[];
  readonly peerApp: AppScript;
  readonly coreApp: AppScript;
  readonly shell: ShellScript;
  /** Virtual milliseconds within which the flow must end. */
  readonly limit: number;
}

const NEVER = Number.POSITIVE_INFINITY;
const FULL_TURN = 2 ** 32;

export function scenarioOf(seed: number): Scenario {
  const random = new Random(seed);
  const jumbo = random.chance(0.08);
  const configs = endConfigs(random, jumbo);
  const apps = appScripts(random);
  const { toSwitch, fromSwitch } = legs(random);
  const shell = shellScript(random, apps.peerApp, apps.coreApp);
  const { peerApp, coreApp } = apps;
  // Keepalives end what would wait for ever where a reset got lost, but they also mend what they should not.
  const silent =
    random.chance(0.7) && Math.min(peerApp.resetAt, coreApp.resetAt) === NEVER && shell.death === 'none';
  const ends = silent ? silenced(configs) : configs;
  const parched = random.chance(0.1);
  const scenario: Scenario = {
    seed,
    family: random.chance(0.3) ? 6 : 4,
    ...ends,
    toSwitch,
    fromSwitch,
    ...apps,
    shell,
    limit: 120_000,
  };
  if (parched) return parch(scenario, random);
  return random.chance(0.1) ? withNap(scenario, random) : scenario;
}

/** Longer than anything that the switch waits for with a limit. */
const NAP_MS = 45_000;

/** One end stops reading for a long time, somewhere in its stream. */
function withNap(scenario: Scenario, random: Random): Scenario {
  const who = random.chance(0.5) ? 'peerApp' : 'coreApp';
  const from = who === 'peerApp' ? scenario.coreApp : scenario.peerApp;
  const nap = { after: random.int(1, Math.max(1, from.total >> 1)), ms: NAP_MS };
  return { ...scenario, [who]: { ...scenario[who], nap }, limit: scenario.limit + 2 * NAP_MS };
}

/**
 * Ends that read late and all at once into small buffers, over lossy legs: windows close again and again,
 * each is opened by a single ack, and that one may be lost.
 */
function parch(scenario: Scenario, random: Random): Scenario {
  const end = (config: TcpConfig): TcpConfig => ({
    ...config,
    mss: Math.min(config.mss, 1460),
    receiveBuffer: Math.min(config.receiveBuffer, random.int(2920, 9000)),
  });
  const leg = (config: LegConfig): LegConfig => ({ ...config, loss: 0.08 });
  const app = (script: AppScript): AppScript => ({
    ...script,
    total: script.turns ? script.total : Math.min(script.total, 80_000),
    readChunk: 1_000_000,
    readPause: random.log(2, 40),
  });
  return {
    ...scenario,
    peer: end(scenario.peer),
    core: end(scenario.core),
    toSwitch: scenario.toSwitch.map(leg),
    fromSwitch: scenario.fromSwitch.map(leg),
    peerApp: app(scenario.peerApp),
    coreApp: app(scenario.coreApp),
    limit: 400_000,
  };
}

type Ends = Pick<Scenario, 'peer' | 'outer' | 'inner' | 'core'>;

function silenced({ peer, outer, inner, core }: Ends): Ends {
  const silence = (config: TcpConfig): TcpConfig => ({ ...config, keepalive: NEVER });
  return { peer: silence(peer), outer: silence(outer), inner: silence(inner), core: silence(core) };
}

function endConfigs(random: Random, jumbo: boolean): Ends {
  const timestamps = random.chance(0.8);
  const sack = random.chance(0.85);
  const shellTick = random.chance(0.9) ? 1 : random.pick([4, 10]);
  const mostly = (value: boolean): boolean => (random.chance(0.97) ? value : !value);
  const make = (name: string, far: boolean): TcpConfig => {
    const mss = jumbo ? random.pick([1460, 8960, 8960]) : random.pick([536, 1220, 1400, 1460, 1460, 1460]);
    return {
      name,
      mss,
      windowScale: random.chance(0.1) ? -1 : random.chance(0.05) ? 14 : random.int(0, 10),
      sack: far ? mostly(sack) : !random.chance(0.02),
      dsack: random.chance(0.5),
      timestamps: far ? mostly(timestamps) : !random.chance(0.02),
      timestampOffset: random.chance(0.15) ? FULL_TURN - random.int(1, 3000) : random.int(0, FULL_TURN - 1),
      timestampTick: !far ? shellTick : random.chance(0.85) ? 1 : random.pick([4, 10]),
      initialSequence: random.chance(0.3)
        ? FULL_TURN - random.logInt(1, 200_000)
        : random.int(0, FULL_TURN - 1),
      receiveBuffer: random.logInt(jumbo ? 18_000 : 2920, 262_144),
      sendBuffer: random.logInt(4096, 262_144),
      quickAck: random.chance(0.2),
      supers: random.chance(0.5) ? 1 : random.int(2, 10),
      reshape: random.chance(0.5) ? 0 : random.next(),
      strictLeft: random.chance(0.15),
      strictRight: random.chance(0.3),
      ackSlack: random.chance(0.7),
      tailProbes: random.chance(0.7),
      keepalive: random.log(1500, 8000),
      keepaliveByte: random.chance(0.3),
      minRto: 200,
    };
  };
  return { peer: make('E', true), outer: make('A1', false), inner: make('A2', false), core: make('B', true) };
}

function legs(random: Random): Pick<Scenario, 'toSwitch' | 'fromSwitch'> {
  const lossy = random.chance(0.5);
  const reordered = random.chance(0.5);
  const doubled = random.chance(0.3);
  const far = random.log(0.02, 10);
  const make = (delay: number): LegConfig => ({
    delay: delay * random.log(0.5, 2),
    rate: random.log(2000, 250_000),
    queue: random.log(30_000, 1_000_000),
    loss: lossy && random.chance(0.7) ? random.next() * 0.05 : 0,
    duplication: doubled ? random.next() * 0.02 : 0,
    reorder: reordered ? random.next() * 0.1 : 0,
    jitter: random.log(0.05, 5),
  });
  const delays = [far, random.log(0.01, 2), random.chance(0.5) ? far : random.log(0.01, 2)];
  return { toSwitch: delays.map(make), fromSwitch: delays.map(make) };
}

function appScripts(random: Random): Pick<Scenario, 'peerApp' | 'coreApp'> {
  const size = (): number => random.logInt(1000, 500_000);
  const base = (total: number, endsSecond: boolean): AppScript => {
    const slowReader = random.chance(0.25);
    const pacing = random.chance(0.35);
    return {
      total,
      chunk: pacing
        ? random.logInt(Math.max(100, Math.ceil(total / 40)), 20_000)
        : random.logInt(2000, 100_000),
      pause: pacing ? random.log(0.05, 20) : 0,
      startDelay: random.chance(0.3) ? random.log(0.1, 100) : 0,
      readChunk: random.logInt(Math.max(500, Math.ceil(total / 40)), 65_536),
      readPause: slowReader ? random.log(0.05, 15) : 0,
      turns: undefined,
      endsSecond,
      endDelay: random.chance(0.5) ? 0 : random.log(0.1, 300),
      resetAt: NEVER,
    };
  };
  const pattern = random.pick(['up', 'down', 'both', 'both', 'turns', 'turns', 'idle', 'half-close']);
  const peerFirst = random.chance(pattern === 'up' ? 0.85 : pattern === 'down' ? 0.15 : 0.6);
  const simultaneous = random.chance(0.15);
  const peerSecond = !peerFirst && !simultaneous;
  const coreSecond = peerFirst && !simultaneous;
  let scripts = {
    peerApp: base(pattern === 'down' || pattern === 'idle' ? random.int(0, 300) : size(), peerSecond),
    coreApp: base(pattern === 'up' || pattern === 'idle' ? random.int(0, 300) : size(), coreSecond),
  };
  if (pattern === 'turns') scripts = turns(random, scripts, peerFirst);
  if (pattern === 'idle') {
    const endDelay = random.log(50, 2000);
    scripts = { peerApp: { ...scripts.peerApp, endDelay }, coreApp: { ...scripts.coreApp, endDelay } };
  }
  if (pattern === 'half-close') {
    scripts = {
      peerApp: { ...scripts.peerApp, endsSecond: false, endDelay: random.log(0.1, 100) },
      coreApp: {
        ...scripts.coreApp,
        endsSecond: false,
        startDelay: random.log(1, 200),
        pause: random.log(1, 20),
      },
    };
  }
  if (random.chance(0.12)) {
    const resetAt = random.log(0.5, 400);
    if (random.chance(0.5)) scripts.peerApp = { ...scripts.peerApp, resetAt };
    else scripts.coreApp = { ...scripts.coreApp, resetAt };
  }
  return scripts;
}

function turns(
  random: Random,
  { peerApp, coreApp }: Pick<Scenario, 'peerApp' | 'coreApp'>,
  first: boolean,
): Pick<Scenario, 'peerApp' | 'coreApp'> {
  const rounds = random.logInt(3, 100);
  const up = random.logInt(1, 3000);
  const down = random.logInt(1, 3000);
  return {
    peerApp: { ...peerApp, total: rounds * up, turns: { first, mine: up, theirs: down } },
    coreApp: { ...coreApp, total: rounds * down, turns: { first: !first, mine: down, theirs: up } },
  };
}

function shellScript(random: Random, peer: AppScript, core: AppScript): ShellScript {
  const prefix = (app: AppScript): number => {
    if (!random.chance(0.3)) return 0;
    return Math.min(app.turns?.mine ?? app.total, random.logInt(1, 2000));
  };
  const injection = (): number => (random.chance(0.3) ? random.logInt(1, 3000) : 0);
  const dies = random.chance(0.04);
  return {
    offsets: {
      consumedFromPeer: prefix(peer),
      injectedToCore: injection(),
      consumedFromCore: prefix(core),
      injectedToPeer: injection(),
    },
    buffer: random.logInt(1000, 200_000),
    laziness: random.log(0.01, 5),
    stitch: !random.chance(0.02),
    stitchDelay: random.chance(0.4) ? 0 : random.log(0.1, 60),
    stitchBytes: random.chance(0.5) ? 0 : Math.floor((peer.total + core.total) * 0.6 * random.next()),
    controlDelay: random.log(0.02, 5),
    death: dies ? random.pick(['reset', 'exit', 'vanish']) : 'none',
    deathDelay: random.log(0.01, 10),
  };
}
