/**
 * Module hooks that give Node the JavaScript of TypeScript files. Types are stripped, not checked: `npm run check` does
 * that. What was compiled once is kept in `.tap/typescript` with the hash of the source and of what it is compiled by, so
 * that of two hundred test files, each a process of its own, hardly one has to load the compiler.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { threadId } from 'node:worker_threads';

const root = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);
const kept = join(root, '.tap/typescript');
/** What the result depends on besides the source. */
const compiler = ['package-lock.json', 'tsconfig.json', 'scripts/typescript-hooks.mjs'].map((name) =>
  readFileSync(join(root, name)),
);

mkdirSync(kept, { recursive: true });

/** Sources name each other as what they are compiled to, `.js`. */
export async function resolve(specifier, context, next) {
  const isRelative = /^(\.{1,2}\/|file:)/.test(specifier);
  if (!isRelative || !specifier.endsWith('.js') || !context.parentURL?.endsWith('.ts')) {
    return next(specifier, context);
  }
  return next(specifier.replace(/\.js$/, '.ts'), context).catch(() => next(specifier, context));
}

export async function load(url, context, next) {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) return next(url, context);
  return { format: 'module', source: compiled(fileURLToPath(url)), shortCircuit: true };
}

function compiled(file) {
  const source = readFileSync(file);
  const hash = createHash('sha256');
  for (const part of [...compiler, source]) hash.update(part);
  const mark = `\n//${hash.digest('hex')}`;
  const path = join(kept, `${relative(root, file).replaceAll('/', '+')}.js`);
  const before = existsSync(path) ? readFileSync(path, 'utf8') : '';
  if (before.endsWith(mark)) return before;
  const code = transpile(file, source.toString()) + mark;
  // Another process, or thread of this one, may be at the same file: whoever reads finds a whole one or none.
  const own = `${path}.${process.pid}.${threadId}`;
  writeFileSync(own, code);
  renameSync(own, path);
  return code;
}

function transpile(file, source) {
  const ts = require('typescript');
  const { config, error } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile);
  if (error) throw new Error(ts.flattenDiagnosticMessageText(error.messageText, '\n'));
  const { options } = ts.convertCompilerOptionsFromJson(config.compilerOptions, root);
  // One file by itself does not tell TypeScript that package.json says `module`.
  const asModule = { module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler };
  const inline = { sourceMap: false, inlineSourceMap: true, inlineSources: true };
  const { outputText, diagnostics } = ts.transpileModule(source, {
    fileName: file,
    compilerOptions: { ...options, ...asModule, ...inline },
    reportDiagnostics: true,
  });
  const [problem] = diagnostics ?? [];
  if (problem)
    throw new SyntaxError(`${file}: ${ts.flattenDiagnosticMessageText(problem.messageText, '\n')}`);
  return outputText;
}
