/**
 * Long lists of networks as the kernel's rows, made once. Sets that differ in other things than their networks share
 * one list of them (`src/compile/sets.ts`), so that a change of a policy with ten thousand addresses has to write the
 * name of the new set into the rows, and not the rows.
 */
import type { Class, NetworkEntry } from '../compile/tables.ts';
import { ClassLayout, NetworkKeyLayout } from './layouts.gen.ts';
import { classValue, networkKey } from './policy-rows.ts';

/** Shorter lists are not worth being kept, entries. */
export const LONG_LIST = 1_024;
const WORDS_OF_KEY = NetworkKeyLayout.size / 4;
/** Behind the prefix; in the machine's byte order. */
const SET_IN_KEY = 1;

export interface NetworkRows {
  readonly keys: Buffer;
  readonly values: Buffer;
  readonly count: number;
}

interface Kept extends NetworkRows {
  readonly words: Uint32Array;
}

/** By the list itself, which nobody changes; they go when it goes. */
const kept = new WeakMap<readonly NetworkEntry[], Kept>();

/**
 * The rows of a list as entries of a set. Valid until they are asked for with another set.
 * @param classOf the class of that name. What is in one never changes, so that it is asked once for a list.
 */
export function networkRows(set: bigint, list: readonly NetworkEntry[], classOf: (id: bigint) => Class): NetworkRows {
  const rows = kept.get(list) ?? make(list, classOf);
  kept.set(list, rows);
  return named(rows, set);
}

/** The same where they were made before; else undefined. */
export function knownNetworkRows(set: bigint, list: readonly NetworkEntry[]): NetworkRows | undefined {
  const rows = kept.get(list);
  return rows === undefined ? undefined : named(rows, set);
}

function named(rows: Kept, set: bigint): NetworkRows {
  const [low = 0, high = 0] = new Uint32Array(BigUint64Array.of(set).buffer);
  const { words } = rows;
  for (let word = SET_IN_KEY; word < words.length; word += WORDS_OF_KEY) {
    words[word] = low;
    words[word + 1] = high;
  }
  return rows;
}

function make(list: readonly NetworkEntry[], classOf: (id: bigint) => Class): Kept {
  const count = list.length;
  const firstValue = count * NetworkKeyLayout.size;
  // One buffer for both, because layouts keep a view of the last one they wrote to.
  const bytes = Buffer.from(new ArrayBuffer(firstValue + count * ClassLayout.size));
  for (const [row, entry] of list.entries()) {
    NetworkKeyLayout.write(networkKey(0n, entry), bytes, row * NetworkKeyLayout.size);
    ClassLayout.write(classValue(classOf(entry.class), true), bytes, firstValue + row * ClassLayout.size);
  }
  const words = new Uint32Array(bytes.buffer, 0, count * WORDS_OF_KEY);
  return { words, keys: bytes.subarray(0, firstValue), values: bytes.subarray(firstValue), count };
}
