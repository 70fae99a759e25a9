import type { CompileInput } from './input.ts';
import type { PolicyTables } from './tables.ts';

/**
 * Turns policies into decision tables. Keeps what it made before, by content: sets and classes that did not change
 * are the same objects in the next result, which makes both compiling and diffing cheap.
 */
export class Compiler {
  /**
   * @throws CompileError where two policies have one name, or a slot is a reserved one
   */
  compile(_input: CompileInput): PolicyTables {
    throw new Error('not written yet');
  }
}

/** One compilation that remembers nothing. */
export function compile(input: CompileInput): PolicyTables {
  return new Compiler().compile(input);
}
