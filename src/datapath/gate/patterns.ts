/** Patterns of cgroup paths, read into what an automaton is made of. Pure. */

/** A set of bytes, as a mask of 256 bits. */
export type Bytes = bigint;

/** One step of a nondeterministic automaton: from a state by a byte of the set, or by none, to another. */
export interface Step {
  readonly from: number;
  readonly bytes: Bytes | undefined;
  readonly to: number;
}

/** Reads paths from state 0; `ends` are the states in which one pattern has been read whole. */
export interface Steps {
  readonly steps: readonly Step[];
  readonly ends: readonly number[];
  readonly states: number;
}

export const LONGEST_PATTERN = 1_024;
export const MOST_PATTERNS = 4_096;
/** States have numbers of 16 bits. */
const MOST_STEPS = 0xffff;

/** A pattern cannot be used: which, and why. */
export class GatePatternError extends Error {
  readonly code = 'GATE_PATTERN';
  readonly pattern: string;

  constructor(pattern: string, why: string) {
    super(`Cannot use the cgroup pattern ${JSON.stringify(pattern)}: ${why}`);
    this.pattern = pattern;
  }
}

const of = (...bytes: readonly number[]): Bytes => bytes.reduce((set, byte) => set | (1n << BigInt(byte)), 0n);
const text = (characters: string): Bytes => of(...Buffer.from(characters));

const SLASH = text('/');
const HEXADECIMAL = text('0123456789abcdef');
/** No path has a zero byte in it: it is its end. */
const WITHIN = ((1n << 256n) - 1n) & ~SLASH & ~of(0);
/** Container ids of Docker, containerd, CRI-O and podman. */
const ID_LENGTH = 64;
const ID = '{id}';

/**
 * Reads patterns: `*` and `?` within a component, `**` for any number of components, `{id}` for a container id (64
 * hexadecimal digits).
 * @throws GatePatternError
 */
export function readPatterns(patterns: readonly string[]): Steps {
  const [first] = patterns;
  if (first !== undefined && patterns.length > MOST_PATTERNS) {
    throw new GatePatternError(first, `there are ${patterns.length}, wanted at most ${MOST_PATTERNS}`);
  }
  const steps: Step[] = [];
  let states = 1;
  const ends = patterns.map((pattern) => {
    let at = 0;
    const go = (bytes: Bytes | undefined, to = states++): void => {
      steps.push({ from: at, bytes, to });
      at = to;
    };
    for (const component of componentsOf(pattern)) {
      if (component !== '**') {
        go(SLASH);
        readComponent(component, go, (bytes) => steps.push({ from: at, bytes, to: at }));
        continue;
      }
      go(undefined);
      const between = at;
      go(SLASH);
      go(WITHIN);
      steps.push({ from: at, bytes: WITHIN, to: at }, { from: at, bytes: undefined, to: between });
      at = between;
    }
    return at;
  });
  if (first !== undefined && states > MOST_STEPS) {
    throw new GatePatternError(first, `all patterns together are longer than ${MOST_STEPS} bytes, ids counted whole`);
  }
  return { steps, ends, states };
}

function componentsOf(pattern: string): string[] {
  if (!pattern.startsWith('/')) throw new GatePatternError(pattern, 'it does not begin with /');
  if (Buffer.byteLength(pattern) > LONGEST_PATTERN || pattern.includes('\0')) {
    throw new GatePatternError(pattern, `wanted at most ${LONGEST_PATTERN} bytes, none of them zero`);
  }
  const components = pattern.slice(1).split('/');
  const odd = components.find((one) => one === '' || one === '.' || one === '..');
  if (odd !== undefined) throw new GatePatternError(pattern, `${JSON.stringify(odd)} is no part of a cgroup's path`);
  const mixed = components.find((one) => one !== '**' && one.includes('**'));
  if (mixed !== undefined) throw new GatePatternError(pattern, `** stands alone, not in ${JSON.stringify(mixed)}`);
  return components;
}

function readComponent(component: string, go: (bytes: Bytes) => void, stay: (bytes: Bytes) => void): void {
  for (const [index, part] of component.split(ID).entries()) {
    if (index > 0) for (let i = 0; i < ID_LENGTH; i++) go(HEXADECIMAL);
    for (const byte of Buffer.from(part)) {
      if (byte === 0x2a) stay(WITHIN);
      else go(byte === 0x3f ? WITHIN : of(byte));
    }
  }
}
