/**
 * BPF objects, maps, programs, hooks and ring buffers, by way of libbpf: all that the kernel data path needs of
 * them, in one place to import from.
 */
export { BpfError, Errno } from './bpf-error.js';
export { type BatchCursor, BpfMap, ElementFlag, MapType } from './bpf-map.js';
export { BpfObject } from './bpf-object.js';
export { BpfProgram, type TestResult, type TestRun } from './bpf-program.js';
export { BPFFS, BPFFS_MEND, ensureBpffs, isBpffs, mountBpffs, requireBpffs } from './bpffs.js';
export { type OnRecord, RingBuffer } from './ring-buffer.js';
export {
  attachIngress,
  detachIngress,
  queryIngress,
  removeUnusedHook,
  type TcAttachment,
  type TcPlace,
} from './tc.js';
