import type { Btf, BtfEnumerator, BtfMember, BtfType } from './btf.ts';
import { BpfError } from './errors.ts';

/** What a field holds, as generated code reads it. */
export type Shape =
  | { readonly kind: 'number'; readonly size: 1 | 2 | 4 | 8; readonly signed: boolean; readonly bigEndian: boolean }
  | { readonly kind: 'bool' }
  | { readonly kind: 'bytes'; readonly length: number }
  | { readonly kind: 'text'; readonly length: number }
  | { readonly kind: 'struct'; readonly name: string; readonly size: number }
  | { readonly kind: 'array'; readonly element: Shape; readonly length: number; readonly stride: number };

export interface FieldShape {
  readonly name: string;
  readonly offset: number;
  readonly shape: Shape;
}

export interface StructShape {
  readonly name: string;
  readonly size: number;
  readonly fields: readonly FieldShape[];
  /** Bytes that belong to no field: padding, written as zeros. */
  readonly gaps: boolean;
}

export interface EnumShape {
  readonly name: string;
  readonly values: readonly BtfEnumerator[];
}

/** Which types to emit. What they contain comes with them. */
export interface Selection {
  /** Keys and values of every map. */
  readonly maps: boolean;
  /** Types of global variables, and what pointers among them point to. */
  readonly variables: boolean;
  readonly structs: readonly string[];
  readonly enums: readonly string[];
}

const PADDING = /^_*(pad|padding|reserved)\d*$/;
const NETWORK_ORDER = /^__be(16|32|64)$/;
const MAPS = '.maps';

/** The selected structs and enums of some objects' BTF, by their C names. */
export class Shapes {
  readonly structs = new Map<string, StructShape>();
  readonly enums = new Map<string, EnumShape>();

  /** Adds one object's types. Throws `BpfError` BTF for types that have no layout or differ between objects. */
  add(btf: Btf, selection: Selection): void {
    new Collector(btf, this).collect(selection);
  }

  /** The names asked for that no object had. */
  missing(selection: Selection): string[] {
    return [
      ...selection.structs.filter((name) => !this.structs.has(name)).map((name) => `struct ${name}`),
      ...selection.enums.filter((name) => !this.enums.has(name)).map((name) => `enum ${name}`),
    ];
  }
}

function unfit(what: string, reason: string): BpfError {
  return new BpfError('BTF', { attempted: `make a layout of ${what}`, reason });
}

function put<T extends { readonly name: string }>(into: Map<string, T>, shape: T): void {
  const before = into.get(shape.name);
  const print = (value: T): string =>
    JSON.stringify(value, (_, part) => (typeof part === 'bigint' ? `${part}n` : part));
  if (before !== undefined && print(before) !== print(shape)) {
    throw unfit(shape.name, 'two objects define it differently; compile them from the same headers');
  }
  into.set(shape.name, shape);
}

class Collector {
  readonly #btf: Btf;
  readonly #into: Shapes;
  readonly #done = new Set<number>();

  constructor(btf: Btf, into: Shapes) {
    this.#btf = btf;
    this.#into = into;
  }

  collect(selection: Selection): void {
    const { types } = this.#btf;
    for (const [id, type] of types.entries()) {
      if (type.kind === 'struct' && selection.structs.includes(type.name)) this.#select(id);
      if (type.kind === 'enum' && selection.enums.includes(type.name)) this.#select(id);
      if (type.kind !== 'section') continue;
      for (const entry of type.variables) {
        if (type.name === MAPS && selection.maps) this.#map(entry.type);
        if (type.name !== MAPS && selection.variables) this.#select(this.#target(entry.type));
      }
    }
  }

