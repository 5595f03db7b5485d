/**
 * Makes this checkout runnable: Debian packages, npm packages, the TypeScript build, the kernel data path's
 * program, the Java workload.
 *
 * Every step first looks whether it has anything to do, so a second run costs a fraction of a second and a
 * run that was killed midway is simply finished by the next one. Plain Node without dependencies, since it
 * runs before there are any. Progress goes to standard error: standard output belongs to the command that
 * asked for the set-up.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { machine } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { capIsPatched, patchCap } from './patch-cap.mjs';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/**
 * libpcap-dev, g++, make and python3 come before `npm ci`: node-gyp compiles `cap` and `raw-socket`. clang and the
 * two packages of headers compile the kernel data path's program, which libbpf1 loads.
 */
const DEBIAN_PACKAGES = [
  'libpcap-dev',
  'g++',
  'make',
  'python3',
  'clang',
  'libbpf-dev',
  'linux-libc-dev',
  'libbpf1',
  'iproute2',
  'nftables',
  'ethtool',
  'tcpdump',
  'curl',
  'openssl',
  'procps',
  'util-linux',
  'redis-server',
  'openssl',
];
/** What only tests of third-party programs need, and only when all tests run; without them those are skipped. */
const TEST_PACKAGES = [
  'postgresql',
  'libpostgresql-jdbc-java',
  'iperf3',
  'nghttp2-client',
  'nghttp2-server',
  'varnish',
];
/** What only `suture bench` needs, and only when it is asked for. */
const BENCH_PACKAGES = ['iperf3', 'haproxy', 'nginx-light', 'libnginx-mod-stream'];
const JDK_PACKAGE = 'openjdk-17-jdk-headless';
const JDK_MIN = 17;

class SetupFailure extends Error {}

function say(text) {
  process.stderr.write(`setup: ${text}\n`);
}

/** Runs a step's program silently and shows what it wrote only when it failed. */
function run(what, command, args, { cwd = root, env = process.env } = {}) {
  const done = spawnSync(command, args, { cwd, env, encoding: 'utf8', maxBuffer: 1 << 28 });
  if (done.status === 0) return done.stdout;
  const reason = done.error ? done.error.message : `exit ${done.status ?? done.signal}`;
  throw new SetupFailure(
    `${what} failed (${reason}): ${command} ${args.join(' ')}\n${done.stdout ?? ''}${done.stderr ?? ''}`,
  );
}

