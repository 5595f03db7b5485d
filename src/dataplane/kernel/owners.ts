/** Whose ports the program carries: the map `owners`, one entry an address with a bit for each port. */
import type { OwnedPorts } from '../../flow/endpoints.js';
import { addressWords } from '../../wire/endpoint.js';
import { LAYOUT } from './layout.js';
import type { BpfMap } from './libbpf.js';

interface Range {
  readonly from: number;
  readonly to: number;
  /** How often it was asked for; several agents may name the same. */
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
    const bits = Buffer.alloc(LAYOUT.owned.size);
    for (const { from, to } of ranges) {
      // In words of 32 bits, little endian, as the program reads them.
      for (let port = from; port <= to; port++) bits[port >> 3] |= 1 << (port & 7);
    }
    this.map.update(key, bits);
  }
}
