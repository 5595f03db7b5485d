/**
 * A switch of a group whose switches all carry packets (`scaleOut`), while it follows: its data path is told where the
 * leader is, and when a packet misses a copy of its flow, the table looks at once for what is new.
 */
import { networkInterfaces } from 'node:os';
import type { DataPlane } from '../dataplane/port.js';
import type { SwitchConfig } from '../platform/config/index.js';
import type { Logger } from '../platform/log.js';
import type { RedisTable } from '../table/redis/table.js';
import type { Control } from './control.js';
import { leaderOn } from './whereabouts.js';

export interface CarryingParts {
  readonly config: Pick<SwitchConfig, 'interfaces'>;
  readonly plane: DataPlane;
  readonly table: RedisTable;
  readonly control: Control;
  readonly log: Logger;
}

export class Carrying {
  constructor(private readonly parts: CarryingParts) {
    const { control, plane, table } = parts;
    table.onLeader = (links) => this.follow(links);
    plane.onMiss(() => {
      table.look();
      void control.readiness.retry();
    });
  }

  /** This one leads from now on: it judges all that comes, and steers nothing. */
  async lead(): Promise<void> {
    await this.parts.plane.steer(undefined);
  }

  private async follow(links: string): Promise<void> {
    const { config, log, plane } = this.parts;
    const leader = leaderOn(config.interfaces, networkInterfaces(), links);
    const missing = config.interfaces.filter((name) => leader[name] === undefined);
    await plane.steer(leader);
    if (missing.length > 0)
      log.warn({ interfaces: missing }, 'the active switch is not on these links: nothing is steered there');
    else log.info({ leader }, 'carrying beside the active switch');
  }
}
