/** What is read from captured packets to make the next one by hand. */
import { parseEndpoint } from '../../../../src/wire/endpoint.js';
import { TcpFlag } from '../../../../src/wire/segment.js';
import { type SeqNum, seqMax } from '../../../../src/wire/seq.js';
import type { Captured } from '../capture.js';

const { Syn, Rst } = TcpFlag;

export function endpoint(text: string): { address: string; port: number } {
  const found = parseEndpoint(text);
  if (!found) throw new Error(`not an endpoint: ${text}`);
  return found;
}

/** Where a sender stands after these packets: what comes next, what it expects. */
export function nextOf(sent: readonly Captured[]): {
  seq: SeqNum;
  ack: SeqNum;
  tsval: number;
  tsecr: number;
} {
  const plain = sent.map(({ segment }) => segment).filter((s) => !s.has(Rst) && !s.has(Syn));
  const last = plain.at(-1);
  if (!last) throw new Error('nothing was sent');
  const { ack, tsval, tsecr } = last;
  return { seq: plain.reduce((most, s) => seqMax(most, s.end), last.end), ack, tsval, tsecr };
}

export function stamps({ tsval, tsecr }: { tsval: number; tsecr: number }): Buffer {
  const options = Buffer.from([1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0]);
  options.writeUInt32BE(tsval, 4);
  options.writeUInt32BE(tsecr, 8);
  return options;
}
