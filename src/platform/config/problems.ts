/** Turns what the YAML parser and the schema complain about into lines that a person can act on. */
import { type Document, isMap, isNode, isPair, isScalar, type LineCounter, type Node } from 'yaml';
import type { core } from 'zod';

export interface Problem {
  readonly path: readonly PropertyKey[];
  /** What the value should be. */
  readonly expected: string;
  /** Set when it is the key that is wrong, and not its value. */
  readonly unknownKey?: string;
}

/** The problems of a list of zod issues; an unknown key is a problem of its own each. */
export function problemsOf(issues: readonly core.$ZodIssue[], under: readonly PropertyKey[] = []): Problem[] {
  return issues.flatMap((issue): Problem[] => {
    const path = [...under, ...issue.path];
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({ path, expected: issue.message, unknownKey: key }));
    }
    if (issue.code === 'invalid_union') {
      // The alternative that came furthest is the one that was meant: its complaint lies below the value
      // itself, or it took the value for a mapping and did not know a key.
      const meant = issue.errors.find(
        (branch) => !branch.some((one) => one.path.length === 0 && one.code !== 'unrecognized_keys'),
      );
      if (meant) return problemsOf(meant, path);
    }
    return [{ path, expected: issue.message }];
  });
}

/** `agents[0].role` */
function pathText(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === 'number') return `${text}[${part}]`;
    return text === '' ? String(part) : `${text}.${String(part)}`;
  }, '');
}

/** A value as it is shown: short, and without the credentials that a URL may carry. */
function showValue(value: unknown): string {
  if (value === undefined || value === null) return 'nothing';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (typeof value === 'object') return 'a mapping';
  if (typeof value !== 'string') return String(value);
  const text = JSON.stringify(hideCredentials(value));
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}

/** A URL as it may be shown. A password that is not encoded may hold any character, "/" and "@" included. */
export function hideCredentials(text: string): string {
  return text.replace(/\/\/.*@/, '//…@').replace(/(\w*password=)[^&]*/gi, '$1…');
}

const SECRETS: ReadonlySet<PropertyKey | undefined> = new Set(['password', 'key']);

/** `FILE:LINE: PATH: found X, expected Y` */
export function problemText(problem: Problem, file: string, document: Document, lines: LineCounter): string {
  const { path, expected, unknownKey } = problem;
  const full = unknownKey === undefined ? path : [...path, unknownKey];
  const line = lineOf(document, full, lines, unknownKey !== undefined);
  const place = line === undefined ? file : `${file}:${line}`;
  const where = pathText(full) || 'the whole file';
  if (unknownKey !== undefined) return `${place}: ${where}: found an unknown key, expected ${expected}`;
  const value = plainAt(document, path);
  const isSecret = SECRETS.has(path.at(-1)) && value !== undefined;
  const found = isSecret ? 'a value that is not shown' : showValue(value);
  return `${place}: ${where}: found ${found}, expected ${expected}`;
}

function plainAt(document: Document, path: readonly PropertyKey[]): unknown {
  let value: unknown = document.toJS();
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
    value = Reflect.get(value, part);
  }
  return value;
}

/** The line of the value at `path`, or of the nearest mapping around it when it is not there. */
function lineOf(
  document: Document,
  path: readonly PropertyKey[],
  lines: LineCounter,
  ofKey: boolean,
): number | undefined {
  const lineAt = (node: Node | null | undefined): number | undefined =>
    node?.range ? lines.linePos(node.range[0]).line : undefined;
  if (ofKey) {
    const around = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true);
    const pair = isMap(around)
      ? around.items.find(
          (item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(path.at(-1)),
        )
      : undefined;
    if (pair && isNode(pair.key)) return lineAt(pair.key);
  }
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true);
    if (isNode(node)) return lineAt(node);
  }
  return lineAt(document.contents as Node | null);
}
