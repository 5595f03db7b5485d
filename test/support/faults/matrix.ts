/** The failure matrix: what every fault cost in every phase. */
import type { LoadResult } from './load.js';
import { FAULTS, type Injection, mayLose, PARTS, type Path, PHASES, type Phase } from './plan.js';

interface Cell {
  injections: number;
  connections: number;
  lost: number;
  /** Lost without a reset or a FIN: the end would have waited for ever. */
  silent: number;
  bytes: number;
  worstMs: number;
}

const FAULT_NAMES = {
  kill: 'SIGKILL, restart',
  stop: 'SIGSTOP',
  cut: 'network cut',
  link: 'link down',
  empty: 'restart empty',
} as const;

export class Matrix {
  readonly #cells = new Map<string, Cell>();

  constructor(readonly path: Path) {}

  add(injection: Injection, results: readonly LoadResult[]): void {
    for (const phase of PHASES) {
      const mine = results.filter((result) => result.phase === phase);
      if (mine.length === 0) continue;
      const cell = this.#cell(injection, phase);
      cell.injections += 1;
      cell.connections += mine.length;
      for (const { outcome, bytes, worstMs } of mine) {
        if (outcome !== 'ok' && outcome !== 'wrong') cell.lost += 1;
        if (outcome === 'silence') cell.silent += 1;
        if (outcome === 'wrong') cell.bytes += Math.max(1, bytes);
        if (outcome === 'ok') cell.worstMs = Math.max(cell.worstMs, worstMs);
      }
    }
  }

  /** A line for each cell that lost what it should have kept. */
  failures(): string[] {
    return this.#each((injection, phase, { lost, silent, bytes }) => {
      const name = `${this.path}: ${injection.part}, ${FAULT_NAMES[injection.fault]}, ${phase}`;
      const unkept = lost > 0 && !mayLose(injection, phase, this.path) ? [`${lost} connections lost`] : [];
      // When the userspace path's process is gone nobody is left to tell an end that only listens.
      const mayHang = injection.part === 'switch' && mayLose(injection, phase, this.path);
      const hung = silent > 0 && !mayHang ? [`${silent} ends heard nothing`] : [];
      const wrong = bytes > 0 ? [`${bytes} bytes wrong`] : [];
      const all = [...unkept, ...hung, ...wrong];
      return all.length > 0 ? [`${name}: ${all.join(', ')}`] : [];
    });
  }

  /** As markdown. `*`: a loss that TCP could not have kept from happening either. */
  table(): string {
    const lines = [
      '| part | fault | phase | injections | connections | lost | bytes lost | longest pause |',
      '| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |',
      ...this.#each((injection, phase, cell) => {
        const { part, fault } = injection;
        const mark = cell.lost > 0 && mayLose(injection, phase, this.path) ? '*' : '';
        const pause = cell.lost === cell.connections ? '–' : `${(cell.worstMs / 1000).toFixed(2)} s`;
        const counts = [cell.injections, cell.connections, `${cell.lost}${mark}`, cell.bytes];
        return [`| ${part} | ${FAULT_NAMES[fault]} | ${phase} | ${counts.join(' | ')} | ${pause} |`];
      }),
    ];
    return lines.join('\n');
  }

  #cell({ part, fault }: Injection, phase: Phase): Cell {
    const key = `${part} ${fault} ${phase}`;
    const cell = this.#cells.get(key) ?? {
      injections: 0,
      connections: 0,
      lost: 0,
      silent: 0,
      bytes: 0,
      worstMs: 0,
    };
    this.#cells.set(key, cell);
    return cell;
  }

  #each(work: (injection: Injection, phase: Phase, cell: Cell) => string[]): string[] {
    return PARTS.flatMap((part) =>
      FAULTS.flatMap((fault) =>
        PHASES.flatMap((phase) => {
          const cell = this.#cells.get(`${part} ${fault} ${phase}`);
          return cell ? work({ part, fault }, phase, cell) : [];
        }),
      ),
    );
  }
}
