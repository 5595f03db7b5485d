/**
 * Starts of a switch whose table is in Redis: killed, with or without what it left in the kernel, and started again.
 * A start lasts from the making of its process until its admin socket takes a connection, which is the last thing
 * that it opens: packets are carried and agents can connect before that.
 */
import { readFileSync, statSync } from 'node:fs';
import { removePinsOf } from '#suture/dataplane/kernel/program.js';
import type { Program } from '#suture/lab/program.js';
import { accepts, type ConfigObject } from '#suture/lab/stage.js';
import type { Lab } from './labs.js';

const START_MS = 60_000;
const POLL_MS = 2;

export interface Start {
  readonly seconds: number;
  /** Flows by what became of them: the switch's own counters. */
  readonly found: Readonly<Record<string, number>>;
  /** Of the process, so far; MiB. */
  readonly memoryMiB: number;
}

export class TableSwitch {
  #program: Program | undefined;

  constructor(
    private readonly lab: Lab,
    private readonly config: ConfigObject,
  ) {}

  async start(): Promise<Start> {
    const { clock, stage } = this.lab;
    const began = clock.monotonic();
    const starting = stage.startSwitch(this.config);
    const failed = starting.then(
      () => false,
      () => true,
    );
    let [ready, isOver] = [0, false];
    void failed.then((yes) => {
      isOver = yes;
    });
    while (!isOver && clock.monotonic() - began < START_MS) {
      if (await accepts(stage.adminSocket)) {
        ready = clock.monotonic();
        break;
      }
      await clock.sleep(POLL_MS);
    }
    this.#program = await starting;
    const { counters } = await stage.admin.stats();
    const ofStart = Object.entries(counters).filter(([name]) => name.startsWith('start.'));
    return {
      seconds: (ready - began) / 1000,
      found: Object.fromEntries(ofStart.map(([name, count]) => [name.slice('start.'.length), count])),
      memoryMiB: this.memoryMiB(),
    };
  }

  /** The most that the process has had in memory. */
  memoryMiB(): number {
    const status = readFileSync(`/proc/${this.#program?.pid}/status`, 'latin1');
    return Math.round(Number(/^VmHWM:\s*(\d+)/m.exec(status)?.[1]) / 1024);
  }

  /** As a power failure of the process, or of all the host: then nothing is left in the kernel either. */
  async kill(lost: 'process' | 'host'): Promise<void> {
    this.#program?.kill('SIGKILL');
    await this.#program?.ended;
    if (lost === 'host') removePinsOf(statSync(`/run/netns/${this.lab.namespace('s')}`).ino);
  }
}
