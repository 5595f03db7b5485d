/** One run: builds the hosts of a scenario around an engine, lets virtual time pass, and judges the end. */
import type { StitchOffsets } from '../../../src/flow/endpoints.js';
import { App } from './app.js';
import { addresses, type Endpoints, tuples } from './endpoints.js';
import { EventQueue } from './events.js';
import { Invariants } from './invariants.js';
import { judge, judgeBreak, judgeRefusal } from './judge.js';
import { Leg } from './network.js';
import { DOWN_CONTENT, Host, type Packet, PacketPool, Path } from './packet.js';
import { Random } from './random.js';
import type { Scenario } from './scenario.js';
import { Shell } from './shell.js';
import { type SeenState, type SimEngine, SwitchNode, type SwitchWatcher } from './switch-node.js';
import { TcpEnd } from './tcp.js';
import type { TcpConfig, TcpSurroundings } from './tcp-config.js';
import { Trace } from './trace.js';

export interface Outcome {
  readonly seed: number;
  /** The first thing that must never happen and did. */
  readonly fault: { readonly rule: string; readonly text: string; readonly at: number } | undefined;
  readonly states: readonly { readonly state: SeenState; readonly at: number }[];
  readonly virtualTime: number;
  readonly retransmitted: number;
  readonly pawsDrops: number;
  /** Milliseconds from the request to the cut; −1 without one. */
  readonly clamped: number;
  readonly trace: readonly string[];
}

export interface RunOptions {
  /** Without a shell: the peer talks to an application on A. */
  readonly plain?: boolean;
  readonly trace?: boolean;
  /** The engine's teardown mode is one that holds FINs. */
  readonly holds?: boolean;
  /** How long the switch may take to find that both ends are over. */
  readonly flushMs?: number;
}

const FLUSH = 300;
/** An end is over once its own FIN was acknowledged, which the switch may do long before the other end has it. */
const FLUSH_HOLDING = 30_000;
const MOST_STEPS = 500_000;

export class Simulation implements SwitchWatcher, TcpSurroundings {
  readonly events = new EventQueue();
  readonly pool = new PacketPool();
  readonly random: Random;
  readonly switchNode: SwitchNode;
  readonly peer: TcpEnd;
  readonly outer: TcpEnd;
  readonly inner: TcpEnd;
  readonly core: TcpEnd;
  readonly peerApp: App;
  readonly coreApp: App;
  readonly shell: Shell | undefined;
  readonly invariants: Invariants;
  readonly trace: Trace;
  #fault: Outcome['fault'];
  readonly states: { state: SeenState; at: number }[] = [];
  readonly #toSwitch: Leg[];
  readonly #fromSwitch: Leg[];

