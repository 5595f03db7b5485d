/** What a named case is, and what the cases are written with. */
import type { FlowState } from '../../../src/flow/state.js';
import { TcpFlag } from '../../../src/wire/segment.js';
import { type DriverOptions, type From, type Given, INNER, OUTER } from '../../flow/driver.js';
import type { Family, TwinDriver } from './driver.js';
import { type RawPacket, rawFrame } from './frames.js';

const { Psh, Syn } = TcpFlag;
export const TS = { tsval: 120, tsecr: 110 };
export const NOPS = (bytes: number): Buffer => Buffer.alloc(bytes, 1);

export interface Case {
  readonly name: string;
  readonly options?: DriverOptions;
  readonly families?: readonly Family[];
  readonly run: (driver: TwinDriver) => void;
  /** How many steps the kernel keeps a relayed flow that ended. */
  readonly forgetAfter?: number;
  /** The flow's state at the end. */
  readonly state: FlowState | 'gone';
  /** How many packets both sent, at the least. */
  readonly sent?: number;
}

/** A frame on the numbers of the driver. */
export function raw(driver: TwinDriver, from: From, given: Given, more: Partial<RawPacket> = {}): Buffer {
  const { seq, ack, flags, payloadLength, window } = driver.segment(from, given);
  return rawFrame({ tuple: driver.tuples[from], seq, ack, flags, window, length: payloadLength, ...more });
}

export function syn(driver: TwinDriver, from: From, options: number[], flags = 0, ack?: number): void {
  const given = ack === undefined ? { seq: -1, flags: Syn | flags } : { seq: -1, ack, flags: Syn | flags };
  driver.twin.receiveFrame(raw(driver, from, given, { options: Buffer.from(options) }), driver.now);
}

export const MSS = [2, 4, 5, 0xb4];
export const TIMESTAMPS = [1, 1, 8, 10, 0, 0, 0, 100, 0, 0, 0, 0];
export const SACK_PERMITTED = [1, 1, 4, 2];

/** All four SYNs by hand, then acks; the inner connection is paired between. */
export function handshakes(driver: TwinDriver, given: Partial<Record<From, [number[], number?]>>): void {
  const one = (from: From, ack?: number): void => {
    const [options, flags] = given[from] ?? [MSS];
    syn(driver, from, options, flags, ack);
  };
  one('E');
  one('A>E', 0);
  driver.send('E', { ack: 0 });
  driver.pairAs('f', OUTER, INNER, driver.now);
  one('A>B');
  one('B', 0);
  driver.send('A>B', { ack: 0 });
}

/** Data, retransmissions and acks on a stitched flow, each way. */
export function talk(driver: TwinDriver): void {
  driver.send('E', { seq: 150, ack: 0, len: 200, flags: Psh, ...TS });
  driver.send('B', { seq: 0, ack: 350, window: 1, ...TS });
  driver.send('B', { seq: 0, ack: 350, len: 700, ...TS });
  driver.send('E', { seq: 350, ack: 700, window: 0, ...TS });
  driver.send('E', { seq: 100, ack: 700, len: 250, ...TS });
  driver.send('E', { seq: 349, ack: 700, len: 1, ...TS });
  driver.send('A>E', { seq: 0, ack: 150, ...TS });
}
