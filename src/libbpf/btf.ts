import { viewOf } from './byte-order.ts';
import { BpfError } from './errors.ts';

/** A type of BTF (kernel: Documentation/bpf/btf.rst), with references to other types as ids. 0 is void. */
export type BtfType =
  | {
      readonly kind: 'int';
      readonly name: string;
      readonly size: number;
      readonly signed: boolean;
      readonly bool: boolean;
    }
  | { readonly kind: 'float'; readonly name: string; readonly size: number }
  | { readonly kind: 'array'; readonly element: number; readonly length: number }
  | {
      readonly kind: 'struct' | 'union';
      readonly name: string;
      readonly size: number;
      readonly members: readonly BtfMember[];
    }
  | { readonly kind: 'enum'; readonly name: string; readonly size: number; readonly values: readonly BtfEnumerator[] }
  | { readonly kind: 'alias'; readonly name: string; readonly type: number; readonly how: 'typedef' | 'qualifier' }
  | { readonly kind: 'pointer'; readonly type: number }
  | { readonly kind: 'variable'; readonly name: string; readonly type: number }
  | { readonly kind: 'section'; readonly name: string; readonly variables: readonly BtfSectionVariable[] }
  | { readonly kind: 'other'; readonly name: string };

export interface BtfMember {
  readonly name: string;
  readonly type: number;
  readonly bitOffset: number;
  /** Of a bit-field; 0 for others. */
  readonly bitSize: number;
}

export interface BtfEnumerator {
  readonly name: string;
  readonly value: bigint;
}

export interface BtfSectionVariable {
  readonly type: number;
  readonly offset: number;
  readonly size: number;
}

export interface Btf {
  /** By id. */
  readonly types: readonly BtfType[];
  readonly littleEndian: boolean;
}

const MAGIC = 0xeb9f;
const VOID: BtfType = { kind: 'other', name: 'void' };

/** Reads the `.BTF` section of an ELF object. Throws `BpfError` BTF when there is none or it makes no sense. */
export function readBtf(elf: Buffer, path: string): Btf {
  const attempted = `read the BTF of "${path}"`;
  try {
    const littleEndian = elf[5] === 1;
    const section = findSection(elf, '.BTF', littleEndian);
    if (section === undefined) {
      throw new BpfError('BTF', {
        attempted,
        reason: 'it has no .BTF section',
        hint: 'compile it with clang -g -target bpf',
      });
    }
    return { types: new TypeReader(section, littleEndian).types(), littleEndian };
  } catch (error) {
    if (error instanceof BpfError) throw error;
    throw new BpfError('BTF', { attempted, reason: 'it is truncated or not a BPF object', cause: error });
  }
}

/** Reads BTF that is not inside an ELF file. Throws `BpfError` BTF. */
export function parseBtf(bytes: Buffer, what: string): Btf {
  const view = viewOf(bytes);
  try {
    const littleEndian = view.getUint16(0, true) === MAGIC;
    return { types: new TypeReader(view, littleEndian).types(), littleEndian };
  } catch (cause) {
    throw new BpfError('BTF', { attempted: `read the BTF of ${what}`, reason: 'it is truncated or no BTF', cause });
  }
}

/** The section's bytes, by the section header table of a 64-bit ELF file. */
function findSection(elf: Buffer, wanted: string, littleEndian: boolean): DataView | undefined {
  const view = viewOf(elf);
  if (view.getUint32(0, false) !== 0x7f454c46 || elf[4] !== 2) throw new RangeError('not a 64-bit ELF file');
  const table = Number(view.getBigUint64(0x28, littleEndian));
  const entrySize = view.getUint16(0x3a, littleEndian);
  const count = view.getUint16(0x3c, littleEndian);
  const place = (index: number): { offset: number; size: number } => ({
    offset: Number(view.getBigUint64(table + index * entrySize + 0x18, littleEndian)),
    size: Number(view.getBigUint64(table + index * entrySize + 0x20, littleEndian)),
  });
  const names = place(view.getUint16(0x3e, littleEndian));
  for (let i = 0; i < count; i++) {
    const start = names.offset + view.getUint32(table + i * entrySize, littleEndian);
    if (text(elf, start) !== wanted) continue;
    const { offset, size } = place(i);
    return new DataView(elf.buffer, elf.byteOffset + offset, size);
  }
  return undefined;
}

