/** The ports whose packets the data path carries. A packet that matches none is the host's own business. */
import { addressWords } from '../wire/endpoint.js';
import type { Tuple } from '../wire/tuple.js';
import type { OwnedPorts } from './endpoints.js';

interface Owned {
  readonly words: Uint32Array;
  readonly ports: OwnedPorts;
  /** How often it was asked for; several agents may name the same. */
  uses: number;
}

export class Ownership {
  private readonly ranges: Owned[] = [];

  add(ports: OwnedPorts): void {
    const known = this.find(ports);
    if (known) {
      known.uses++;
      return;
    }
    const words = addressWords(ports.address);
    if (words === undefined) throw new TypeError(`not an address: ${ports.address}`);
    this.ranges.push({ words, ports, uses: 1 });
  }

  /** Returns true when nobody asks for these ports any more. */
  remove(ports: OwnedPorts): boolean {
    const known = this.find(ports);
    if (!known || --known.uses > 0) return false;
    this.ranges.splice(this.ranges.indexOf(known), 1);
    return true;
  }

  ownsSource(tuple: Tuple): boolean {
    return this.owns(tuple, 0, tuple.sourcePort);
  }

  ownsDestination(tuple: Tuple): boolean {
    return this.owns(tuple, 4, tuple.destinationPort);
  }

  private owns(tuple: Tuple, at: number, port: number): boolean {
    const { words } = tuple;
    for (const range of this.ranges) {
      const own = range.words;
      if (
        port >= range.ports.from &&
        port <= range.ports.to &&
        own[3] === words[at + 3] &&
        own[2] === words[at + 2] &&
        own[1] === words[at + 1] &&
        own[0] === words[at]
      ) {
        return true;
      }
    }
    return false;
  }

  private find(ports: OwnedPorts): Owned | undefined {
    return this.ranges.find(
      ({ ports: p }) => p.address === ports.address && p.from === ports.from && p.to === ports.to,
    );
  }
}
