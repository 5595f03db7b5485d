/**
 * Requests to the kernel's program: each is a run of the control program on a frame that holds it, done when the call
 * returns, and answered by the map `replies`. There is one channel, so one frame serves all.
 */
import { TEARDOWN_MODES } from '../../flow/state.js';
import type { FlowSide, PairRequest } from '../port.js';
import type { Place, Wish } from './flow-store.js';
import { Ask, From, LAYOUT } from './layout.js';
import type { KernelProgram } from './program.js';
import { writeEndpoints, writeOffsets } from './records.js';

const ETHERNET_HEADER = 14;
const ETHERTYPE = { at: 12, ipv4: 0x0800, ipv6: 0x86dd } as const;
/** Room for the largest packet that the control program makes of its request. */
const FRAME_BYTES = 256;
const { request: REQUEST, reply: REPLY } = LAYOUT;

export interface Reply {
  readonly answer: number;
  readonly slot: number;
  readonly generation: number;
  readonly state: number;
  /** Milliseconds until the flow is to be ticked; 0 for not at all. */
  readonly due: number;
}

export class ControlChannel {
  private readonly frame = Buffer.alloc(FRAME_BYTES);
  private readonly key = Buffer.alloc(4);
  private readonly reply = Buffer.alloc(REPLY.size);

  /** `ifindex`: where the routes of what a request sends are looked up from. */
  constructor(
    private readonly program: KernelProgram,
    private readonly ifindex: number,
  ) {}

  /** Gives the flow's place where it was made. */
  pair({ id, outer, inner }: PairRequest): Reply & Place {
    const { frame } = this;
    frame.fill(0);
    const isIpv6 = !writeEndpoints(frame, ETHERNET_HEADER + REQUEST.outer, outer);
    writeEndpoints(frame, ETHERNET_HEADER + REQUEST.inner, inner);
    frame.write(id, ETHERNET_HEADER + REQUEST.id, 'latin1');
    return { ...this.ask(Ask.Pair, isIpv6), isIpv6 };
  }

  enable(place: Place, { offsets, teardown }: Wish): Reply {
    this.frame.fill(0);
    writeOffsets(this.frame, ETHERNET_HEADER, offsets);
    this.writeWord(REQUEST.teardown, TEARDOWN_MODES.indexOf(teardown));
    return this.askAbout(place, Ask.Enable);
  }

  proceed(place: Place, from: FlowSide): Reply {
    this.frame.fill(0);
    this.writeWord(REQUEST.from, from === 'peer' ? From.Peer : From.Core);
    return this.askAbout(place, Ask.Proceed);
  }

  close(place: Place): Reply {
    return this.askPlainly(place, Ask.Close);
  }

  tick(place: Place): Reply {
    return this.askPlainly(place, Ask.Tick);
  }

  /** It has been silent for too long. */
  idle(place: Place): Reply {
    return this.askPlainly(place, Ask.Idle);
  }

  /** Its packets may take other ways from now on. */
  unlearn(place: Place): Reply {
    return this.askPlainly(place, Ask.Unlearn);
  }

  forget(place: Place): Reply {
    return this.askPlainly(place, Ask.Forget);
  }

  private askPlainly(place: Place, ask: Ask): Reply {
    this.frame.fill(0);
    return this.askAbout(place, ask);
  }

  private askAbout(place: Place, ask: Ask): Reply {
    this.writeWord(REQUEST.slot, place.slot);
    this.writeWord(REQUEST.generation, place.generation);
    return this.ask(ask, place.isIpv6);
  }

  private ask(ask: Ask, isIpv6: boolean): Reply {
    const { frame, key, program, reply } = this;
    frame.writeUInt16BE(isIpv6 ? ETHERTYPE.ipv6 : ETHERTYPE.ipv4, ETHERTYPE.at);
    this.writeWord(REQUEST.ask, ask);
    this.writeWord(REQUEST.ifindex, this.ifindex);
    program.control.testRun({ data: frame });
    program.map('replies').lookup(key, reply);
    return {
      answer: reply.readUInt32LE(REPLY.answer),
      slot: reply.readUInt32LE(REPLY.slot),
      generation: reply.readUInt32LE(REPLY.generation),
      state: reply.readUInt32LE(REPLY.state),
      due: reply.readUInt32LE(REPLY.due),
    };
  }

  private writeWord(at: number, value: number): void {
    this.frame.writeUInt32LE(value, ETHERNET_HEADER + at);
  }
}
