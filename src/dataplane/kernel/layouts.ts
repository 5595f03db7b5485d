/**
 * Where the fields of the structs lie that are passed to libbpf and the kernel, on 64-bit little-endian machines.
 * A test compares them with the C headers. libbpf's option structs begin with their own size, by which it knows
 * how many of the fields its caller knows of; the rest of a buffer has to be zero.
 */

/** struct bpf_object_open_opts, bpf/libbpf.h. */
export const OPEN_OPTIONS = { bytes: 80, sz: 0, kernel_log_buf: 56, kernel_log_size: 64 } as const;

/** struct bpf_map_batch_opts, bpf/bpf.h. */
export const BATCH_OPTIONS = { bytes: 24, sz: 0, elem_flags: 8 } as const;

/** struct bpf_test_run_opts, bpf/bpf.h. */
export const TEST_RUN_OPTIONS = {
  bytes: 80,
  sz: 0,
  data_in: 8,
  data_out: 16,
  data_size_in: 24,
  data_size_out: 28,
  ctx_in: 32,
  ctx_out: 40,
  ctx_size_in: 48,
  ctx_size_out: 52,
  retval: 56,
  repeat: 60,
  duration: 64,
} as const;

/** struct bpf_tc_hook, bpf/libbpf.h. */
export const TC_HOOK = { bytes: 24, sz: 0, ifindex: 8, attach_point: 12 } as const;

/** struct bpf_tc_opts, bpf/libbpf.h. */
export const TC_OPTIONS = {
  bytes: 32,
  sz: 0,
  prog_fd: 8,
  flags: 12,
  prog_id: 16,
  handle: 20,
  priority: 24,
} as const;

/** The kernel fills in as much of these as the caller has room for: so many bytes of each. */
export const INFO_BYTES = 88;

/** struct bpf_map_info, linux/bpf.h. */
export const MAP_INFO = {
  type: 0,
  id: 4,
  key_size: 8,
  value_size: 12,
  max_entries: 16,
  map_flags: 20,
  name: 24,
} as const;

/** struct bpf_prog_info, linux/bpf.h. */
export const PROG_INFO = { type: 0, id: 4, tag: 8, name: 64 } as const;

/** struct btf_type and struct btf_var_secinfo, linux/btf.h. A section's type is followed by its variables. */
export const BTF_TYPE = { bytes: 12, name_off: 0, info: 4 } as const;
export const BTF_VAR_SECINFO = { bytes: 12, type: 0, offset: 4, size: 8 } as const;

/** A struct of options: zero but for its own size. */
export function optionsBuffer({ bytes, sz }: { readonly bytes: number; readonly sz: number }): Buffer {
  const buffer = Buffer.alloc(bytes);
  buffer.writeBigUInt64LE(BigInt(bytes), sz);
  return buffer;
}
