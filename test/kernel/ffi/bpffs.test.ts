import { mkdirSync, rmSync, statSync } from 'node:fs';
import t from 'tap';
import {
  BPFFS,
  ensureBpffs,
  isBpffs,
  mountBpffs,
  requireBpffs,
} from '../../../src/dataplane/kernel/libbpf.js';
import { run } from '../../../src/platform/process.js';
import { pinFolder } from './support.js';

t.test('a folder on a BPF filesystem is made, with those above it', async (t) => {
  const folder = await pinFolder(t);
  t.equal(isBpffs(folder), true);
  const inner = `${folder}/group/maps`;
  t.equal(isBpffs(inner), false);
  ensureBpffs(inner);
  ensureBpffs(inner);
  t.equal(isBpffs(inner), true);
  t.equal(statSync(inner).mode & 0o777, 0o700);
});

t.test('elsewhere it is refused with its mend', async (t) => {
  const folder = `/tmp/sut-no-bpffs-${process.pid}`;
  mkdirSync(folder);
  t.teardown(() => rmSync(folder, { recursive: true }));
  t.equal(isBpffs(folder), false);
  t.equal(isBpffs('/nowhere/at/all'), false);
  for (const path of [folder, `${folder}/inner`, '/nowhere/at/all']) {
    t.throws(() => ensureBpffs(path), {
      code: 'SUT_DATAPLANE_UNAVAILABLE',
      message: `${path} is not on a BPF filesystem; mount -t bpf bpf /sys/fs/bpf`,
    });
  }
});

t.test('one that a config names has to be there', async (t) => {
  await requireBpffs(await pinFolder(t));
  await t.rejects(requireBpffs('/tmp'), {
    code: 'SUT_DATAPLANE_UNAVAILABLE',
    message: '/tmp is not a BPF filesystem; mount -t bpf bpf /tmp, or correct `bpffs`',
  });
});

t.test('it is mounted once, whoever asks', async (t) => {
  await Promise.all([mountBpffs(), mountBpffs(), mountBpffs()]);
  t.equal(isBpffs(BPFFS), true);
  // In a mount namespace of its own, where it is not mounted to begin with.
  const flock = `flock ${BPFFS} sh -c 'findmnt -t bpf --mountpoint ${BPFFS} || mount -t bpf bpf ${BPFFS}'`;
  const script = `while umount ${BPFFS} 2>/dev/null; do :; done; ${flock} & ${flock} & wait; grep -c ' bpf ' /proc/self/mounts`;
  const { stdout } = await run('unshare', ['--mount', 'sh', '-c', script]);
  t.equal(stdout.trim().split('\n').at(-1), '1');
});
