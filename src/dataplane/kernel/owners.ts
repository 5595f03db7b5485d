/** Whose ports the program carries: the map `owners`, one entry an address, and how often each range was asked for. */
import type { OwnedPorts } from '../../flow/endpoints.js';
import { SutureError } from '../../platform/errors.js';
import { addressWords } from '../../wire/endpoint.js';
import { LAYOUT, MAX_PORT_RANGES } from './layout.js';
import type { BpfMap } from './libbpf.js';

interface Range {
  readonly from: number;
  readonly to: number;
  uses: number;
}

export class Owners {
  private readonly ranges = new Map<string, Range[]>();

  constructor(private readonly map: BpfMap) {}

  add({ address, from, to }: OwnedPorts): void {
    const ranges = this.ranges.get(address) ?? [];
    const known = ranges.find((range) => range.from === from && range.to === to);
    if (known) {
      known.uses++;
      return;
    }
    if (ranges.length === MAX_PORT_RANGES) {
      const message = `${address} has ${ranges.length} port ranges already, ${MAX_PORT_RANGES} fit; join some of them`;
      throw new SutureError('SUT_LIMIT', message);
    }
    const more = [...ranges, { from, to, uses: 1 }];
    this.write(address, more);
    this.ranges.set(address, more);
  }

  remove({ address, from, to }: OwnedPorts): void {
    const ranges = this.ranges.get(address) ?? [];
    const known = ranges.find((range) => range.from === from && range.to === to);
    if (!known || --known.uses > 0) return;
    const fewer = ranges.filter((range) => range !== known);
    this.write(address, fewer);
    this.ranges.set(address, fewer);
  }

  private write(address: string, ranges: readonly Range[]): void {
    const words = addressWords(address);
    if (!words) throw new TypeError(`not an address: ${address}`);
    const key = Buffer.alloc(16);
    words.forEach((word, i) => void key.writeUInt32BE(word, 4 * i));
    if (ranges.length === 0) {
      this.map.delete(key);
      return;
    }
    const { size, count, range: at } = LAYOUT.owned;
    const value = Buffer.alloc(size);
    value.writeUInt32LE(ranges.length, count);
    ranges.forEach(({ from, to }, i) => {
      value.writeUInt16LE(from, at + 4 * i);
      value.writeUInt16LE(to, at + 4 * i + 2);
    });
    this.map.update(key, value);
  }
}