  #type(id: number): BtfType {
    const type = this.#btf.types[id];
    if (type === undefined) throw unfit(`type ${id}`, 'the BTF has no such type');
    return type;
  }

  /** Behind typedefs, qualifiers and variables. */
  #strip(id: number): { id: number; type: BtfType; typedefs: string[] } {
    const typedefs: string[] = [];
    let at = id;
    // A damaged BTF may go round in a circle.
    for (let steps = 0; steps < 64; steps++) {
      const type = this.#type(at);
      if (type.kind !== 'alias' && type.kind !== 'variable') return { id: at, type, typedefs };
      if (type.kind === 'alias' && type.how === 'typedef') typedefs.push(type.name);
      at = type.type;
    }
    throw unfit(`type ${id}`, 'its typedefs never end');
  }

  /** Behind pointers and arrays too. */
  #target(id: number): number {
    let at = this.#strip(id);
    for (let steps = 0; steps < 64; steps++) {
      if (at.type.kind === 'pointer') at = this.#strip(at.type.type);
      else if (at.type.kind === 'array') at = this.#strip(at.type.element);
      else break;
    }
    return at.id;
  }

  /** libbpf's map definitions are structs whose members point to the key's and the value's types. */
  #map(id: number): void {
    const { type } = this.#strip(id);
    if (type.kind !== 'struct') return;
    for (const member of type.members) {
      if (member.name === 'key' || member.name === 'value') this.#select(this.#target(member.type));
      // A map of maps: the inner definition.
      if (member.name === 'values') this.#map(this.#target(member.type));
    }
  }

  #select(id: number): void {
    if (this.#done.has(id)) return;
    this.#done.add(id);
    const type = this.#type(id);
    if (type.kind === 'enum' && type.name !== '') put(this.#into.enums, { name: type.name, values: type.values });
    if (type.kind !== 'struct' || type.name === '') return;
    const { name, size } = type;
    const fields = this.#fields(name, type.members, 0);
    const covered = fields.reduce((sum, field) => sum + sizeOf(field.shape), 0);
    put(this.#into.structs, { name, size, fields, gaps: covered < size });
  }

  #fields(struct: string, members: readonly BtfMember[], base: number): FieldShape[] {
    const fields: FieldShape[] = [];
    for (const member of members) {
      const what = `"${member.name}" of struct ${struct}`;
      if (member.bitSize !== 0 || member.bitOffset % 8 !== 0) throw unfit(what, 'bit-fields are not supported');
      if (PADDING.test(member.name)) continue;
      const offset = base + member.bitOffset / 8;
      const { type } = this.#strip(member.type);
      if (member.name === '' && type.kind === 'struct') {
        fields.push(...this.#fields(struct, type.members, offset));
      } else {
        const name = member.name === '' ? `unnamed${offset}` : member.name;
        fields.push({ name, offset, shape: this.#shape(what, member.type) });
      }
    }
    return fields;
  }

  #shape(what: string, id: number): Shape {
    const { id: stripped, type, typedefs } = this.#strip(id);
    switch (type.kind) {
      case 'int':
        if (type.bool) return { kind: 'bool' };
        return number(
          what,
          type.size,
          type.signed,
          typedefs.some((name) => NETWORK_ORDER.test(name)),
        );
      case 'enum':
        this.#select(stripped);
        return number(
          what,
          type.size,
          type.values.some(({ value }) => value < 0n),
          false,
        );
      case 'pointer':
        return number(what, 8, false, false);
      case 'union':
        return { kind: 'bytes', length: type.size };
      case 'struct':
        if (type.name === '') return { kind: 'bytes', length: type.size };
        this.#select(stripped);
        return { kind: 'struct', name: type.name, size: type.size };
      case 'array': {
        const element = this.#strip(type.element).type;
        if (element.kind === 'int' && element.size === 1 && !element.bool) {
          return { kind: element.name === 'char' ? 'text' : 'bytes', length: type.length };
        }
        const shape = this.#shape(what, type.element);
        return { kind: 'array', element: shape, length: type.length, stride: sizeOf(shape) };
      }
      default:
        throw unfit(what, `a ${type.kind} has no layout`);
    }
  }
}

function number(what: string, size: number, signed: boolean, bigEndian: boolean): Shape {
  if (size !== 1 && size !== 2 && size !== 4 && size !== 8)
    throw unfit(what, `integers of ${size} bytes have no layout`);
  return { kind: 'number', size, signed, bigEndian };
}

/** Bytes. */
export function sizeOf(shape: Shape): number {
  switch (shape.kind) {
    case 'bool':
      return 1;
    case 'number':
    case 'struct':
      return shape.size;
    case 'bytes':
    case 'text':
      return shape.length;
    case 'array':
      return shape.length * shape.stride;
  }
}
