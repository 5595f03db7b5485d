/**
 * To whom the program steers while another switch leads: the map `leaders`, one entry an interface, none while this switch
 * leads; and whose packets, the map `shells`. Both stay with the program when the process ends.
 */
import { addressWords } from '../../wire/endpoint.js';
import type { InterfaceFacts } from '../interface-facts.js';
import { LAYOUT } from './layout.js';
import type { BpfMap } from './libbpf.js';

const { leader: LEADER } = LAYOUT;
const ADDRESS_BYTES = 16;
const MAC_BYTES = 6;

type Link = Pick<InterfaceFacts, 'device' | 'index' | 'mac'>;

export class Steering {
  /** Another switch leads. */
  isOn: boolean;

  constructor(
    private readonly map: (name: 'leaders' | 'shells') => BpfMap,
    private readonly links: readonly Link[],
    shells: readonly string[],
  ) {
    for (const address of shells) map('shells').update(addressKey(address), Buffer.alloc(4));
    const entry = Buffer.alloc(LEADER.size);
    this.isOn = links.some(({ index }) => map('leaders').lookup(indexKey(index), entry));
  }

  /** By interface the leader's MAC address. An interface without one steers nothing, and judges nothing either. */
  set(leader: Readonly<Record<string, string>> | undefined): void {
    this.isOn = leader !== undefined;
    const leaders = this.map('leaders');
    for (const { device, index, mac } of this.links) {
      const key = indexKey(index);
      const to = leader?.[device];
      const entry = Buffer.alloc(LEADER.size);
      if (to !== undefined) {
        entry.writeUInt8(1, LEADER.known);
        macBytes(to).copy(entry, LEADER.macs);
        macBytes(mac).copy(entry, LEADER.macs + MAC_BYTES);
      }
      if (leader) leaders.update(key, entry);
      else leaders.delete(key);
    }
  }
}

function macBytes(mac: string): Buffer {
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}

function indexKey(index: number): Buffer {
  const key = Buffer.alloc(4);
  key.writeUInt32LE(index);
  return key;
}

function addressKey(address: string): Buffer {
  const words = addressWords(address);
  if (!words) throw new TypeError(address);
  const key = Buffer.alloc(ADDRESS_BYTES);
  words.forEach((word, i) => void key.writeUInt32BE(word, 4 * i));
  return key;
}
