/**
 * The functions of libbpf and libc that the kernel data path calls, as their headers declare them. Structs are
 * opaque (`void *`); those that are passed by address are written out as buffers where they are used.
 *
 * libbpf 1.x returns a negative errno from functions that return an int, and null with errno set from those that
 * return a pointer.
 */
import { bindLibrary, type Memory, type Pointer } from '../../platform/ffi.js';

const LIBBPF = 'libbpf.so.1';
export const LIBBPF_MEND = 'install libbpf1 (apt-get install libbpf1)';

export interface Libbpf {
  libbpf_version_string(): string;
  libbpf_set_print(print: Pointer | null): unknown;
  libbpf_num_possible_cpus(): number;

  bpf_object__open_file(path: string, options: Memory): Pointer | null;
  bpf_object__load(object: Pointer): number;
  bpf_object__close(object: Pointer): void;
  bpf_object__btf(object: Pointer): Pointer | null;
  bpf_object__find_map_by_name(object: Pointer, name: string): Pointer | null;
  bpf_object__find_program_by_name(object: Pointer, name: string): Pointer | null;
  bpf_program__fd(program: Pointer): number;

  btf__find_by_name_kind(btf: Pointer, name: string, kind: number): number;
  btf__type_by_id(btf: Pointer, id: number): Pointer | null;
  btf__name_by_offset(btf: Pointer, offset: number): string | null;

  bpf_map__fd(map: Pointer): number;
  bpf_map__type(map: Pointer): number;
  bpf_map__key_size(map: Pointer): number;
  bpf_map__value_size(map: Pointer): number;
  bpf_map__set_max_entries(map: Pointer, entries: number): number;
  bpf_map__reuse_fd(map: Pointer, fd: number): number;
  bpf_map__initial_value(map: Pointer, size: Memory): Pointer | null;
  bpf_map__set_initial_value(map: Pointer, data: Memory, size: number): number;

  bpf_map_lookup_elem_flags(fd: number, key: Memory, value: Memory, flags: number): number;
  bpf_map_lookup_and_delete_elem(fd: number, key: Memory, value: Memory): number;
  bpf_map_update_elem(fd: number, key: Memory, value: Memory, flags: number): number;
  bpf_map_delete_elem(fd: number, key: Memory): number;
  bpf_map_lookup_batch(
    fd: number,
    from: Memory,
    next: Memory,
    keys: Memory,
    values: Memory,
    count: Memory,
    options: Memory,
  ): number;
  bpf_map_update_batch(fd: number, keys: Memory, values: Memory, count: Memory, options: Memory): number;
  bpf_map_delete_batch(fd: number, keys: Memory, count: Memory, options: Memory): number;

  bpf_obj_pin(fd: number, path: string): number;
  bpf_obj_get(path: string): number;
  bpf_obj_get_info_by_fd(fd: number, info: Memory, length: Memory): number;
  bpf_prog_test_run_opts(fd: number, options: Memory): number;

  bpf_tc_hook_create(hook: Memory): number;
  bpf_tc_hook_destroy(hook: Memory): number;
  bpf_tc_attach(hook: Memory, options: Memory): number;
  bpf_tc_detach(hook: Memory, options: Memory): number;
  bpf_tc_query(hook: Memory, options: Memory): number;

  ring_buffer__new(fd: number, onSample: Pointer, context: Memory, options: Memory): Pointer | null;
  ring_buffer__free(ring: Pointer): void;
  ring_buffer__consume(ring: Pointer): number;
  ring_buffer__epoll_fd(ring: Pointer): number;
}