function has(command, args = ['--version']) {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

function installedPackages(names) {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own format
  const query = spawnSync('dpkg-query', ['-W', '-f', '${Package} ${db:Status-Status}\n', ...names], {
    encoding: 'utf8',
  });
  const lines = (query.stdout ?? '').split('\n').map((line) => line.split(' '));
  return new Set(lines.filter(([, status]) => status === 'installed').map(([name]) => name));
}

function javacVersion() {
  const done = spawnSync('javac', ['-version'], { encoding: 'utf8' });
  const match = /javac (\d+)/.exec(`${done.stdout ?? ''}${done.stderr ?? ''}`);
  return match ? Number(match[1]) : 0;
}

function install(missing) {
  const command = ['install', '-y', '--no-install-recommends', ...missing];
  if (process.getuid?.() !== 0) {
    throw new SetupFailure(
      `Debian packages are missing and only root may install them. Run:\n` +
        `  sudo apt-get update && sudo apt-get ${command.join(' ')}\nand start again.`,
    );
  }
  say(`installing Debian packages: ${missing.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  // A run that was killed while dpkg worked leaves packages unpacked, or its apt still holding the lock.
  const wait = ['-o', 'DPkg::Lock::Timeout=300'];
  spawnSync('dpkg', ['--configure', '-a'], { env, stdio: 'ignore' });
  run('apt-get update', 'apt-get', [...wait, 'update'], { env });
  run('apt-get install', 'apt-get', [...wait, ...command], { env });
}

function debianPackages(bench) {
  const wanted = bench ? [...DEBIAN_PACKAGES, ...BENCH_PACKAGES] : DEBIAN_PACKAGES;
  if (!has('dpkg-query')) {
    say(`not a Debian system; it needs what these packages hold: ${[...wanted, JDK_PACKAGE].join(' ')}`);
    return;
  }
  const installed = installedPackages([...wanted, JDK_PACKAGE]);
  const missing = wanted.filter((name) => !installed.has(name));
  if (!installed.has(JDK_PACKAGE) && javacVersion() < JDK_MIN) missing.push(JDK_PACKAGE);
  if (missing.length === 0) return;
  install(missing);
  if (missing.includes('haproxy') || missing.includes('nginx-light')) {
    say('Debian starts haproxy and nginx as services; the benchmarks run their own and need neither of them');
  }
}

const QUIET_MARK = '# by the set-up of Suture, for as long as it installs';
/**
 * Debian's own ways to say that a package's service does not start (invoke-rc.d asks policy-rc.d; 101: no), and that
 * PostgreSQL makes no cluster of the system's. Files of others are left as they are.
 */
const QUIET_FILES = [
  { path: '/usr/sbin/policy-rc.d', text: `#!/bin/sh\n${QUIET_MARK}\nexit 101\n`, mode: 0o755 },
  {
    path: '/etc/postgresql-common/createcluster.d/suture-setup.conf',
    text: `${QUIET_MARK}\ncreate_main_cluster = false\n`,
    mode: 0o644,
  },
];

function withoutServices(work) {
  // One of a run that was killed counts as its own.
  const isOwn = ({ path }) => !existsSync(path) || readFileSync(path, 'utf8').includes(QUIET_MARK);
  const files = QUIET_FILES.filter(isOwn);
  for (const { path, text, mode } of files) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text, { mode });
  }
  try {
    work();
  } finally {
    for (const { path } of files) rmSync(path, { force: true });
  }
}

/** Tests whose programs are missing say so and are skipped, so this is no reason not to run the others. */
function testPackages() {
  if (!has('dpkg-query')) return;
  const installed = installedPackages(TEST_PACKAGES);
  const missing = TEST_PACKAGES.filter((name) => !installed.has(name));
  if (missing.length === 0) return;
  try {
    if (process.getuid?.() !== 0) throw new SetupFailure('only root may install packages');
    withoutServices(() => install(missing));
  } catch (error) {
    if (!(error instanceof SetupFailure)) throw error;
    say(`${error.message}\nthe tests that need ${missing.join(', ')} will be skipped`);
  }
}

function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

/** Compares what npm noted as installed with what the lock file asks for; optional packages may be absent. */
function npmIsCurrent() {
  const wanted = readJson(join(root, 'package-lock.json'))?.packages ?? {};
  const present = readJson(join(root, 'node_modules/.package-lock.json'))?.packages;
  if (!present) return false;
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '' || (entry.optional && !present[path])) continue;
    if (present[path]?.version !== entry.version) return false;
  }
  return nativeModulesLoad();
}

/** Native modules that were compiled for another Node do not load, and then npm has to start over. */
function nativeModulesLoad() {
  const require = createRequire(join(root, 'package.json'));
  try {
    require('cap');
    require('raw-socket');
    require('koffi');
    return true;
  } catch {
    return false;
  }
}

function npmPackages() {
  if (npmIsCurrent()) return;
  say('installing npm packages (npm ci)');
  // The native modules are compiled by install scripts; typescript and tap are development dependencies.
  const args = ['ci', '--include=dev', '--ignore-scripts=false', '--no-audit', '--no-fund'];
  run('npm ci', 'npm', args, { env: compilingEnv() });
}

function compilingEnv() {
  const env = { ...process.env };
  // The headers that came with this Node spare node-gyp a download.
  const prefix = dirname(dirname(process.execPath));
  if (existsSync(join(prefix, 'include/node/node.h'))) env.npm_config_nodedir = prefix;
  return env;
}

function patchedPackages() {
  if (capIsPatched(root)) return;
  say('mending and compiling the cap addon');
  const rebuild = () =>
    run('npm rebuild', 'npm', ['rebuild', 'cap', '--ignore-scripts=false'], { env: compilingEnv() });
  const problem = patchCap(root, rebuild);
  if (problem) throw new SetupFailure(problem);
}

