import { parsePathGlob } from '../../model/path-glob.ts';
import { HardeningError } from '../error.ts';
import { type Dfa, determine } from './dfa.ts';
import { AUTOMATON_LIMITS, type AutomatonLimits } from './limits.ts';
import { minimise } from './minimise.ts';
import { Nfa } from './nfa.ts';

export { DEAD, type Dfa } from './dfa.ts';
export { AUTOMATON_LIMITS, type AutomatonLimits } from './limits.ts';
export { type Packed, pack } from './pack.ts';

/** A pattern of paths, and what is matched by what it matches. */
export interface Pattern {
  readonly text: string;
  readonly accept: number;
}

/**
 * The automaton that tells which patterns a path matches.
 * @param labelOf what is said where these were matched, ascending; 0: nothing
 * @throws HardeningError PATTERN or PATTERNS
 */
export function automatonOf(
  patterns: Iterable<Pattern>,
  labelOf: (accepts: readonly number[]) => number,
  limits: AutomatonLimits = AUTOMATON_LIMITS,
): Dfa {
  const nfa = new Nfa(limits);
  for (const { text, accept } of patterns) {
    const glob = parsePathGlob(text);
    if (!glob.ok) {
      throw new HardeningError('PATTERN', { attempted: 'compile a path pattern', reason: glob.reason, blamed: [text] });
    }
    nfa.add(text, glob, accept);
  }
  return minimise(determine(nfa, labelOf, limits));
}
