import { LITTLE_ENDIAN, viewOf } from './byte-order.ts';

/** Just enough of an assembler for probes: struct bpf_insn (RFC 9669), 8 bytes an instruction. */
export interface Instruction {
  readonly code: number;
  readonly destination?: number;
  readonly source?: number;
  readonly offset?: number;
  readonly immediate?: number;
}

export function assemble(instructions: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(instructions.length * 8);
  const view = viewOf(bytes);
  for (const [index, { code, destination = 0, source = 0, offset = 0, immediate = 0 }] of instructions.entries()) {
    const at = index * 8;
    view.setUint8(at, code);
    view.setUint8(at + 1, LITTLE_ENDIAN ? (source << 4) | destination : (destination << 4) | source);
    view.setInt16(at + 2, offset, LITTLE_ENDIAN);
    view.setInt32(at + 4, immediate, LITTLE_ENDIAN);
  }
  return bytes;
}

/** Register 10: the end of the stack. */
export const STACK = 10;

/** `register = value` */
export function move(register: number, value: number): Instruction {
  return { code: 0xb7, destination: register, immediate: value };
}

/** `register = from` */
export function copy(register: number, from: number): Instruction {
  return { code: 0xbf, destination: register, source: from };
}

/** `register += value` */
export function add(register: number, value: number): Instruction {
  return { code: 0x07, destination: register, immediate: value };
}

/** `*(u8|u32|u64 *)(register + offset) = value` */
export function store(size: 1 | 4 | 8, register: number, offset: number, value: number): Instruction {
  return { code: { 1: 0x72, 4: 0x62, 8: 0x7a }[size], destination: register, offset, immediate: value };
}

/** `if (register == 0) skip the next count` */
export function skipIfZero(register: number, count: number): Instruction {
  return { code: 0x15, destination: register, offset: count };
}

/** Calls a kernel function by its BTF id, of the kernel or of the module given at load. */
export function callKernel(id: number, ofModule: boolean): Instruction {
  return { code: 0x85, source: 2, offset: ofModule ? 1 : 0, immediate: id };
}

export const EXIT: Instruction = { code: 0x95 };

/** A program that does nothing and returns a value. */
export function returning(value: number): Buffer {
  return assemble([move(0, value), EXIT]);
}
