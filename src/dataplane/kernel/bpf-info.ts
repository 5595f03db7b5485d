/** `bpf_obj_get_info_by_fd`: what the kernel says of a map or a program; and the life of their descriptors. */
import { lastErrno } from '../../platform/ffi.js';
import { BpfError, Errno } from './bpf-error.js';
import { INFO_BYTES, MAP_INFO, PROG_INFO } from './layouts.js';
import { libbpf, libc } from './native.js';

const NAME_BYTES = 16;
const TAG_BYTES = 8;

export interface MapInfo {
  readonly type: number;
  readonly id: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly maxEntries: number;
  readonly flags: number;
  /** The kernel keeps 15 characters. */
  readonly name: string;
}

export interface ProgramInfo {
  readonly type: number;
  readonly id: number;
  /** Of the instructions: equal for two loads of the same program, whatever its constants are set to. */
  readonly tag: string;
  readonly name: string;
}

function infoOf(fd: number, subject: string): Buffer {
  const info = Buffer.alloc(INFO_BYTES);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(INFO_BYTES);
  const result = libbpf().bpf_obj_get_info_by_fd(fd, info, length);
  if (result < 0) throw new BpfError({ subject, operation: 'get info', errno: result });
  return info;
}

function nameAt(info: Buffer, offset: number): string {
  const end = info.indexOf(0, offset);
  return info.toString('latin1', offset, Math.min(end < 0 ? info.length : end, offset + NAME_BYTES));
}

export function mapInfo(fd: number, subject: string): MapInfo {
  const info = infoOf(fd, subject);
  return {
    type: info.readUInt32LE(MAP_INFO.type),
    id: info.readUInt32LE(MAP_INFO.id),
    keySize: info.readUInt32LE(MAP_INFO.key_size),
    valueSize: info.readUInt32LE(MAP_INFO.value_size),
    maxEntries: info.readUInt32LE(MAP_INFO.max_entries),
    flags: info.readUInt32LE(MAP_INFO.map_flags),
    name: nameAt(info, MAP_INFO.name),
  };
}

export function programInfo(fd: number, subject: string): ProgramInfo {
  const info = infoOf(fd, subject);
  return {
    type: info.readUInt32LE(PROG_INFO.type),
    id: info.readUInt32LE(PROG_INFO.id),
    tag: info.toString('hex', PROG_INFO.tag, PROG_INFO.tag + TAG_BYTES),
    name: nameAt(info, PROG_INFO.name),
  };
}

const F_DUPFD_CLOEXEC = 1030;

/** A descriptor of the caller's own for the same map or program. */
export function duplicate(fd: number, subject: string): number {
  const copy = libc().fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) throw new BpfError({ subject, operation: 'duplicate its descriptor', errno: lastErrno() });
  return copy;
}

export function closeDescriptor(fd: number): void {
  libc().close(fd);
}

/** A new descriptor for what is pinned at `path`; undefined when nothing is. */
export function openPinned(path: string): number | undefined {
  const fd = libbpf().bpf_obj_get(path);
  if (fd === -Errno.ENOENT) return undefined;
  if (fd < 0) throw new BpfError({ subject: path, operation: 'open the pin', errno: fd });
  return fd;
}

export function pin(fd: number, path: string, subject: string): void {
  const result = libbpf().bpf_obj_pin(fd, path);
  if (result < 0) throw new BpfError({ subject, operation: `pin at ${path}`, errno: result });
}
