/**
 * The layers of `src` and what each may import, who may touch time, and who native code. Imports run one
 * way: wire ← flow ← { dataplane, table, midcom } ← { switch, shell, core } ← { lab, cli }.
 */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import t from 'tap';
import ts from 'typescript';
import { placeOf, ROOT, resolveImport, sourceFiles, walk } from './source.js';

const LOWER = ['wire', 'flow', 'platform'];
const MIDDLE = ['dataplane', 'table', 'midcom'];
const ROLES = ['switch', 'shell', 'core'];

/** Layers that a layer may import besides itself. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  platform: [],
  wire: [],
  flow: ['wire'],
  dataplane: LOWER,
  table: LOWER,
  midcom: LOWER,
  switch: [...LOWER, ...MIDDLE],
  shell: [...LOWER, ...MIDDLE],
  core: [...LOWER, ...MIDDLE],
  lab: [...LOWER, ...MIDDLE, ...ROLES],
  cli: [...LOWER, ...MIDDLE, ...ROLES, 'lab'],
};

/** Layers without I/O, and the only things from outside that they may have. */
const PURE: Readonly<Record<string, readonly string[]>> = { wire: ['node:net'], flow: [] };

const TOP = 'cli';
const CLOCK = 'src/platform/clock.ts';
const NATIVE = 'src/platform/ffi.ts';
const TIME_MODULES = /^(node:)?(timers(\/promises)?|perf_hooks)$/;
const TIME_CALLS = new Set(['setTimeout', 'setInterval']);
const TIME_MEMBERS =
  /^((globalThis|global)\.)?(Date\.now|performance\.now|process\.hrtime|AbortSignal\.timeout)$/;
const TIME_GLOBALS = /^(globalThis|global)\.(setTimeout|setInterval)$/;

/** In place of a module's name that is not written out. Only the top layer, which may import all, may do so. */
const COMPUTED = '(computed)';

interface Import {
  readonly specifier: string;
  readonly isType: boolean;
  readonly node: ts.Node;
}

function importsOf(file: ts.SourceFile): Import[] {
  const found: Import[] = [];
  walk(file, (node) => {
    if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
      found.push({ specifier: node.moduleSpecifier.text, isType: isTypeImport(node.importClause), node });
    } else if (
      ts.isExportDeclaration(node) &&
      node.moduleSpecifier &&
      ts.isStringLiteral(node.moduleSpecifier)
    ) {
      found.push({ specifier: node.moduleSpecifier.text, isType: node.isTypeOnly, node });
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      const { literal } = node.argument;
      if (ts.isStringLiteral(literal)) found.push({ specifier: literal.text, isType: true, node });
    } else if (ts.isCallExpression(node) && isLoad(node) && node.arguments[0]) {
      const [argument] = node.arguments;
      const specifier = ts.isStringLiteralLike(argument) ? argument.text : COMPUTED;
      found.push({ specifier, isType: false, node });
    }
  });
  return found;
}

function isLoad(node: ts.CallExpression): boolean {
  return node.expression.kind === ts.SyntaxKind.ImportKeyword || node.expression.getText() === 'require';
}

function isTypeImport(clause: ts.ImportClause | undefined): boolean {
  if (!clause) return false;
  if (clause.phaseModifier === ts.SyntaxKind.TypeKeyword) return true;
  const { name, namedBindings } = clause;
  if (name || !namedBindings || !ts.isNamedImports(namedBindings)) return false;
  return namedBindings.elements.length > 0 && namedBindings.elements.every((element) => element.isTypeOnly);
}

const layerOf = (path: string): string => path.split('/')[1] ?? '';

function judgeImport(path: string, one: Import): string | undefined {
  const layer = layerOf(path);
  const target = resolveImport(path, one.specifier);
  if (one.specifier === COMPUTED) return layer === TOP ? undefined : 'a module whose name is not written out';
  if (one.specifier === 'koffi' && path !== NATIVE) return `native code, for ${NATIVE} only`;
  if (TIME_MODULES.test(one.specifier) && path !== CLOCK) return `time, for ${CLOCK} only`;
  const allowed = MAY_IMPORT[layer];
  if (!allowed) return 'a file in no known layer';
  if (!target.startsWith('src/')) {
    const isLocal = one.specifier.startsWith('.');
    if (isLocal) return 'something outside src';
    const pure = PURE[layer];
    return pure && !pure.includes(one.specifier) ? `${layer} imports nothing but its own kind` : undefined;
  }
  const to = layerOf(target);
  if (to === layer || allowed.includes(to)) return undefined;
  // The control protocol speaks of flows as the data path's port describes them.
  if (layer === 'midcom' && target === 'src/dataplane/port.ts' && one.isType) return undefined;
  return `${layer} may not import ${to}`;
}

function judgeTime(path: string, node: ts.Node): boolean {
  if (path === CLOCK) return false;
  if (ts.isCallExpression(node) && ts.isIdentifier(node.expression))
    return TIME_CALLS.has(node.expression.text);
  if (ts.isPropertyAccessExpression(node)) {
    const text = node.getText();
    return TIME_MEMBERS.test(text) || TIME_GLOBALS.test(text);
  }
  return ts.isNewExpression(node) && node.expression.getText() === 'Date' && !node.arguments?.length;
}

