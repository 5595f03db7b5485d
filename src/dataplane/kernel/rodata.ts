/**
 * The `const volatile` variables of a BPF object: where in its `.rodata` section each one lies, by the types
 * (BTF) that the compiler wrote beside the code. Their values are fixed when the object is loaded, and the
 * verifier removes what they make unreachable.
 */
import { type Pointer, readMemory } from '../../platform/ffi.js';
import { libbpf } from './native.js';

export const RODATA = '.rodata';
const BTF_KIND_DATASEC = 15;
/** struct btf_type: name_off, info (its low 16 bits: the number of entries), size; then struct btf_var_secinfo each. */
const TYPE_BYTES = 12;
const VARIABLE_BYTES = 12;

export interface Place {
  readonly offset: number;
  readonly size: number;
}

export function constantsOf(object: Pointer): Map<string, Place> {
  const places = new Map<string, Place>();
  const library = libbpf();
  const btf = library.bpf_object__btf(object);
  if (btf === null) return places;
  const id = library.btf__find_by_name_kind(btf, RODATA, BTF_KIND_DATASEC);
  const section = id > 0 ? library.btf__type_by_id(btf, id) : null;
  if (section === null) return places;
  const entries = readMemory(section, TYPE_BYTES).readUInt16LE(4);
  const variables = readMemory(section + BigInt(TYPE_BYTES), entries * VARIABLE_BYTES);
  for (let at = 0; at < variables.length; at += VARIABLE_BYTES) {
    const variable = library.btf__type_by_id(btf, variables.readUInt32LE(at));
    if (variable === null) continue;
    const name = library.btf__name_by_offset(btf, readMemory(variable, TYPE_BYTES).readUInt32LE(0));
    if (!name) continue;
    places.set(name, { offset: variables.readUInt32LE(at + 4), size: variables.readUInt32LE(at + 8) });
  }
  return places;
}

/** A value as the variable's bytes; undefined when it has another size than the variable. */
export function constantBytes(value: Buffer | number | bigint | boolean, size: number): Buffer | undefined {
  if (Buffer.isBuffer(value)) return value.length === size ? value : undefined;
  if (![1, 2, 4, 8].includes(size)) return undefined;
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt.asIntN(64, BigInt(value)));
  return bytes.subarray(0, size);
}
