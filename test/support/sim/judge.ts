/** What must hold at the end of a run: streams complete, the flow over, its report right, nothing remembered. */
import type { App } from './app.js';
import type { Simulation } from './simulation.js';
import { FLOW_ID, type SimFlow } from './switch-node.js';
import type { TcpEnd } from './tcp.js';

/** Bytes by which a right edge may go back: the slack and the roundings that a handover allows itself. */
const RETREAT_SLACK = 4096;
const CLAMP_DEADLINE = 200;
const LINGER_STEPS = [1_000, 62_000, 242_000, 304_000];
/** Where an end died and its last packet was lost, only idleness tells that the flow is over. */
const IDLE_STEP = 7_500_000;

export function judge(run: Simulation): void {
  const { peerApp, coreApp, shell, invariants, scenario } = run;
  const lostShell = shell?.dead === true && !invariants.stitched;
  const rough = peerApp.didReset || coreApp.didReset || lostShell;
  if (!rough) {
    const { offsets } = scenario.shell;
    const down = shell ? offsets.injectedToPeer - offsets.consumedFromCore : 0;
    const up = shell ? offsets.injectedToCore - offsets.consumedFromPeer : 0;
    judgeStream(run, peerApp, coreApp.script.total + down);
    judgeStream(run, coreApp, peerApp.script.total + up);
  }
  if (!shell) return;
  judgeFlow(run, rough);
  judgeWindow(run, run.peer, run.outer);
  judgeWindow(run, run.core, run.inner);
}

/** An application got all that was for it, and no reset. */
function judgeStream(run: Simulation, app: App, expected: number): void {
  const { end } = app;
  const { name } = end.config;
  const got = app.readBytes + end.readable;
  if (end.wasReset) run.fault('reset', `${name} was reset`);
  else if (got !== expected) run.fault('incomplete', `${name} got ${got} bytes of ${expected}`);
}

/** Every flow ends within its time and is forgotten. */
function judgeFlow(run: Simulation, rough: boolean): void {
  const { switchNode, engine } = run;
  const { now } = run.events;
  if (run.states.length === 0) return;
  const { state } = switchNode;
  const flow = engine.flow(FLOW_ID);
  if (flow && !rough) judgeReport(run, flow);
  const open = flow && state !== 'closed' && state !== 'broken';
  if (open && !rough) run.fault('open', `both ends are done and the flow is ${state}`);
  for (const step of LINGER_STEPS) switchNode.tick(now + step);
  if (rough) switchNode.tick(now + IDLE_STEP);
  if (engine.flow(FLOW_ID)) run.fault('remembered', `the flow is still ${switchNode.state}`);
}

/** What the switch reports of a flow that ended by itself: the reason, and each stream's bytes, once. */
function judgeReport(run: Simulation, flow: SimFlow): void {
  if (flow.reason !== 'fin') run.fault('report', `the flow ended with ${flow.reason}`);
  const { peerApp, coreApp } = run.scenario;
  const up = flow.outer.far.bytes;
  const down = flow.inner.far.bytes;
  if (up !== peerApp.total) run.fault('report', `${up} bytes counted up, sent were ${peerApp.total}`);
  if (down !== coreApp.total) run.fault('report', `${down} bytes counted down, sent were ${coreApp.total}`);
}

/** A right edge that an end was told goes back by no more than a handover allows itself. */
function judgeWindow(run: Simulation, end: TcpEnd, shellEnd: TcpEnd): void {
  const { clampedAt, cutAt, drainSeen } = run.invariants;
  // A reordered old bare ack, lifted by the rule against the ack deadlock, passes for the newest.
  if (run.scenario.toSwitch.some(({ reorder }) => reorder > 0)) return;
  // With nothing in flight, or past its deadline, the clamp does not wait for the windows.
  if (!drainSeen || cutAt - clampedAt >= CLAMP_DEADLINE - 1) return;
  const allowed = RETREAT_SLACK + 2 * 2 ** shellEnd.receiver.scale;
  if (end.retreat > allowed) {
    run.fault('retreat', `${end.config.name}'s right edge went back by ${end.retreat}`);
  }
}

/** The shell's offsets are always true, and options are the only other ground for a refusal here. */
export function judgeRefusal(run: Simulation): void {
  const reason = run.engine.flow(FLOW_ID)?.reason;
  const { outer, inner, peerApp, coreApp } = run;
  if (reason === 'timestamps-differ' && outer.timestamps !== inner.timestamps) return;
  if (reason === 'closing-before-cut') return;
  if (reason === 'handshake-not-seen' && (peerApp.didReset || coreApp.didReset)) return;
  run.fault('refusal', `refused without need: ${reason}`);
}

/** A flow breaks only when the shell died, or when an end died whose reset got lost and whom nobody can ask. */
export function judgeBreak(run: Simulation): void {
  const reason = run.engine.flow(FLOW_ID)?.reason;
  if (run.scenario.shell.death !== 'none') return;
  const unheard = reason === 'drain-timeout' || reason === 'fin-unacknowledged';
  if (unheard && (run.peerApp.didReset || run.coreApp.didReset)) return;
  run.fault('broken', `the flow broke by itself: ${reason}`);
}
