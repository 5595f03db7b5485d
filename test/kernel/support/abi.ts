/**
 * Where the fields of bpf/abi.h are, as its compiler says: the header is read for names, and a small C program
 * prints offsets, sizes and numbers. So no test holds a second copy of the layout.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { machine, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../../../src/platform/process.js';

const BPF_SOURCES = fileURLToPath(new URL('../../../bpf/', import.meta.url));

export interface Field {
  readonly offset: number;
  readonly size: number;
}

export interface Abi {
  /** Fields of a struct by name. */
  readonly structs: Readonly<Record<string, Readonly<Record<string, Field>>>>;
  readonly sizes: Readonly<Record<string, number>>;
  /** Enumerators and numeric macros. */
  readonly numbers: Readonly<Record<string, number>>;
}

/** Compiles a C program for this host, on the sources in bpf/, and gives what it prints. */
export async function printedByC(source: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'sut-abi-'));
  try {
    const file = join(folder, 'print.c');
    writeFileSync(file, source);
    const include = ['-I', BPF_SOURCES, `-I/usr/include/${machine()}-linux-gnu`];
    const program = join(folder, 'print');
    await run('clang', ['-Wall', '-Werror', ...include, file, '-o', program], { timeoutMs: 60_000 });
    return (await run(program, [])).stdout;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The types of linux/bpf.h that the headers name. */
export const C_PROLOGUE = `
#include <linux/bpf.h>
#include <stddef.h>
#include <stdio.h>
#include "abi.h"
`;

export async function readAbi(): Promise<Abi> {
  const header = readFileSync(join(BPF_SOURCES, 'abi.h'), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
  const structs = structsOf(header);
  const print: string[] = [];
  for (const [name, fields] of Object.entries(structs)) {
    print.push(`printf("size ${name} . %zu 0\\n", sizeof(struct ${name}));`);
    for (const field of fields) {
      const of = `(struct ${name} *)0`;
      print.push(
        `printf("field ${name} ${field} %zu %zu\\n", offsetof(struct ${name}, ${field}), sizeof((${of})->${field}));`,
      );
    }
  }
  for (const name of numbersOf(header)) {
    print.push(`printf("number . ${name} %lld 0\\n", (long long)(${name}));`);
  }
  return parse(await printedByC(`${C_PROLOGUE}int main(void)\n{\n${print.join('\n')}\nreturn 0;\n}\n`));
}

function structsOf(header: string): Record<string, string[]> {
  const found: Record<string, string[]> = {};
  for (const [, name = '', body = ''] of header.matchAll(/^struct (\w+) \{\n([\s\S]*?)^\};/gm)) {
    // Fields of the struct itself stand one tab deep.
    found[name] = [...body.matchAll(/^\t(?:[\w ]+ |\} )(\w+)(?:\[[^\]]*\])*;/gm)].map(
      ([, field = '']) => field,
    );
  }
  return found;
}

function numbersOf(header: string): string[] {
  const enums = [...header.matchAll(/enum \{([^}]*)\}/g)].flatMap(([, body = '']) =>
    [...body.matchAll(/\b([A-Z][A-Z0-9_]+)\b/g)].map(([, name = '']) => name),
  );
  return [...enums, ...[...header.matchAll(/^#define (\w+) /gm)].map(([, name = '']) => name)];
}

function parse(lines: string): Abi {
  const structs: Record<string, Record<string, Field>> = {};
  const sizes: Record<string, number> = {};
  const numbers: Record<string, number> = {};
  for (const line of lines.trim().split('\n')) {
    const [kind, struct = '', name = '', value, size] = line.split(' ');
    if (kind === 'size') {
      sizes[struct] = Number(value);
      structs[struct] = {};
    } else if (kind === 'field') {
      Object.assign(structs[struct] ?? {}, { [name]: { offset: Number(value), size: Number(size) } });
    } else {
      numbers[name] = Number(value);
    }
  }
  return { structs, sizes, numbers };
}
