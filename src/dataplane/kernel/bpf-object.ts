/**
 * A compiled BPF object file on its way into the kernel: open, set constants and sizes, take over maps that are
 * pinned, load. What it gives out afterwards (maps, programs) has descriptors of its own, so the object can be
 * closed as soon as it is loaded.
 */
import { SutureError } from '../../platform/errors.js';
import { address, lastErrno, type Pointer, readMemory } from '../../platform/ffi.js';
import { BpfError, Errno } from './bpf-error.js';
import { closeDescriptor, duplicate, mapInfo, openPinned } from './bpf-info.js';
import { BpfMap } from './bpf-map.js';
import { BpfProgram } from './bpf-program.js';
import { OPEN_OPTIONS, optionsBuffer } from './layouts.js';
import { withLibbpfLog } from './libbpf-log.js';
import { libbpf } from './native.js';
import { constantBytes, constantsOf, RODATA } from './rodata.js';

/** When a log is longer than this the kernel keeps its end, which is what matters. */
const LOG_BYTES = 1 << 20;
/** How much of the logs goes into an error's message. */
const SHOWN_LOG_CHARS = 2000;

export class BpfObject {
  private constants: ReturnType<typeof constantsOf> | undefined;
  private loaded = false;
  /** What libbpf warned of while it loaded the object all the same; empty when all is well. */
  warnings = '';

  private constructor(
    readonly path: string,
    private pointer: Pointer | undefined,
    /** libbpf has its address until the object is closed. */
    private readonly log: Buffer,
  ) {}

  static open(path: string): BpfObject {
    const log = Buffer.alloc(LOG_BYTES);
    const options = optionsBuffer(OPEN_OPTIONS);
    options.writeBigUInt64LE(address(log), OPEN_OPTIONS.kernel_log_buf);
    options.writeBigUInt64LE(BigInt(LOG_BYTES), OPEN_OPTIONS.kernel_log_size);
    return withLibbpfLog((said) => {
      const pointer = libbpf().bpf_object__open_file(path, options);
      if (pointer === null) throw unavailable(path, 'open', lastErrno(), said());
      return new BpfObject(path, pointer, log);
    });
  }

  /**
   * Sets a `const volatile` variable, before the object is loaded: a whole number, or the variable's bytes.
   */
  setConstant(name: string, value: Buffer | number | bigint | boolean): void {
    this.requireNotLoaded();
    this.constants ??= constantsOf(this.handle);
    const place = this.constants.get(name);
    if (!place) throw this.lacks('constant', name, [...this.constants.keys()]);
    const bytes = constantBytes(value, place.size);
    if (!bytes) throw new SutureError('SUT_INTERNAL', `${this.path}: ${name} has ${place.size} bytes`);
    const map = this.mapHandle(RODATA);
    const size = Buffer.alloc(8);
    const initial = libbpf().bpf_map__initial_value(map, size);
    if (initial === null) throw this.lacks('section', RODATA, []);
    const section = readMemory(initial, Number(size.readBigUInt64LE()));
    bytes.copy(section, place.offset);
    const result = libbpf().bpf_map__set_initial_value(map, section, section.length);
    if (result < 0) throw unavailable(this.path, `set ${name}`, result);
  }

  /** Before the object is loaded. Has no effect on a map that is taken over with `reusePinned`. */
  setMaxEntries(map: string, entries: number): void {
    this.requireNotLoaded();
    const result = libbpf().bpf_map__set_max_entries(this.mapHandle(map), entries);
    if (result < 0) throw unavailable(this.path, `set the size of ${map}`, result);
  }

  /**
   * Makes the object use the map pinned at `path` in place of one of its own; before it is loaded. False when
   * nothing is pinned there. A map of another type, key or value size is refused with SUT_DATAPLANE_UNAVAILABLE.
   */
  reusePinned(map: string, path: string): boolean {
    this.requireNotLoaded();
    const handle = this.mapHandle(map);
    const fd = openPinned(path);
    if (fd === undefined) return false;
    try {
      this.requireSameShape(map, handle, fd, path);
      const result = libbpf().bpf_map__reuse_fd(handle, fd);
      if (result < 0) throw unavailable(this.path, `take over ${path}`, result);
      return true;
    } finally {
      // libbpf made a copy of it.
      closeDescriptor(fd);
    }
  }

