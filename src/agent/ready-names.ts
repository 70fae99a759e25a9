import { READY_RULES, READY_SETS } from '../hardening/catalogue/index.ts';

/** What may stand in `ready` of a rule: ready rules, and groups of them. */
export const READY_NAMES: ReadonlySet<string> = new Set([...READY_RULES.keys(), ...READY_SETS.keys()]);
