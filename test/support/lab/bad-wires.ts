/**
 * Puts native/wire.c into the legs of a bridged lab: each loses, delays and repeats TCP segments in both directions.
 *
 * What agents and switch say to each other is spared: a shell waits a second for the switch to pair a connection and
 * then relays it for good, which some losses in a row can cause.
 */
import { LAB_LEGS, WIRE } from '../../../src/lab/layout.js';
import { compileNative } from './native.js';
import type { Rig } from './rig.js';

const START_MS = 30_000;
const CONTROL_PORT = 57_626;

/** Of all TCP segments on each leg, in a thousand; a super-frame counts as one. */
export interface Badness {
  readonly seed: number;
  readonly lost: number;
  readonly late: number;
  readonly twice: number;
  /** How late at most. */
  readonly lateUs: number;
}

export interface WireCounts {
  readonly frames: number;
  readonly lost: number;
  readonly late: number;
  /** Late ones that others really went ahead of. */
  readonly overtaken: number;
  readonly twice: number;
  /** Not taken by the far side's interface. */
  readonly refused: number;
}

export async function badWires(
  rig: Rig,
  { seed, lost, late, twice, lateUs }: Badness,
): Promise<{ stop(): Promise<WireCounts> }> {
  const program = await compileNative('wire', rig.folder);
  const pairs = LAB_LEGS.map(({ host }) => [`s-${host}`, `h-${host}`]);
  const lines = pairs.flat().map((name) => `link set ${name} nomaster`);
  await rig.tool(WIRE, ['ip', '-batch', '-'], `${lines.join('\n')}\n`);
  const rates = [seed, lost, late, twice, lateUs, CONTROL_PORT].map(String);
  let last = '';
  const wire = rig.stage.start('wire', WIRE, [program, ...rates, ...pairs.flat()], (line) => {
    last = line;
  });
  await wire.line(/^ready$/, START_MS);
  return {
    stop: async () => {
      await wire.stop();
      return JSON.parse(last) as WireCounts;
    },
  };
}