  constructor(
    readonly scenario: Scenario,
    readonly engine: SimEngine,
    readonly options: RunOptions = {},
  ) {
    this.random = new Random(scenario.seed + 0x5eed);
    const plain = options.plain === true;
    const { offsets } = scenario.shell;
    const up = plain ? 0 : offsets.consumedFromPeer - offsets.injectedToCore;
    const down = DOWN_CONTENT + (plain ? 0 : offsets.consumedFromCore - offsets.injectedToPeer);
    this.peer = this.#end(scenario.peer, Host.Peer, Path.PeerToShell, 0, down);
    this.outer = this.#end(scenario.outer, Host.Shell, Path.ShellToPeer, down, 0);
    this.inner = this.#end(scenario.inner, Host.Shell, Path.ShellToCore, up, DOWN_CONTENT);
    this.core = this.#end(scenario.core, Host.Core, Path.CoreToShell, DOWN_CONTENT, up);
    const { peer, outer, inner, core, events } = this;
    this.invariants = new Invariants(
      { peer, outer, inner, core },
      (rule, text) => this.fault(rule, text),
      options.holds === true,
    );
    this.trace = new Trace(this, options.trace === true);
    const endpoints = addresses(scenario.family);
    this.switchNode = new SwitchNode(engine, tuples(endpoints), events, this.pool, this, (packet) =>
      this.#leave(packet),
    );
    this.#toSwitch = scenario.toSwitch.map((leg) =>
      this.#leg(leg, (packet) => this.switchNode.receive(packet)),
    );
    this.#fromSwitch = scenario.fromSwitch.map((leg) => this.#leg(leg, (packet) => this.#arrive(packet)));
    this.peerApp = new App(scenario.peerApp, peer, events, this.random, down - DOWN_CONTENT);
    this.coreApp = new App(scenario.coreApp, plain ? outer : core, events, this.random, up);
    if (!plain) this.shell = this.#makeShell(endpoints);
    for (const owned of [endpoints.outer.local, endpoints.inner.local]) {
      engine.own({ address: owned.address, from: owned.port, to: owned.port });
    }
  }

  #end(config: TcpConfig, host: Host, out: Path, sendShift: number, receiveShift: number): TcpEnd {
    return new TcpEnd(
      config,
      { out, sendShift, receiveShift },
      host,
      this.events,
      this.pool,
      this.random,
      this,
    );
  }

  #leg(config: Scenario['toSwitch'][number], deliver: (packet: Packet) => void): Leg {
    return new Leg(config, this.events, this.pool, this.random, deliver);
  }

  #makeShell({ outer, inner }: Endpoints): Shell {
    const control = {
      pair: (): void => this.switchNode.pair(outer, inner),
      enable: (offsets: StitchOffsets): void => this.switchNode.enable(offsets),
      release: (): void => this.switchNode.release(),
      vanish: (): void => this.#goDark(),
    };
    return new Shell(this.scenario.shell, this.outer, this.inner, control, this.events, this.random);
  }

  run(): Outcome {
    this.outer.listen();
    if (!this.options.plain) this.core.listen();
    this.switchNode.start();
    this.peer.connect();
    for (let steps = 0; !this.#fault && !this.#finished() && this.events.step(); steps++) {
      if (this.events.now > this.scenario.limit) {
        // A reset that the switch sent may get lost, and an idle end then waits for ever.
        if (this.#brokenByDeath) break;
        this.fault('stall', this.#describeEnds());
      }
      if (steps > MOST_STEPS) this.fault('storm', this.#describeEnds());
    }
    const flushed = this.events.now + (this.options.flushMs ?? (this.options.holds ? FLUSH_HOLDING : FLUSH));
    while (!this.#fault && this.events.now < flushed && this.events.step());
    if (!this.#fault) judge(this);
    return this.#outcome();
  }

  // What the parts report.

  fault(rule: string, text: string): void {
    if (this.#fault) return;
    this.#fault = { rule, text, at: this.events.now };
    this.trace.note(`FAULT ${rule}: ${text}`);
  }

  transmit(packet: Packet): void {
    this.#toSwitch[packet.producer]?.send(packet);
  }

  onReceived(packet: Packet): void {
    this.trace.packet('>', packet);
  }

  onCall(before: SeenState, states: readonly SeenState[], packets: readonly Packet[]): void {
    if (this.trace.on) for (const packet of packets) this.trace.packet(' >', packet);
    if (this.shell) this.invariants.onCall(before, states, packets, this.events.now);
  }

  onState(state: SeenState): void {
    this.states.push({ state, at: this.events.now });
    this.trace.note(`state ${state}`);
    if (state === 'broken') this.trace.note(this.#describeEnds());
    if (state === 'refused') judgeRefusal(this);
    if (state === 'broken') judgeBreak(this);
    if (state === 'cutting') this.shell?.onCut();
    const over = this.invariants.cutAt >= 0 && (state === 'closed' || state === 'broken');
    if (state === 'stitched' || over) this.shell?.onStitched();
  }

  #goDark(): void {
    const legs = [this.#toSwitch[Host.Shell], this.#fromSwitch[Host.Shell]];
    for (const leg of legs) if (leg) leg.dark = true;
  }

  #leave(packet: Packet): void {
    const host =
      packet.path === Path.ShellToPeer
        ? Host.Peer
        : packet.path === Path.ShellToCore
          ? Host.Core
          : Host.Shell;
    this.#fromSwitch[host]?.send(packet);
  }

  #arrive(packet: Packet): void {
    const end = [this.outer, this.peer, this.core, this.inner][packet.path];
    this.trace.packet('  >', packet);
    end?.receive(packet);
    this.pool.release(packet);
  }

  // The end.

  #finished(): boolean {
    if (!this.peer.over) return false;
    const { shell } = this;
    if (!shell) return this.outer.over;
    const coreOver = this.core.over || this.core.state === 'listen';
    if (!coreOver) return false;
    if (shell.dead || shell.destroyed) return true;
    return this.outer.over && (this.inner.over || this.inner.state === 'closed');
  }

  get #brokenByDeath(): boolean {
    return this.shell?.dead === true && this.states.some(({ state }) => state === 'broken');
  }

  #describeEnds(): string {
    return [this.peer, this.outer, this.inner, this.core]
      .map(({ config, state, sender, receiver }) => {
        const sent = `una ${sender.una} nxt ${sender.nxt} of ${sender.limit} wnd ${sender.wnd}`;
        return `${config.name} ${state} ${sent} got ${receiver.next} unread ${receiver.unread}`;
      })
      .join('; ');
  }

  #outcome(): Outcome {
    const ends = [this.peer, this.outer, this.inner, this.core];
    const { clampedAt, cutAt } = this.invariants;
    return {
      seed: this.scenario.seed,
      fault: this.#fault,
      states: this.states,
      virtualTime: this.events.now,
      retransmitted: ends.reduce((sum, end) => sum + end.sender.retransmitted, 0),
      pawsDrops: ends.reduce((sum, end) => sum + end.pawsDrops, 0),
      clamped: cutAt < 0 ? -1 : cutAt - clampedAt,
      trace: this.trace.lines,
    };
  }
}
