/** Which part of a lab fails how, in which phase of a connection, and what may be lost by it. */
import type { Random } from '../sim/random.js';

export const PARTS = ['switch', 'redis', 'shell', 'core'] as const;
export type Part = (typeof PARTS)[number];

/**
 * `kill`: SIGKILL and a restart at once. `stop`: SIGSTOP, and SIGCONT after the pause. `cut`: no packet of its
 * passes for the pause; of the shell's host none at all, of the others those of the control service or of Redis.
 * `link`: the switch's interface towards the part's host is down for the pause, so that routes go with it. `empty`: SIGKILL, and a restart after the pause with nothing of what it had known.
 */
export const FAULTS = ['kill', 'stop', 'cut', 'link', 'empty'] as const;
export type Fault = (typeof FAULTS)[number];

/** `opening`: opened at a random moment around the fault, which so finds them anywhere between SYN and stitched. */
export const PHASES = ['relayed', 'clamping', 'cutting', 'stitched', 'closing', 'opening'] as const;
export type Phase = (typeof PHASES)[number];

export type Path = 'kernel' | 'userspace';

export interface Injection {
  readonly part: Part;
  readonly fault: Fault;
}

/**
 * True where TCP itself would not have kept the connection: its bytes were in a process that is gone. A relayed one
 * is the shell's own, clamped or not, one that is being cut still has bytes there. On the userspace path the state of a drain is in the
 * process that carries its packets; a stitched flow's constants are in Redis, unless that is emptied too. Who connects
 * where no route leads is told so at once.
 */
export function mayLose({ part, fault }: Injection, phase: Phase, path: Path): boolean {
  if (fault === 'link') return phase === 'opening';
  if (fault !== 'kill' && fault !== 'empty') return false;
  const isRelayed = phase === 'relayed' || phase === 'clamping';
  if (part === 'shell') return isRelayed || phase === 'cutting' || phase === 'opening';
  if (part !== 'switch' || path !== 'userspace') return false;
  return fault === 'kill' ? phase === 'cutting' || phase === 'opening' : !isRelayed;
}

/** Every fault that each part can have. */
export const INJECTIONS: readonly Injection[] = PARTS.flatMap((part) =>
  FAULTS.filter((fault) => fault !== 'link' || part === 'shell' || part === 'core').map((fault) => ({
    part,
    fault,
  })),
);

/** Every fault of every part `times` times, in an order that the seed makes. */
export function sequence(
  random: Random,
  times: number,
  wanted: (injection: Injection) => boolean,
): Injection[] {
  const all: Injection[] = [];
  for (let i = 0; i < times; i++) {
    const once = INJECTIONS.filter(wanted);
    for (let left = once.length; left > 0; left--)
      all.push(...once.splice(random.int(0, once.length - 1), 1));
  }
  return all;
}
