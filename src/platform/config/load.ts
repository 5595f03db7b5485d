/**
 * Reads the config of a role, and writes an effective one back.
 *
 * A file that is not right stops the program before it touches anything: all of its problems are told at
 * once, each with file, line, path of the key, what was found and what is expected.
 */
import { readFileSync } from 'node:fs';
import { type Document, LineCounter, parseAllDocuments, stringify } from 'yaml';
import * as z from 'zod';
import { SutureError } from '../errors.js';
import { ephemeralOverlap, type HostPorts, readHostPorts } from '../host.js';
import { type Problem, problemsOf, problemText } from './problems.js';
import {
  type CoreConfig,
  coreSchema,
  type ShellConfig,
  type SwitchConfig,
  shellSchema,
  switchSchema,
} from './schema.js';

export type Role = 'switch' | 'shell' | 'core';

export interface Configs {
  readonly switch: SwitchConfig;
  readonly shell: ShellConfig;
  readonly core: CoreConfig;
}

export interface LoadOptions {
  /** What the kernel may hand out, against which `ports` is checked; of this host by default. */
  readonly hostPorts?: HostPorts | undefined;
}

const ADMIN_DIRECTORY = '/run/suture';

/** Rejects nothing silently: throws SUT_CONFIG_UNREADABLE or SUT_CONFIG_INVALID. */
export function loadConfig<R extends Role>(role: R, file: string, options: LoadOptions = {}): Configs[R] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const message = `the config file ${file} could not be read (${why}): give an existing, readable file with -c`;
    throw new SutureError('SUT_CONFIG_UNREADABLE', message, { cause: error });
  }
  return parseConfig(role, file, text, options);
}

/** `file` is only used in messages. */
export function parseConfig<R extends Role>(
  role: R,
  file: string,
  text: string,
  options: LoadOptions = {},
): Configs[R] {
  const lines = new LineCounter();
  const document = readYaml(file, text, lines);
  const fail = (problems: readonly Problem[]): never => {
    throw invalid(problems.map((problem) => problemText(problem, file, document, lines)));
  };
  const found: unknown = document.toJS();
  const parsers: { readonly [K in Role]: () => Configs[K] } = {
    switch: () => {
      const config = check(switchSchema, found, fail);
      return { ...config, admin: config.admin ?? `${ADMIN_DIRECTORY}/${config.name}.sock` };
    },
    shell: () => {
      const config = check(shellSchema, found, fail);
      const host = 'hostPorts' in options ? options.hostPorts : readHostPorts();
      const problem = host && portsProblem(config, host);
      return problem ? fail([problem]) : config;
    },
    core: () => {
      const config = check(coreSchema, found, fail);
      return { ...config, calls: config.calls ?? 'any' };
    },
  };
  return parsers[role]();
}

/** An effective config as YAML that reads back to the same. */
export function printConfig<R extends Role>(role: R, config: Configs[R]): string {
  const printers: { readonly [K in Role]: (value: Configs[K]) => unknown } = {
    switch: (value) => z.encode(switchSchema, value),
    shell: (value) => z.encode(shellSchema, value),
    core: (value) => z.encode(coreSchema, value),
  };
  return stringify(printers[role](config));
}

function readYaml(file: string, text: string, lines: LineCounter): Document {
  const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, stringKeys: true });
  const [document, ...others] = Array.isArray(documents) ? documents : [];
  if (!document) throw invalid([`${file}: found an empty file, expected a mapping`]);
  const complaints = [...document.errors, ...document.warnings].map(({ pos, message }) => {
    const { line } = lines.linePos(pos[0]);
    return `${file}:${line}: not valid YAML: ${message} (an IPv6 endpoint needs quotes: "[fd00::1]:80")`;
  });
  if (complaints.length > 0) throw invalid(complaints);
  if (others.length > 0) throw invalid([`${file}: found ${documents.length} YAML documents, expected one`]);
  return document;
}

function check<S extends z.ZodType>(
  schema: S,
  found: unknown,
  fail: (problems: Problem[]) => never,
): z.output<S> {
  const result = schema.safeParse(found);
  return result.success ? result.data : fail(problemsOf(result.error.issues));
}

/** A source port that the kernel hands to someone else is not the shell's to reserve. */
function portsProblem({ ports }: ShellConfig, host: HostPorts): Problem | undefined {
  const overlap = ephemeralOverlap(ports, host);
  if (!overlap) return undefined;
  const range = (r: { from: number; to: number }): string => `${r.from}-${r.to}`;
  return {
    path: ['ports'],
    expected:
      `ports that the kernel does not hand out by itself: ${range(overlap)} lies in net.ipv4.ip_local_port_range ` +
      `(${range(host.ephemeral)}); choose others, or run ` +
      `\`sysctl -w net.ipv4.ip_local_reserved_ports=${[...host.reserved, ports].map(range).join(',')}\``,
  };
}

function invalid(lines: readonly string[]): SutureError {
  const head = lines.length === 1 ? '' : `${lines.length} problems:\n`;
  return new SutureError('SUT_CONFIG_INVALID', head + lines.join('\n'));
}
