/**
 * What the two ends of a stitched flow saw, value by value: every packet that reached an end is held against the one
 * that the other end sent, with the constants that the four SYNs give. Nothing here uses the flow engine.
 *
 * For flows whose shell neither consumed nor added a byte.
 */
import { OptionBit, TcpFlag, type TcpSegment } from '../../../src/wire/segment.js';
import type { Captured } from './capture.js';

/** Two processors of a host may capture their packets in another order than they send them in. */
const OVERTAKEN = 16;

/** One end's side of a captured connection. */
export interface Side {
  /** Of the end itself, and of the shell. */
  readonly own: TcpSegment;
  readonly shell: TcpSegment;
  /** What the end sent, and what reached it. */
  readonly sent: readonly Captured[];
  readonly got: readonly Captured[];
}

export function sideOf(packets: readonly Captured[], end: string): Side {
  const sent = packets.filter(({ from }) => from === end);
  const got = packets.filter(({ to }) => to === end);
  const syn = (list: readonly Captured[]): TcpSegment => {
    const first = list.find(({ segment }) => segment.has(TcpFlag.Syn));
    if (!first) throw new Error(`no SYN of ${end} was captured`);
    return first.segment;
  };
  return { own: syn(sent), shell: syn(got), sent, got };
}

export function both({ own, shell }: Side, bit: number): boolean {
  return own.hasOption(bit) && shell.hasOption(bit);
}

/** Both FINs and the acks of both are there: a capture is in order, so nothing before them is still to come. */
export function isComplete({ sent, got }: Side): boolean {
  const ended = (one: readonly Captured[], other: readonly Captured[]): boolean => {
    const end = one.find(({ segment }) => segment.has(TcpFlag.Fin))?.segment.end;
    return end !== undefined && other.some(({ segment }) => segment.ack === end);
  };
  return ended(sent, got) && ended(got, sent);
}

/** What a check found: differences as text, and how much there was to compare. */
export interface Findings {
  readonly problems: string[];
  compared: number;
  sackBlocks: number;
  /** Receiver's TSval minus sender's, once known. */
  tsDelta: number | undefined;
}

/** Holds what reached Y since `since` against what X sent; the timestamps' way back is `echoesProblems`'s. */
export function compareSeen(x: Side, y: Side, since: number): Findings {
  const findings: Findings = { problems: [], compared: 0, sackBlocks: 0, tsDelta: undefined };
  const sent = x.sent.filter(({ at }) => at >= since);
  let next = 0;
  for (const packet of y.got) {
    if (packet.at < since) continue;
    const comparison = { x, y, tsDelta: findings.tsDelta };
    // One that was split comes as several.
    const found = sent.findIndex(
      (one, i) => i >= next - OVERTAKEN && difference(one, packet, comparison) === undefined,
    );
    const source = sent[found];
    if (source) {
      next = Math.max(next, found);
      findings.compared++;
      findings.sackBlocks += packet.segment.sackCount;
      if (packet.segment.hasOption(OptionBit.Timestamps)) {
        findings.tsDelta ??= (packet.segment.tsval - source.segment.tsval) | 0;
      }
    } else {
      const why = sent.map((one) => difference(one, packet, comparison)).filter((text) => text !== 'number');
      findings.problems.push(`${why.at(-1) ?? 'nobody sent it'}: ${text(packet)}`);
      if (findings.problems.length > 5) break;
    }
  }
  return findings;
}

interface Comparison {
  readonly x: Side;
  readonly y: Side;
  readonly tsDelta: number | undefined;
}