function violations(path: string, text: string): string[] {
  const file = ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true);
  const found: string[] = [];
  for (const one of importsOf(file)) {
    const fault = judgeImport(path, one);
    if (fault) found.push(`${placeOf(path, one.node)}: ${fault}`);
  }
  walk(file, (node) => {
    if (judgeTime(path, node)) found.push(`${placeOf(path, node)}: time, for ${CLOCK} only`);
  });
  return found;
}

t.test('imports run one way, and only the clock touches time', async (t) => {
  const paths = sourceFiles();
  t.ok(paths.includes('src/wire/seq.ts'), 'the sources are found');
  const found = paths.flatMap((path) => violations(path, readFileSync(resolve(ROOT, path), 'utf8')));
  t.strictSame(found, []);
});

t.test('the rules see what they must', async (t) => {
  const bad: [path: string, text: string][] = [
    ['src/wire/x.ts', "import { a } from '../flow/state.js';"],
    ['src/wire/x.ts', "import type { A } from '../platform/errors.js';"],
    ['src/wire/x.ts', "import { readFileSync } from 'node:fs';"],
    ['src/wire/x.ts', "import pino from 'pino';"],
    ['src/flow/x.ts', "export * from '../dataplane/port.js';"],
    ['src/flow/x.ts', "import { isIPv4 } from 'node:net';"],
    ['src/flow/x.ts', "import '../platform/clock.js';"],
    ['src/platform/x.ts', "import type { SeqNum } from '../wire/seq.js';"],
    ['src/dataplane/userspace/x.ts', "import { a } from '../../table/port.js';"],
    ['src/table/x.ts', "import type { A } from '../dataplane/port.js';"],
    ['src/midcom/x.ts', "import { a } from '../dataplane/port.js';"],
    ['src/midcom/x.ts', "import { type A, b } from '../dataplane/port.js';"],
    ['src/midcom/x.ts', "import type { A } from '../dataplane/userspace/index.js';"],
    ['src/dataplane/x.ts', "const a = await import('../switch/main.js');"],
    ['src/dataplane/x.ts', "type A = import('../switch/main.js').A;"],
    ['src/shell/x.ts', "import { a } from '../switch/main.js';"],
    ['src/switch/x.ts', "import { a } from '../cli/main.js';"],
    ['src/lab/x.ts', "import { a } from '../cli/main.js';"],
    ['src/cli/x.ts', "import { a } from '../../test/support/x.js';"],
    ['src/elsewhere/x.ts', "import { a } from '../wire/seq.js';"],
    ['src/lab/x.ts', 'const a = await import(name);'],
    ['src/cli/x.ts', "import koffi from 'koffi';"],
    ['src/cli/x.ts', "import { setTimeout } from 'node:timers/promises';"],
    ['src/cli/x.ts', "import { performance } from 'node:perf_hooks';"],
    ['src/cli/x.ts', 'const now = Date.now();'],
    ['src/cli/x.ts', 'const now = Date.now;'],
    ['src/cli/x.ts', 'const now = new Date();'],
    ['src/cli/x.ts', 'setTimeout(() => {}, 1);'],
    ['src/cli/x.ts', 'globalThis.setInterval(() => {}, 1);'],
    ['src/cli/x.ts', 'const now = performance.now();'],
    ['src/cli/x.ts', 'const now = process.hrtime.bigint();'],
    ['src/cli/x.ts', 'fetch(url, { signal: AbortSignal.timeout(5) });'],
    ['src/platform/config.ts', 'setInterval(() => {}, 1);'],
  ];
  for (const [path, text] of bad) t.equal(violations(path, text).length, 1, `${path}: ${text}`);
});

t.test('the rules leave the rest alone', async (t) => {
  const good: [path: string, text: string][] = [
    ['src/wire/x.ts', "import { isIPv4 } from 'node:net'; import { seqNum } from './seq.js';"],
    ['src/flow/x.ts', "import { seqNum } from '../wire/seq.js'; import { a } from './state.js';"],
    [
      'src/dataplane/userspace/x.ts',
      "import { a } from '../port.js'; import { b } from '../../flow/state.js';",
    ],
    ['src/midcom/x.ts', "import type { FlowEvent } from '../dataplane/port.js';"],
    ['src/midcom/x.ts', "import { type FlowEvent, type DataPlane } from '../dataplane/port.js';"],
    ['src/switch/x.ts', "import { a } from '../midcom/port.js'; import { b } from '../platform/clock.js';"],
    [
      'src/cli/x.ts',
      "import { a } from '../lab/lab.js'; import { b } from '../switch/main.js'; import pino from 'pino';",
    ],
    ['src/cli/x.ts', 'const a = await import(name);'],
    ['src/platform/clock.ts', 'setTimeout(() => Date.now(), performance.now());'],
    ['src/platform/ffi.ts', "import koffi from 'koffi';"],
    ['src/shell/x.ts', 'socket.setTimeout(5); const at = new Date(clock.wall()).toISOString();'],
  ];
  for (const [path, text] of good) t.strictSame(violations(path, text), [], `${path}: ${text}`);
});
