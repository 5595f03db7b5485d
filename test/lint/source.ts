/** The sources as the compiler sees them, for tests that hold rules over all of `src`. */
import { readdirSync } from 'node:fs';
import { dirname, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Paths of all TypeScript files below `src`, from the root, with `/`. Generated ones too. */
export function sourceFiles(): string[] {
  return readdirSync(resolve(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `src/${name.split(sep).join('/')}`)
    .sort();
}

/**
 * A program of all files in `src`. `extra` are files that only exist here: samples that a rule must catch,
 * by their path from the root.
 */
export function createProgram(
  extra: Readonly<Record<string, string>> = {},
  roots = sourceFiles(),
): ts.Program {
  const { config } = ts.readConfigFile(resolve(ROOT, 'tsconfig.json'), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent({ ...config, include: [], files: [] }, ts.sys, ROOT);
  const host = ts.createCompilerHost({ ...options, noEmit: true });
  const samples = new Map(Object.entries(extra).map(([path, text]) => [resolve(ROOT, path), text]));
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (path) => samples.has(path) || fileExists.call(host, path);
  host.readFile = (path) => samples.get(path) ?? readFile.call(host, path);
  host.getSourceFile = (path, target, ...rest) => {
    const text = samples.get(path);
    return text === undefined
      ? getSourceFile.call(host, path, target, ...rest)
      : ts.createSourceFile(path, text, target, true);
  };
  const names = [...roots.map((path) => resolve(ROOT, path)), ...samples.keys()];
  return ts.createProgram(names, { ...options, noEmit: true }, host);
}

/** Source files of a program that stand below `src`, with their paths from the root. */
export function ownFiles(program: ts.Program): [path: string, file: ts.SourceFile][] {
  return program
    .getSourceFiles()
    .map((file): [string, ts.SourceFile] => [relative(ROOT, file.fileName).split(sep).join('/'), file])
    .filter(([path]) => path.startsWith('src/'));
}

export function walk(node: ts.Node, visit: (node: ts.Node) => void): void {
  visit(node);
  ts.forEachChild(node, (child) => walk(child, visit));
}

/** `src/a/b.ts:12: text of the node` */
export function placeOf(path: string, node: ts.Node): string {
  const { line } = node.getSourceFile().getLineAndCharacterOfPosition(node.getStart());
  return `${path}:${line + 1}: ${node.getText().replace(/\s+/g, ' ').slice(0, 80)}`;
}

/** A relative import as a path from the root, with `.ts`; other specifiers as they are. */
export function resolveImport(from: string, specifier: string): string {
  if (!specifier.startsWith('.')) return specifier;
  const path = relative(ROOT, resolve(ROOT, dirname(from), specifier))
    .split(sep)
    .join('/');
  return path.replace(/\.js$/, '.ts');
}
