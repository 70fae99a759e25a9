import { LITTLE_ENDIAN, viewOf } from './byte-order.ts';
import { BpfError } from './errors.ts';

/** For generated layouts. */
export { viewOf };

/** How a value of the kernel's lies in bytes. Generated from BTF by `generate-layouts.ts`, or one of those below. */
export interface Layout<T> {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  read(buffer: Buffer, offset: number): T;
  /** Writes all `size` bytes, padding as zeros. Throws `BpfError` LAYOUT for numbers out of range. */
  write(value: T, buffer: Buffer, offset: number): void;
}

function outOfRange(type: string, value: unknown): never {
  throw new BpfError('LAYOUT', { attempted: `write ${String(value)} as ${type}`, reason: `it is not a ${type}` });
}

/** Up to this many are written one by one: calling out for them takes longer. */
const FEW_BYTES = 64;

/** The number itself; throws unless it fits. */
export function u8(value: number): number {
  return (value & 0xff) === value ? value : outOfRange('u8', value);
}

export function u16(value: number): number {
  return (value & 0xffff) === value ? value : outOfRange('u16', value);
}

export function u32(value: number): number {
  return value >>> 0 === value ? value : outOfRange('u32', value);
}

export function u64(value: bigint): bigint {
  return typeof value === 'bigint' && value >= 0n && value <= 0xffffffffffffffffn ? value : outOfRange('u64', value);
}

export function i8(value: number): number {
  return (value << 24) >> 24 === value ? value : outOfRange('i8', value);
}

export function i16(value: number): number {
  return (value << 16) >> 16 === value ? value : outOfRange('i16', value);
}

export function i32(value: number): number {
  return (value | 0) === value ? value : outOfRange('i32', value);
}

export function i64(value: bigint): bigint {
  return typeof value === 'bigint' && BigInt.asIntN(64, value) === value ? value : outOfRange('i64', value);
}

/** A copy of `length` bytes. */
export function readBytes(buffer: Buffer, offset: number, length: number): Uint8Array {
  if (offset + length > buffer.length) throw new RangeError(`no ${length} bytes at ${offset} of ${buffer.length}`);
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = buffer[offset + i]!;
  return bytes;
}

export function writeBytes(value: Uint8Array, buffer: Buffer, offset: number, length: number): void {
  if (!(value instanceof Uint8Array) || value.length !== length) outOfRange(`byte array of ${length}`, value);
  if (offset + length > buffer.length) throw new RangeError(`no ${length} bytes at ${offset} of ${buffer.length}`);
  if (length > FEW_BYTES) buffer.set(value, offset);
  else for (let i = 0; i < length; i++) buffer[offset + i] = value[i]!;
}

/** Sets bytes to zero, of which there are mostly some few. */
export function clearBytes(buffer: Buffer, offset: number, length: number): void {
  if (offset + length > buffer.length) throw new RangeError(`no ${length} bytes at ${offset} of ${buffer.length}`);
  if (length > FEW_BYTES) buffer.fill(0, offset, offset + length);
  else for (let i = offset; i < offset + length; i++) buffer[i] = 0;
}

/** The array itself; throws unless it has `length` elements. */
export function sized<T>(value: readonly T[], length: number): readonly T[] {
  return Array.isArray(value) && value.length === length ? value : outOfRange(`array of ${length}`, value);
}

/** A C string: up to the first NUL or `length` bytes. */
export function readText(buffer: Buffer, offset: number, length: number): string {
  const end = buffer.indexOf(0, offset);
  return buffer.toString('utf8', offset, end === -1 || end > offset + length ? offset + length : end);
}

export function writeText(value: string, buffer: Buffer, offset: number, length: number): void {
  if (typeof value !== 'string' || Buffer.byteLength(value) > length) outOfRange(`text of ${length} bytes`, value);
  buffer.fill(0, offset, offset + length);
  buffer.write(value, offset, length, 'utf8');
}

export const U8: Layout<number> = {
  name: 'u8',
  size: 1,
  read: (buffer, offset) => viewOf(buffer).getUint8(offset),
  write: (value, buffer, offset) => viewOf(buffer).setUint8(offset, u8(value)),
};

export const BOOL: Layout<boolean> = {
  name: 'bool',
  size: 1,
  read: (buffer, offset) => viewOf(buffer).getUint8(offset) !== 0,
  write: (value, buffer, offset) => viewOf(buffer).setUint8(offset, value ? 1 : 0),
};

export const U16: Layout<number> = {
  name: 'u16',
  size: 2,
  read: (buffer, offset) => viewOf(buffer).getUint16(offset, LITTLE_ENDIAN),
  write: (value, buffer, offset) => viewOf(buffer).setUint16(offset, u16(value), LITTLE_ENDIAN),
};

export const U32: Layout<number> = {
  name: 'u32',
  size: 4,
  read: (buffer, offset) => viewOf(buffer).getUint32(offset, LITTLE_ENDIAN),
  write: (value, buffer, offset) => viewOf(buffer).setUint32(offset, u32(value), LITTLE_ENDIAN),
};

export const I32: Layout<number> = {
  name: 'i32',
  size: 4,
  read: (buffer, offset) => viewOf(buffer).getInt32(offset, LITTLE_ENDIAN),
  write: (value, buffer, offset) => viewOf(buffer).setInt32(offset, i32(value), LITTLE_ENDIAN),
};

export const U64: Layout<bigint> = {
  name: 'u64',
  size: 8,
  read: (buffer, offset) => viewOf(buffer).getBigUint64(offset, LITTLE_ENDIAN),
  write: (value, buffer, offset) => viewOf(buffer).setBigUint64(offset, u64(value), LITTLE_ENDIAN),
};

/** Bytes as they are. */
export function bytesLayout(size: number): Layout<Uint8Array> {
  return {
    name: `u8[${size}]`,
    size,
    read: (buffer, offset) => readBytes(buffer, offset, size),
    write: (value, buffer, offset) => writeBytes(value, buffer, offset, size),
  };
}
