/** Logs: JSON lines on standard error, through pino. Standard output stays free for what a command prints. */
import { type DestinationStream, destination, type Logger, pino, stdTimeFunctions } from 'pino';

export type { Logger } from 'pino';

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface LogOptions {
  readonly level: LogLevel;
  /** Fields of every line: the role, the name of the program in its config. */
  readonly fields?: Readonly<Record<string, unknown>>;
  readonly env?: NodeJS.ProcessEnv;
  readonly stream?: DestinationStream;
}

/** SUTURE_LOG, when it names a level, wins over the config: it is there for a quick look. */
export function createLog({ level, fields = {}, env = process.env, stream }: LogOptions): Logger {
  const wanted = LOG_LEVELS.find((known) => known === env.SUTURE_LOG);
  return pino(
    {
      level: wanted ?? level,
      base: { pid: process.pid, ...fields },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    // Synchronous, so that the last line before a crash is not lost.
    stream ?? destination({ fd: 2, sync: true }),
  );
}

/** A log that says nothing, for tests and for commands that report in another way. */
export function silentLog(): Logger {
  return pino({ level: 'silent' });
}
