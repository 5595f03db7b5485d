/**
 * The `const volatile` variables of a BPF object: where in its `.rodata` section each one lies, by the types
 * (BTF) that the compiler wrote beside the code. Their values are fixed when the object is loaded, and the
 * verifier removes what they make unreachable.
 */
import { type Pointer, readMemory } from '../../platform/ffi.js';
import { BTF_TYPE, BTF_VAR_SECINFO } from './layouts.js';
import { libbpf } from './native.js';

export const RODATA = '.rodata';
const BTF_KIND_DATASEC = 15;
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
  // The low 16 bits of `info` are the number of variables.
  const entries = readMemory(section, BTF_TYPE.bytes).readUInt16LE(BTF_TYPE.info);
  const all = readMemory(section + BigInt(BTF_TYPE.bytes), entries * BTF_VAR_SECINFO.bytes);
  for (let at = 0; at < all.length; at += BTF_VAR_SECINFO.bytes) {
    const variable = library.btf__type_by_id(btf, all.readUInt32LE(at + BTF_VAR_SECINFO.type));
    if (variable === null) continue;
    const nameAt = readMemory(variable, BTF_TYPE.bytes).readUInt32LE(BTF_TYPE.name_off);
    const name = library.btf__name_by_offset(btf, nameAt);
    if (!name) continue;
    const offset = all.readUInt32LE(at + BTF_VAR_SECINFO.offset);
    places.set(name, { offset, size: all.readUInt32LE(at + BTF_VAR_SECINFO.size) });
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
