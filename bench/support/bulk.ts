/** Bulk transfers with both directions at full speed, every byte compared, as both of their ends report them. */
import type { Program } from '#suture/lab/program.js';
import { endpointOf } from '#suture/lab/stage.js';
import { asSutureError } from '#suture/platform/errors.js';
import type { Lab } from './labs.js';

export const BULK_PORT = 5203;
const START_MS = 10_000;
const REPORT_MS = 60_000;

/** Pauses below this are not reported. */
export const SHORTEST_PAUSE_MS = 0.2;

/** What one end saw. Times are milliseconds since `start`, which is of the wall clock. */
export interface EndReport {
  readonly end: 'peer' | 'core';
  readonly seed: number;
  readonly local: string;
  readonly start: number;
  readonly ms: number;
  readonly sent: number;
  readonly received: number;
  /** Offset of the first wrong byte; negative: none. */
  readonly wrongAt: number;
  readonly retrans: readonly Growth[];
  readonly hosts: Readonly<Record<string, readonly Growth[]>>;
  readonly pauses: readonly (readonly [ms: number, length: number])[];
}

export type Growth = readonly [ms: number, by: number];

export interface BulkReport {
  readonly peer: EndReport;
  readonly core: EndReport;
}

/** A server in B and transfers to it; one at a time. */
export class BulkRunner {
  readonly #reports: EndReport[] = [];
  readonly #server: Program;
  #seed = 0;

  private constructor(
    readonly lab: Lab,
    readonly program: string,
  ) {
    const argv = [program, 'server', endpointOf('b', BULK_PORT)];
    this.#server = lab.start('bulk server', 'b', argv, (line, stream) => {
      if (stream === 'stdout' && line.startsWith('{')) this.#reports.push(JSON.parse(line) as EndReport);
    });
  }

  static async start(lab: Lab, program: string): Promise<BulkRunner> {
    const runner = new BulkRunner(lab, program);
    await runner.#server.line(/^ready$/, START_MS);
    return runner;
  }

  /** A message instead of the reports when the transfer did not come to its end. */
  async transfer(to: string, ms: number, snmp: readonly string[] = []): Promise<BulkReport | string> {
    this.#seed += 1;
    const seed = this.#seed;
    try {
      const argv = [this.program, 'client', to, String(ms), String(seed), ...snmp];
      const [line = ''] = await this.lab.output('bulk client', 'e', argv, ms + REPORT_MS);
      const peer = JSON.parse(line) as EndReport;
      return { peer, core: await this.#reportOf(seed) };
    } catch (error) {
      return asSutureError(error).message;
    }
  }

  async #reportOf(seed: number): Promise<EndReport> {
    let found: EndReport | undefined;
    const there = async (): Promise<boolean> => {
      found = this.#reports.find((report) => report.seed === seed);
      return found !== undefined;
    };
    await this.lab.stage.until(
      there,
      REPORT_MS,
      () => `no report of the bulk server: ${this.#server.output}`,
    );
    return found as EndReport;
  }
}