function filesBelow(folder, accept) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && accept(entry.name))
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

/** A short text that changes when one of the files or the options does. */
function fingerprint(files, options) {
  const hash = createHash('sha256').update(`${options.join('\0')}\n`);
  for (const file of files) {
    const { mtimeMs, size } = statSync(file);
    hash.update(`${file}\0${size}\0${mtimeMs}\n`);
  }
  return hash.digest('hex');
}

/** Runs `build` unless the stamp says that it ran on just these files with just these options. */
function unlessBuilt(stamp, files, build, options = []) {
  const now = fingerprint(files, options);
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === now) return;
  build();
  writeFileSync(stamp, now);
}

function tsc(config) {
  run('tsc', process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', config]);
}

function typescript() {
  const isSource = (name) => name.endsWith('.ts');
  const sources = ['src', 'bench'].flatMap((folder) => filesBelow(join(root, folder), isSource));
  const configs = ['tsconfig.json', 'tsconfig.build.json', 'tsconfig.bench.json', 'package-lock.json'].map(
    (name) => join(root, name),
  );
  const dist = join(root, 'dist');
  unlessBuilt(join(dist, '.built'), [...sources, ...configs], () => {
    say('building dist (tsc)');
    tsc('tsconfig.build.json');
    tsc('tsconfig.bench.json');
    chmodSync(join(dist, 'cli/main.js'), 0o755);
  });
}

/** -g for the types (BTF) by which libbpf finds maps and constants; v3 is what Linux 5.1 understands. */
const BPF_FLAGS = ['-O2', '-g', '-target', 'bpf', '-mcpu=v3', '-Wall', '-Werror'];

/** Without it the switch takes the userspace path, so a system that has no clang can do without. */
function kernelProgram() {
  const folder = join(root, 'bpf');
  const sources = filesBelow(folder, (name) => /\.[ch]$/.test(name));
  const programs = sources.filter((file) => file.endsWith('.bpf.c'));
  if (programs.length === 0) return;
  if (!has('clang')) {
    say('no clang: leaving out the kernel data path');
    return;
  }
  const build = join(root, 'dist/bpf');
  // Where Debian keeps the headers of its own architecture.
  const flags = [...BPF_FLAGS, `-I/usr/include/${machine()}-linux-gnu`];
  const compile = () => {
    say('compiling the kernel data path (clang)');
    mkdirSync(build, { recursive: true });
    for (const program of programs) {
      const object = join(build, basename(program).replace(/\.c$/, '.o'));
      run('clang', 'clang', [...flags, '-c', program, '-o', `${object}.new`]);
      // A switch that starts meanwhile finds the old one or the new one, never half of one.
      renameSync(`${object}.new`, object);
    }
  };
  unlessBuilt(join(build, '.built'), sources, compile, flags);
}

function javaWorkload() {
  const sources = filesBelow(join(root, 'workload/src'), (name) => name.endsWith('.java'));
  const build = join(root, 'workload/build');
  unlessBuilt(join(build, '.built'), sources, () => {
    say('compiling the Java workload');
    rmSync(build, { recursive: true, force: true });
    mkdirSync(build, { recursive: true });
    // Where the locale is none, as in a container, javac would take the sources for ASCII.
    const asUtf8 = ['--release', String(JDK_MIN), '-encoding', 'UTF-8'];
    run('javac', 'javac', [...asUtf8, '-Xlint:all', '-Werror', '-d', build, ...sources]);
  });
}

/**
 * Does all that is missing; returns false, with the reason on standard error, when something cannot be done.
 * `bench`: what the benchmarks need as well; `tests`: what tests of third-party programs do.
 */
export function setup({ bench = false, tests = false } = {}) {
  try {
    debianPackages(bench);
    if (tests) testPackages();
    npmPackages();
    patchedPackages();
    typescript();
    kernelProgram();
    javaWorkload();
    return true;
  } catch (error) {
    if (!(error instanceof SetupFailure)) throw error;
    say(error.message);
    return false;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.exitCode = setup({ bench: process.argv.includes('--bench') }) ? 0 : 1;
}