function text(bytes: Uint8Array, start: number): string {
  const end = bytes.indexOf(0, start);
  if (start >= bytes.length || end === -1) throw new RangeError('a string runs past the end');
  return Buffer.from(bytes.subarray(start, end)).toString('utf8');
}

class TypeReader {
  readonly #view: DataView;
  readonly #little: boolean;
  readonly #strings: Uint8Array;
  readonly #end: number;
  #at: number;

  constructor(view: DataView, littleEndian: boolean) {
    this.#view = view;
    this.#little = littleEndian;
    if (view.getUint16(0, littleEndian) !== MAGIC) throw new RangeError('no BTF magic');
    const header = view.getUint32(4, littleEndian);
    this.#at = header + view.getUint32(8, littleEndian);
    this.#end = this.#at + view.getUint32(12, littleEndian);
    const strings = header + view.getUint32(16, littleEndian);
    this.#strings = new Uint8Array(view.buffer, view.byteOffset + strings, view.getUint32(20, littleEndian));
  }

  types(): BtfType[] {
    const types: BtfType[] = [VOID];
    while (this.#at < this.#end) types.push(this.#type());
    return types;
  }

  #u32(): number {
    const value = this.#view.getUint32(this.#at, this.#little);
    this.#at += 4;
    return value;
  }

  #name(): string {
    return text(this.#strings, this.#u32());
  }

  #list<T>(length: number, read: () => T): T[] {
    return Array.from({ length }, read);
  }

  #type(): BtfType {
    const name = this.#name();
    const info = this.#u32();
    const sizeOrType = this.#u32();
    const length = info & 0xffff;
    const flag = info >>> 31 === 1;
    switch ((info >>> 24) & 0x1f) {
      case 1: {
        const encoding = this.#u32() >>> 24;
        return { kind: 'int', name, size: sizeOrType, signed: (encoding & 1) !== 0, bool: (encoding & 4) !== 0 };
      }
      case 2:
        return { kind: 'pointer', type: sizeOrType };
      case 3: {
        const element = this.#u32();
        this.#u32(); // the index type, always an int
        return { kind: 'array', element, length: this.#u32() };
      }
      case 4:
        return { kind: 'struct', name, size: sizeOrType, members: this.#list(length, () => this.#member(flag)) };
      case 5:
        return { kind: 'union', name, size: sizeOrType, members: this.#list(length, () => this.#member(flag)) };
      case 6:
        return { kind: 'enum', name, size: sizeOrType, values: this.#list(length, () => this.#enumerator(flag)) };
      case 8:
        return { kind: 'alias', name, type: sizeOrType, how: 'typedef' };
      case 9:
      case 10:
      case 11:
      case 18:
        return { kind: 'alias', name, type: sizeOrType, how: 'qualifier' };
      case 13:
        this.#at += length * 8;
        return { kind: 'other', name };
      case 14:
        this.#u32(); // linkage
        return { kind: 'variable', name, type: sizeOrType };
      case 15:
        return { kind: 'section', name, variables: this.#list(length, () => this.#variable()) };
      case 16:
        return { kind: 'float', name, size: sizeOrType };
      case 17:
        this.#u32(); // which component the tag is on
        return { kind: 'other', name };
      case 19:
        return { kind: 'enum', name, size: sizeOrType, values: this.#list(length, () => this.#enumerator64(flag)) };
      case 7:
      case 12:
        return { kind: 'other', name };
      default:
        throw new RangeError(`unknown BTF kind ${(info >>> 24) & 0x1f}`);
    }
  }

  #member(bitFields: boolean): BtfMember {
    const name = this.#name();
    const type = this.#u32();
    const offset = this.#u32();
    return bitFields
      ? { name, type, bitOffset: offset & 0xffffff, bitSize: offset >>> 24 }
      : { name, type, bitOffset: offset, bitSize: 0 };
  }

  #enumerator(signed: boolean): BtfEnumerator {
    const name = this.#name();
    const value = this.#u32();
    return { name, value: BigInt(signed ? value | 0 : value) };
  }

  #enumerator64(signed: boolean): BtfEnumerator {
    const name = this.#name();
    const value = BigInt(this.#u32()) | (BigInt(this.#u32()) << 32n);
    return { name, value: signed ? BigInt.asIntN(64, value) : value };
  }

  #variable(): BtfSectionVariable {
    return { type: this.#u32(), offset: this.#u32(), size: this.#u32() };
  }
}
