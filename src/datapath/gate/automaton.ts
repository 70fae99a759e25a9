/** The automaton by which the kernel knows containers' cgroups (bpf/api/gate.h). Pure. */
import { GateAccept, GateAutomatonLayout, GateFormat } from '../layouts.gen.ts';
import { type Bytes, GatePatternError, readPatterns, type Steps } from './patterns.ts';

export interface GateAutomaton {
  /** As it lies in the kernel. */
  readonly bytes: Buffer;
  readonly start: number;
  readonly states: number;
  readonly classes: number;
}

/** What a pattern is for; the later counts where several match. */
export interface GatePatterns {
  /** New cgroups that wait. */
  readonly containers: readonly string[];
  /** Never wait, nor what lies below. */
  readonly exceptions: readonly string[];
}

const CLASSES = 256;
const ACCEPTS = CLASSES;
const NEXT = CLASSES + GateFormat.States;
const START = 1;

/**
 * Makes the automaton, deterministic, by subsets.
 * @throws GatePatternError where it would be too large, or a pattern is none
 */
export function compileGatePatterns({ containers, exceptions }: GatePatterns): GateAutomaton {
  const patterns = [...containers, ...exceptions];
  const read = readPatterns(patterns);
  const [name = ''] = patterns;
  const classes = classesOf(read);
  if (classes.length > GateFormat.Classes) {
    throw new GatePatternError(name, `all patterns tell ${classes.length} kinds of bytes apart, wanted at most 64`);
  }
  const bytes = Buffer.alloc(GateAutomatonLayout.size);
  for (const [number, set] of classes.entries()) for (const byte of bytesOf(set)) bytes[byte] = number;

  const acceptOf = acceptsOf(read, containers.length);
  const moves = movesOf(read, classes);
  const numbers = new Map<string, number>();
  const waiting: (readonly number[])[] = [];
  const numberOf = (subset: readonly number[]): number => {
    if (subset.length === 0) return 0;
    const key = String.fromCharCode(...subset);
    const known = numbers.get(key);
    if (known !== undefined) return known;
    const number = START + numbers.size;
    if (number >= GateFormat.States) {
      throw new GatePatternError(name, `all patterns together need more than ${GateFormat.States} states`);
    }
    numbers.set(key, number);
    waiting.push(subset);
    bytes[ACCEPTS + number] = acceptOf(subset);
    return number;
  };
  numberOf(closureOf(read)([0]));
  // The list grows while it is gone through.
  for (const [index, subset] of waiting.entries()) {
    for (let number = 0; number < classes.length; number++) {
      const next = new Set<number>();
      for (const state of subset) for (const to of moves[state]?.[number] ?? []) next.add(to);
      const target = numberOf([...next].sort((a, b) => a - b));
      bytes.writeUInt16LE(target, NEXT + ((START + index) * GateFormat.Classes + number) * 2);
    }
  }
  return { bytes, start: START, states: numbers.size + 1, classes: classes.length };
}

/**
 * Reads a path as the kernel does.
 * @returns what the first part of it is that is more than nothing; `whole` where that is all of the path
 */
export function readCgroupPath({ bytes, start }: GateAutomaton, path: string): { accept: number; whole: boolean } {
  let state = start;
  for (const [index, byte] of [...Buffer.from(path), 0].entries()) {
    if (byte === 0 || (byte === 0x2f && index > 0)) {
      const accept = bytes[ACCEPTS + state] ?? GateAccept.None;
      if (byte === 0 || accept !== GateAccept.None) return { accept, whole: byte === 0 };
    }
    state = bytes.readUInt16LE(NEXT + (state * GateFormat.Classes + (bytes[byte] ?? 0)) * 2);
    if (state === 0) break;
  }
  return { accept: GateAccept.None, whole: false };
}

/** Whether a new cgroup of that path waits, where none above it does. */
export function isContainerPath(automaton: GateAutomaton, path: string): boolean {
  const { accept, whole } = readCgroupPath(automaton, path);
  return whole && accept === GateAccept.Container;
}

/** Bytes that no pattern tells apart, together. */
function classesOf({ steps }: Steps): Bytes[] {
  let classes: Bytes[] = [(1n << 256n) - 1n];
  for (const set of new Set(steps.flatMap(({ bytes }) => bytes ?? []))) {
    classes = classes.flatMap((one) => [one & set, one & ~set].filter((part) => part !== 0n));
  }
  return classes;
}

function* bytesOf(set: Bytes): Generator<number> {
  for (let byte = 0; byte < 256; byte++) if (((set >> BigInt(byte)) & 1n) === 1n) yield byte;
}

/** By state and class: where its bytes lead, states that are reached from there without one included. */
function movesOf(read: Steps, classes: readonly Bytes[]): readonly (readonly (readonly number[])[])[] {
  const closure = closureOf(read);
  const byState = Map.groupBy(read.steps, ({ from }) => from);
  return Array.from({ length: read.states }, (_, state) => {
    const steps = (byState.get(state) ?? []).filter(({ bytes }) => bytes !== undefined);
    return classes.map((set) => closure(steps.filter(({ bytes = 0n }) => (bytes & set) !== 0n).map(({ to }) => to)));
  });
}

function acceptsOf({ ends }: Steps, containers: number): (subset: readonly number[]) => number {
  const kinds = new Map<number, number>();
  for (const [index, end] of ends.entries()) {
    const kind = index < containers ? GateAccept.Container : GateAccept.Exception;
    kinds.set(end, Math.max(kinds.get(end) ?? 0, kind));
  }
  return (subset) => Math.max(...subset.map((state) => kinds.get(state) ?? GateAccept.None));
}

/** States reached from some by no byte at all, and they themselves: sorted, each once. */
function closureOf({ steps }: Steps): (states: readonly number[]) => readonly number[] {
  const free = Map.groupBy(
    steps.filter((step) => step.bytes === undefined),
    (step) => step.from,
  );
  return (states) => {
    const found = new Set(states);
    for (const state of found) for (const { to } of free.get(state) ?? []) found.add(to);
    return [...found].sort((a, b) => a - b);
  };
}
