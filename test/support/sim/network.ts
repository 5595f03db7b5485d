/** One direction of a link: delay, a line rate with a bounded queue, loss, duplication and reordering. */
import type { EventQueue, Wakeable } from './events.js';
import type { Packet, PacketPool } from './packet.js';
import type { Random } from './random.js';

export interface LegConfig {
  readonly delay: number;
  /** Bytes per millisecond. */
  readonly rate: number;
  /** Bytes that may wait for the line; more is dropped. */
  readonly queue: number;
  readonly loss: number;
  readonly duplication: number;
  /** How often a packet is late by up to `jitter`, and so overtaken. */
  readonly reorder: number;
  readonly jitter: number;
}

const HEADERS = 66;

export class Leg implements Wakeable {
  dropped = 0;
  /** Everything is lost, as on a link to a host without power. */
  dark = false;
  #lineFreeAt = 0;
  #lastArrival = 0;

  constructor(
    readonly config: LegConfig,
    readonly events: EventQueue,
    readonly pool: PacketPool,
    readonly random: Random,
    readonly deliver: (packet: Packet) => void,
  ) {}

  send(packet: Packet): void {
    const { config, random } = this;
    if (config.duplication > 0 && random.chance(config.duplication)) this.#carry(this.pool.clone(packet));
    this.#carry(packet);
  }

  #carry(packet: Packet): void {
    const { config, random } = this;
    const { now } = this.events;
    const waiting = Math.max(0, this.#lineFreeAt - now) * config.rate;
    if (this.dark || (config.loss > 0 && random.chance(config.loss)) || waiting > config.queue) {
      this.dropped++;
      this.pool.release(packet);
      return;
    }
    const departs = Math.max(now, this.#lineFreeAt) + (packet.segment.payloadLength + HEADERS) / config.rate;
    this.#lineFreeAt = departs;
    let arrives = departs + config.delay;
    if (config.reorder > 0 && random.chance(config.reorder)) arrives += random.next() * config.jitter;
    else {
      arrives = Math.max(arrives, this.#lastArrival);
      this.#lastArrival = arrives;
    }
    this.events.schedule(arrives, this, 0, packet);
  }

  wake(_code: number, item: unknown): void {
    this.deliver(item as Packet);
  }
}
