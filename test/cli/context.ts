/** A context whose output is kept and whose programs are fakes. */
import { EventEmitter } from 'node:events';
import type { CliContext } from '../../src/cli/context.js';
import type { DoctorHost } from '../../src/cli/doctor/host.js';
import { main } from '../../src/cli/main.js';
import type { Programs } from '../../src/cli/programs.js';
import { systemClock } from '../../src/platform/clock.js';

class Sink {
  text = '';
  constructor(private readonly onWrite: () => void = () => {}) {}
  write(text: string): void {
    this.text += text;
    this.onWrite();
  }
}

export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
  /** Standard output as the one JSON document that it holds. */
  readonly json: unknown;
}

export interface Setting {
  readonly programs?: Partial<Programs>;
  readonly adminDirectory?: string;
  readonly signals?: EventEmitter;
  readonly host?: DoctorHost;
  /** Called whenever something was printed on standard output. */
  readonly onOutput?: () => void;
}

const unused = (name: string) => (): never => {
  throw new Error(`${name} was not expected to be used`);
};

const nothing: Programs = {
  switch: unused('switch'),
  shell: unused('shell'),
  core: unused('core'),
  discover: unused('discover'),
  lab: unused('lab'),
  demo: unused('demo'),
  bench: unused('bench'),
};

const nowhere: DoctorHost = {
  nodeVersion: '0.0.0',
  kernelRelease: '0.0',
  read: async () => undefined,
  exists: async () => false,
  isBpffs: () => false,
  libbpfVersion: unused('libbpfVersion'),
  run: unused('run'),
  load: unused('load'),
};

/** A wall clock that stands still. */
const NOW = Date.UTC(2026, 0, 2, 3, 5, 5);

export async function suture(argv: readonly string[], setting: Setting = {}): Promise<Outcome> {
  const stdout = new Sink(setting.onOutput);
  const stderr = new Sink();
  const context: CliContext = {
    stdout,
    stderr,
    env: { SUTURE_LOG: 'silent' },
    clock: { ...systemClock, wall: () => NOW },
    signals: setting.signals ?? new EventEmitter(),
    adminDirectory: setting.adminDirectory ?? '/nowhere',
    programs: { ...nothing, ...setting.programs },
    host: setting.host ?? nowhere,
  };
  const code = await main(argv, context);
  return {
    code,
    out: stdout.text,
    err: stderr.text,
    get json() {
      return JSON.parse(stdout.text);
    },
  };
}