  load(): void {
    this.requireNotLoaded();
    withLibbpfLog((said) => {
      const result = libbpf().bpf_object__load(this.handle);
      if (result < 0) throw unavailable(this.path, 'load', result, said(), this.verifierLog());
      this.warnings = said();
    });
    this.loaded = true;
  }

  /** A map of the loaded object; the caller closes it. */
  map(name: string): BpfMap {
    const fd = libbpf().bpf_map__fd(this.mapHandle(name));
    if (fd < 0) throw this.notLoaded(name);
    const subject = `map ${name}`;
    return new BpfMap(duplicate(fd, subject), name);
  }

  /** A program of the loaded object, by its function's name; the caller closes it. */
  program(name: string): BpfProgram {
    const handle = libbpf().bpf_object__find_program_by_name(this.handle, name);
    if (handle === null) throw this.lacks('program', name, []);
    const fd = libbpf().bpf_program__fd(handle);
    if (fd < 0) throw this.notLoaded(name);
    return new BpfProgram(duplicate(fd, `program ${name}`), name);
  }

  /** Frees it; maps and programs that were given out live on. */
  close(): void {
    if (this.pointer === undefined) return;
    libbpf().bpf_object__close(this.pointer);
    this.pointer = undefined;
  }

  private get handle(): Pointer {
    if (this.pointer === undefined) throw new SutureError('SUT_INTERNAL', `${this.path} is closed`);
    return this.pointer;
  }

  private requireNotLoaded(): void {
    if (this.loaded) throw new SutureError('SUT_INTERNAL', `${this.path} is loaded already`);
  }

  private mapHandle(name: string): Pointer {
    const map = libbpf().bpf_object__find_map_by_name(this.handle, name);
    if (map === null) throw this.lacks('map', name, []);
    return map;
  }

  private requireSameShape(name: string, map: Pointer, fd: number, path: string): void {
    const library = libbpf();
    const info = mapInfo(fd, path);
    const pinned = [info.type, info.keySize, info.valueSize];
    const wanted = [
      library.bpf_map__type(map),
      library.bpf_map__key_size(map),
      library.bpf_map__value_size(map),
    ];
    if (pinned.join() === wanted.join()) return;
    const shape = ([type, key, value]: number[]): string => `type ${type}, key ${key}, value ${value} bytes`;
    throw new SutureError(
      'SUT_DATAPLANE_UNAVAILABLE',
      `${path} has ${shape(pinned)}, where ${name} of this version has ${shape(wanted)}; remove the pin when no switch uses it`,
    );
  }

  private verifierLog(): string {
    const end = this.log.indexOf(0);
    return this.log.toString('utf8', 0, end < 0 ? this.log.length : end);
  }

  private lacks(kind: string, name: string, there: readonly string[]): SutureError {
    const list = there.length > 0 ? ` (there are ${there.join(', ')})` : '';
    const message = `${this.path} has no ${kind} ${name}${list}; \`npm run setup\` builds it anew`;
    return new SutureError('SUT_DATAPLANE_UNAVAILABLE', message);
  }

  private notLoaded(name: string): SutureError {
    return new SutureError('SUT_INTERNAL', `${this.path}: ${name} is asked for before the object is loaded`);
  }
}

function unavailable(path: string, operation: string, errno: number, ...logs: string[]): BpfError {
  const detail = logs
    .map((log) => tail(log.trim()))
    .filter((log) => log !== '')
    .join('\n');
  const code = 'SUT_DATAPLANE_UNAVAILABLE';
  if (Math.abs(errno) === Errno.ENOENT && operation === 'open') {
    return new BpfError({ subject: path, operation, errno, code, detail: '`npm run setup` builds it' });
  }
  return new BpfError({ subject: path, operation, errno, code, detail });
}

function tail(log: string): string {
  return log.length <= SHOWN_LOG_CHARS ? log : `…${log.slice(-SHOWN_LOG_CHARS)}`;
}