/** In which value `packet` is not what `source` has to become; undefined where it is just that. */
function difference(source: Captured, packet: Captured, { x, y, tsDelta }: Comparison): string | undefined {
  const [s, p] = [source.segment, packet.segment];
  // What X sent, and what X acknowledges, in Y's terms.
  if (!isPartOf(p, s, y.shell.seq - x.own.seq)) return 'number';
  const ackDelta = y.own.seq - x.shell.seq;
  if (p.ack !== (s.ack + ackDelta) >>> 0) return `ack, not ${(s.ack + ackDelta) >>> 0}`;
  if (p.payloadLength === s.payloadLength && p.flags !== s.flags) return `flags, not ${s.flags}`;
  if (packet.trafficClass !== source.trafficClass) return `traffic class ${packet.trafficClass}`;
  if (packet.flowLabel !== source.flowLabel) return `flow label ${packet.flowLabel}`;
  if (p.window !== windowSeen(s.window, x, y)) return `window, not ${windowSeen(s.window, x, y)}`;
  const hasTimestamps = p.hasOption(OptionBit.Timestamps);
  if (hasTimestamps !== both(y, OptionBit.Timestamps)) return 'timestamps';
  if (hasTimestamps && tsDelta !== undefined && ((p.tsval - s.tsval - tsDelta) | 0) !== 0) return 'TSval';
  const blocks = both(y, OptionBit.SackPermitted) ? s.sackCount : 0;
  if (p.sackCount !== blocks) return `SACK blocks, not ${blocks}`;
  for (let i = 0; i < blocks; i++) {
    const [left, right] = [s.sackLeft[i] as number, s.sackRight[i] as number];
    if (p.sackLeft[i] !== (left + ackDelta) >>> 0) return 'left SACK edge';
    if (p.sackRight[i] !== (right + ackDelta) >>> 0) return 'right SACK edge';
  }
  return undefined;
}

/**
 * TSecr: what X echoes comes to Y as a value that Y's own clock had: one that Y sent, or at first the shell's last one
 * in Y's terms.
 */
export function echoesProblems(x: Side, y: Side, since: number, tsDeltaOfY: number | undefined): string[] {
  if (tsDeltaOfY === undefined) return [];
  const inYsTerms = (value: number): number => (value - tsDeltaOfY) >>> 0;
  const fromShell = x.got.filter(({ at }) => at < since).map(({ segment }) => inYsTerms(segment.tsval));
  const known = new Set([...y.sent.map(({ segment }) => segment.tsval), ...fromShell]);
  const echoed = new Set(x.sent.map(({ segment }) => inYsTerms(segment.tsecr)));
  return y.got
    .filter(({ at, segment }) => at >= since && segment.hasOption(OptionBit.Timestamps))
    .filter(({ segment }) => !known.has(segment.tsecr) || !echoed.has(segment.tsecr))
    .slice(0, 3)
    .map((packet) => `TSecr ${packet.segment.tsecr} is none that its receiver sent: ${text(packet)}`);
}

/** TSvals that reached an end never went back, from its SYN to its FIN (RFC 7323 section 5). */
export function stampsGoBack(side: Side): string | undefined {
  let last: number | undefined;
  for (const packet of side.got) {
    const { segment } = packet;
    if (!segment.hasOption(OptionBit.Timestamps) || segment.has(TcpFlag.Rst)) continue;
    if (last !== undefined && ((segment.tsval - last) | 0) < 0) return `${last}, then ${text(packet)}`;
    last = segment.tsval;
  }
  return undefined;
}

/** RFC 7323 section 2.3: a shift counts when both SYNs have one. */
function scales(side: Side): readonly [own: number, shell: number] {
  return both(side, OptionBit.WindowScale) ? [side.own.windowScale, side.shell.windowScale] : [0, 0];
}

function windowSeen(field: number, x: Side, y: Side): number {
  if (field === 0) return 0;
  const bytes = field * 2 ** scales(x)[0];
  return Math.max(1, Math.min(0xffff, Math.floor(bytes / 2 ** scales(y)[1])));
}

/** `packet` is `source`, or a part of its payload; a bare ack's number may have been lifted. */
function isPartOf(packet: TcpSegment, source: TcpSegment, delta: number): boolean {
  const offset = (packet.seq - source.seq - delta) | 0;
  if (source.payloadLength === 0) {
    return packet.payloadLength === 0 && offset >= 0 && packet.flags === source.flags;
  }
  return packet.payloadLength > 0 && offset >= 0 && offset + packet.payloadLength <= source.payloadLength;
}

function text({ from, to, segment: s }: Captured): string {
  const sack = Array.from({ length: s.sackCount }, (_, i) => `${s.sackLeft[i]}-${s.sackRight[i]}`);
  return `${from} > ${to} flags ${s.flags} seq ${s.seq}+${s.payloadLength} ack ${s.ack} win ${s.window} ts ${s.tsval}/${s.tsecr} sack ${sack.join()}`;
}
