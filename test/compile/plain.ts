import type { PolicyTables } from '../../src/compile/tables.ts';

/** The tables as ordinary maps: two that hold the same are equal, however they came to be. */
export function plain({ subjects, sets, classes, rules }: PolicyTables): PolicyTables {
  return { subjects: new Map(subjects), sets: new Map(sets), classes: new Map(classes), rules: new Map(rules) };
}