const PROTOTYPES: Readonly<Record<keyof Libbpf, string>> = {
  libbpf_version_string: 'const char *libbpf_version_string(void)',
  libbpf_set_print: 'void *libbpf_set_print(void *fn)',
  libbpf_num_possible_cpus: 'int libbpf_num_possible_cpus(void)',

  bpf_object__open_file: 'void *bpf_object__open_file(const char *path, const void *opts)',
  bpf_object__load: 'int bpf_object__load(void *obj)',
  bpf_object__close: 'void bpf_object__close(void *obj)',
  bpf_object__btf: 'void *bpf_object__btf(const void *obj)',
  bpf_object__find_map_by_name: 'void *bpf_object__find_map_by_name(const void *obj, const char *name)',
  bpf_object__find_program_by_name:
    'void *bpf_object__find_program_by_name(const void *obj, const char *name)',
  bpf_program__fd: 'int bpf_program__fd(const void *prog)',

  btf__find_by_name_kind: 'int32_t btf__find_by_name_kind(const void *btf, const char *name, uint32_t kind)',
  btf__type_by_id: 'void *btf__type_by_id(const void *btf, uint32_t id)',
  btf__name_by_offset: 'const char *btf__name_by_offset(const void *btf, uint32_t offset)',

  bpf_map__fd: 'int bpf_map__fd(const void *map)',
  bpf_map__type: 'int bpf_map__type(const void *map)',
  bpf_map__key_size: 'uint32_t bpf_map__key_size(const void *map)',
  bpf_map__value_size: 'uint32_t bpf_map__value_size(const void *map)',
  bpf_map__set_max_entries: 'int bpf_map__set_max_entries(void *map, uint32_t max_entries)',
  bpf_map__reuse_fd: 'int bpf_map__reuse_fd(void *map, int fd)',
  bpf_map__initial_value: 'void *bpf_map__initial_value(void *map, void *psize)',
  bpf_map__set_initial_value: 'int bpf_map__set_initial_value(void *map, const void *data, size_t size)',

  bpf_map_lookup_elem_flags:
    'int bpf_map_lookup_elem_flags(int fd, const void *key, void *value, uint64_t flags)',
  bpf_map_lookup_and_delete_elem: 'int bpf_map_lookup_and_delete_elem(int fd, const void *key, void *value)',
  bpf_map_update_elem: 'int bpf_map_update_elem(int fd, const void *key, const void *value, uint64_t flags)',
  bpf_map_delete_elem: 'int bpf_map_delete_elem(int fd, const void *key)',
  bpf_map_lookup_batch:
    'int bpf_map_lookup_batch(int fd, void *in_batch, void *out_batch, void *keys, void *values, void *count, const void *opts)',
  bpf_map_update_batch:
    'int bpf_map_update_batch(int fd, const void *keys, const void *values, void *count, const void *opts)',
  bpf_map_delete_batch: 'int bpf_map_delete_batch(int fd, const void *keys, void *count, const void *opts)',

  bpf_obj_pin: 'int bpf_obj_pin(int fd, const char *pathname)',
  bpf_obj_get: 'int bpf_obj_get(const char *pathname)',
  bpf_obj_get_info_by_fd: 'int bpf_obj_get_info_by_fd(int bpf_fd, void *info, void *info_len)',
  bpf_prog_test_run_opts: 'int bpf_prog_test_run_opts(int prog_fd, void *opts)',

  bpf_tc_hook_create: 'int bpf_tc_hook_create(void *hook)',
  bpf_tc_hook_destroy: 'int bpf_tc_hook_destroy(void *hook)',
  bpf_tc_attach: 'int bpf_tc_attach(const void *hook, void *opts)',
  bpf_tc_detach: 'int bpf_tc_detach(const void *hook, const void *opts)',
  bpf_tc_query: 'int bpf_tc_query(const void *hook, void *opts)',

  ring_buffer__new: 'void *ring_buffer__new(int map_fd, void *sample_cb, void *ctx, const void *opts)',
  ring_buffer__free: 'void ring_buffer__free(void *rb)',
  ring_buffer__consume: 'int ring_buffer__consume(void *rb)',
  ring_buffer__epoll_fd: 'int ring_buffer__epoll_fd(const void *rb)',
};

let bound: Libbpf | undefined;

/** libbpf, loaded on first use; SUT_DATAPLANE_UNAVAILABLE when it is not there. It says nothing by itself. */
export function libbpf(): Libbpf {
  if (!bound) {
    bound = bindLibrary<Libbpf>(LIBBPF, PROTOTYPES, LIBBPF_MEND);
    // By default libbpf writes its warnings to standard error.
    bound.libbpf_set_print(null);
  }
  return bound;
}

interface Libc {
  close(fd: number): number;
  fcntl(fd: number, command: number, argument: number): number;
  vsnprintf(target: Memory, size: number, format: Pointer, args: Pointer): number;
}

let boundLibc: Libc | undefined;

export function libc(): Libc {
  boundLibc ??= bindLibrary<Libc>(
    'libc.so.6',
    {
      close: 'int close(int fd)',
      fcntl: 'int fcntl(int fd, int cmd, int arg)',
      vsnprintf: 'int vsnprintf(void *str, size_t size, const void *format, void *ap)',
    },
    'install libc6',
  );
  return boundLibc;
}
