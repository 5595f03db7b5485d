/** The offsets that are written by hand, against the C headers: a small C program prints the headers' own. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import * as layouts from '../../../src/dataplane/kernel/layouts.js';
import { run } from '../../../src/platform/process.js';

const STRUCTS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  bpf_object_open_opts: layouts.OPEN_OPTIONS,
  bpf_map_batch_opts: layouts.BATCH_OPTIONS,
  bpf_test_run_opts: layouts.TEST_RUN_OPTIONS,
  bpf_tc_hook: layouts.TC_HOOK,
  bpf_tc_opts: layouts.TC_OPTIONS,
  bpf_map_info: layouts.MAP_INFO,
  bpf_prog_info: layouts.PROG_INFO,
  btf_type: layouts.BTF_TYPE,
  btf_var_secinfo: layouts.BTF_VAR_SECINFO,
};

function program(): string {
  const prints = Object.entries(STRUCTS).flatMap(([struct, fields]) =>
    Object.keys(fields).map((field) => {
      const value = field === 'bytes' ? `sizeof(struct ${struct})` : `offsetof(struct ${struct}, ${field})`;
      return `printf("${struct} ${field} %zu\\n", ${value});`;
    }),
  );
  const headers = ['stdio.h', 'stddef.h', 'linux/bpf.h', 'linux/btf.h', 'bpf/bpf.h', 'bpf/libbpf.h'];
  return `${headers.map((header) => `#include <${header}>\n`).join('')}int main(void) { ${prints.join('\n')} return 0; }\n`;
}

t.test('structs are laid out as the headers say', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sut-layouts-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const source = join(folder, 'offsets.c');
  writeFileSync(source, program());
  await run('clang', [source, '-o', join(folder, 'offsets')], { timeoutMs: 60_000 });
  const { stdout } = await run(join(folder, 'offsets'), []);
  const found: Record<string, Record<string, number>> = {};
  for (const line of stdout.trim().split('\n')) {
    const [struct = '', field = '', value] = line.split(' ');
    found[struct] ??= {};
    Object.assign(found[struct], { [field]: Number(value) });
  }
  t.strictSame(found, STRUCTS);
});

t.test('options begin with their size, and the rest is zero', async (t) => {
  const options = layouts.optionsBuffer(layouts.TC_HOOK);
  t.equal(options.length, 24);
  t.equal(options.readBigUInt64LE(), 24n);
  t.ok(options.subarray(8).every((byte) => byte === 0));
});
