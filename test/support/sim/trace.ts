/** A compact record of a run: one line for each packet at the switch and at its receiver, and the events. */
import { OptionBit, TcpFlag } from '../../../src/wire/segment.js';
import { seqDiff, seqNum } from '../../../src/wire/seq.js';
import type { Packet } from './packet.js';
import type { TcpEnd } from './tcp.js';

interface Traced {
  readonly events: { readonly now: number };
  readonly peer: TcpEnd;
  readonly outer: TcpEnd;
  readonly inner: TcpEnd;
  readonly core: TcpEnd;
}

const NAMES = ['E>A', 'A>E', 'A>B', 'B>A'];
const FLAGS: readonly (readonly [number, string])[] = [
  [TcpFlag.Syn, 'S'],
  [TcpFlag.Fin, 'F'],
  [TcpFlag.Rst, 'R'],
  [TcpFlag.Psh, 'P'],
  [TcpFlag.Ack, '.'],
];

export class Trace {
  readonly lines: string[] = [];

  constructor(
    readonly run: Traced,
    readonly on: boolean,
  ) {}

  note(text: string): void {
    if (this.on) this.lines.push(`${this.#time()} ${text}`);
  }

  /** Sequence numbers are positions: 0 is the SYN. */
  packet(where: string, packet: Packet): void {
    if (!this.on) return;
    const { segment, path } = packet;
    const { peer, outer, inner, core } = this.run;
    const from = [peer, outer, inner, core][path] as TcpEnd;
    const to = [outer, peer, core, inner][path] as TcpEnd;
    const place = (end: TcpEnd, seq: number): number =>
      seqDiff(seqNum(seq), seqNum(end.config.initialSequence));
    const start = place(from, segment.seq);
    const parts = [
      `${this.#time()} ${where.padEnd(3)} ${NAMES[path]}`,
      FLAGS.filter(([flag]) => segment.has(flag))
        .map(([, letter]) => letter)
        .join('')
        .padEnd(3),
      segment.payloadLength > 0 ? `${start}:${start + segment.payloadLength}` : `${start}`,
    ];
    if (segment.has(TcpFlag.Ack)) parts.push(`ack ${place(to, segment.ack)} win ${segment.window}`);
    for (let i = 0; i < segment.sackCount; i++) {
      parts.push(
        `sack ${place(to, segment.sackLeft[i] as number)}-${place(to, segment.sackRight[i] as number)}`,
      );
    }
    if (segment.hasOption(OptionBit.Timestamps)) parts.push(`ts ${segment.tsval}/${segment.tsecr}`);
    parts.push(`by ${'EABS'[packet.producer]}`);
    this.lines.push(parts.join(' '));
  }

  #time(): string {
    return this.run.events.now.toFixed(3).padStart(11);
  }
}
