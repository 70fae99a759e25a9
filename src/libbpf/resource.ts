import type { BpfErrorCode } from './error-table.ts';
import { argumentError, BpfError, fail } from './errors.ts';
import { type AnyHandle, native } from './native.ts';

/** What owns a handle of the addon: usable until `close()`, which may be called any number of times. */
export abstract class Resource<H extends AnyHandle> {
  readonly #handle: H;
  #closed = false;

  constructor(handle: H) {
    // Refuses anything but a live handle.
    native.descriptor(handle);
    this.#handle = handle;
  }

  /** As errors call it: `map "flows"`. */
  protected abstract describe(): string;

  get closed(): boolean {
    return this.#closed;
  }

  /** The handle. Throws `BpfError` CLOSED after `close()`. */
  protected live(attempted = 'use'): H {
    if (this.#closed) {
      throw new BpfError('CLOSED', { attempted: `${attempted} ${this.describe()}`, reason: 'it is closed' });
    }
    return this.#handle;
  }

  /** Gives the descriptor back. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    native.close(this.#handle);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** The result of a call that returns a value or a negative errno. */
export function opened<T>(result: T | number, code: BpfErrorCode, attempted: string, hint?: string): T {
  if (typeof result === 'number') fail(code, result, attempted, { hint, log: logOrNone() });
  return result;
}

/** Raises a negative result. */
export function expectOk(result: number, code: BpfErrorCode, attempted: string, hint?: string): void {
  if (result < 0) fail(code, result, attempted, { hint, log: logOrNone() });
}

function logOrNone(): string | undefined {
  const log = native.takeLog();
  return log === '' ? undefined : log;
}

/** Throws `BpfError` ARGUMENT unless it is bytes of exactly that size. */
export function checkBytes(value: Uint8Array, size: number, attempted: string): void {
  if (!(value instanceof Uint8Array))
    throw argumentError(attempted, `a Buffer of ${size} bytes is wanted, not ${typeof value}`);
  if (value.length !== size) throw argumentError(attempted, `${size} bytes are wanted, not ${value.length}`);
}

/** Throws `BpfError` ARGUMENT unless it is an integer in the range. */
export function checkInteger(value: number, low: number, high: number, what: string): number {
  if (Number.isInteger(value) && value >= low && value <= high) return value;
  throw argumentError(`use ${String(value)} as ${what}`, `it must be an integer from ${low} to ${high}`);
}

/** Throws `BpfError` ARGUMENT unless it is text that can be a path. */
export function checkPath(value: string, what: string): string {
  if (typeof value === 'string' && value !== '' && !value.includes('\0') && Buffer.byteLength(value) < 4096)
    return value;
  throw argumentError(
    `use ${typeof value === 'string' ? JSON.stringify(value) : typeof value} as ${what}`,
    'it must be a path',
  );
}

export const MAX_U32 = 0xffffffff;
