/** What came of a step on both sides: packets, events and the records of flows. Whatever differs is said in words. */
import { EventKind, LAYOUT } from '../../../src/dataplane/kernel/layout.js';
import type { RingBuffer } from '../../../src/dataplane/kernel/libbpf.js';
import { readEvent } from '../../../src/dataplane/kernel/records.js';
import type { FlowEvent } from '../../../src/dataplane/port.js';
import type { Flow } from '../../../src/flow/flow.js';
import { RecordComparison } from './compare.js';
import { describePacket, wholeChecksum } from './frames.js';
import type { insideEngine } from './inside.js';
import type { Kernel } from './kernel.js';
import type { Places } from './twin-places.js';

export class Outcome {
  /** Packets that both sent. */
  compared = 0;
  private lastEvent: Buffer | undefined;
  private readonly engineEvents: string[] = [];
  private readonly kernelEvents: string[] = [];
  private readonly records: RecordComparison;
  private readonly ring: RingBuffer;

  constructor(
    private readonly kernel: Kernel,
    private readonly index: ReturnType<typeof insideEngine>['index'],
  ) {
    this.records = new RecordComparison(kernel);
    this.ring = kernel.ring((record) => {
      if (record.readUInt8(LAYOUT.event.kind) === EventKind.Miss) return;
      this.kernelEvents.push(eventText(record));
      this.lastEvent = Buffer.from(record);
    });
  }

  engineTold(event: FlowEvent): void {
    this.engineEvents.push(describeEvent(event));
  }

  /** Takes in what the kernel has told by now. */
  listen(): void {
    this.ring.consume();
  }

  /** What the kernel told since the last step is of no interest. */
  ignore(): void {
    this.listen();
    this.kernelEvents.length = 0;
    this.lastEvent = undefined;
  }

  /** `sent` by the engine, `packets` by the kernel. */
  differences(sent: readonly Buffer[], packets: readonly Buffer[], places: Places): string[] {
    const differ: string[] = [];
    this.listen();
    this.comparePackets(differ, sent, packets);
    this.compareEvents(differ);
    this.compareRecords(differ, places);
    return differ;
  }

  private comparePackets(differ: string[], sent: readonly Buffer[], packets: readonly Buffer[]): void {
    const engine = sent.map((packet) => packet.toString('latin1')).sort();
    const kernel = packets.map((packet) => wholeChecksum(packet).toString('latin1')).sort();
    this.compared += engine.length;
    if (engine.length === kernel.length && engine.every((bytes, i) => bytes === kernel[i])) return;
    const list = (name: string, all: string[]): string =>
      `${name}:\n${all.map((bytes) => `    ${describePacket(Buffer.from(bytes, 'latin1'))}`).join('\n')}`;
    differ.push(list('engine sent', engine), list('kernel sent', kernel));
  }

  private compareEvents(differ: string[]): void {
    const engine = this.engineEvents.splice(0).join(', ');
    const kernel = this.kernelEvents.splice(0).join(', ');
    if (engine !== kernel) differ.push(`events: kernel ${kernel || 'none'}; engine ${engine || 'none'}`);
    if (this.lastEvent) differ.push(...this.records.event(this.lastEvent));
    this.lastEvent = undefined;
  }

  private compareRecords(differ: string[], places: Places): void {
    const seen = new Set<Flow>();
    for (const x of this.index.connections()) {
      if (x.flow && seen.has(x.flow)) continue;
      const { slot } = places.of(x);
      const record = this.kernel.recordOf(slot);
      if (x.flow) {
        seen.add(x.flow);
        differ.push(...this.records.flow(record, x.flow));
      } else {
        differ.push(...this.records.unpaired(record, x));
      }
    }
  }
}

function eventText(record: Buffer): string {
  const told = readEvent(record, 0);
  return told ? describeEvent(told.event) : 'forgotten';
}

function describeEvent({ kind, flow, from, held, segment }: FlowEvent): string {
  const facts = segment ? ` ${Object.values(segment).join('/')}` : '';
  return `${kind} ${flow.state}${from ? ` ${from}` : ''}${held ? ' held' : ''}${facts}`;
}
