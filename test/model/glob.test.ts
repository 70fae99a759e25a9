import assert from 'node:assert/strict';
import fc from 'fast-check';
import { globMatch, globsIntersect, isGlob } from '../../src/model/glob.ts';

const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?'), maxLength: 7 });
const text = fc.string({ unit: fc.constantFrom('a', 'b', '*'), maxLength: 7 });

/** The textbook definition, exponential. */
function matches(p: string, t: string): boolean {
  if (p === '') return t === '';
  if (p.startsWith('*')) return matches(p.slice(1), t) || (t !== '' && matches(p, t.slice(1)));
  return t !== '' && (p[0] === '?' || p[0] === t[0]) && matches(p.slice(1), t.slice(1));
}

function* texts(longest: number): Generator<string> {
  let level = [''];
  for (let i = 0; i <= longest; i++) {
    yield* level;
    level = level.flatMap((one) => [`${one}a`, `${one}b`, `${one}c`]);
  }
}

describe('globs', () => {
  it('match as their definition says', () => {
    fc.assert(
      fc.property(pattern, text, (p, t) => assert.equal(globMatch(p, t), matches(p, t))),
      { numRuns: 20_000 },
    );
  });

  it('intersect exactly where a text matches both', () => {
    const short = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?'), maxLength: 4 });
    const all = [...texts(7)];
    fc.assert(
      fc.property(short, short, (a, b) => {
        const common = all.some((one) => matches(a, one) && matches(b, one));
        assert.equal(globsIntersect(a, b), common);
        assert.equal(globsIntersect(b, a), common);
      }),
      { numRuns: 1_000 },
    );
  });

  it('take the longest hostile pattern and text without running away', () => {
    assert.equal(globMatch(`${'*a'.repeat(126)}b`, 'a'.repeat(253)), false);
    assert.equal(globsIntersect(`${'*a'.repeat(126)}b`, `${'a*'.repeat(126)}c`), false);
  });

  it('are told from literals', () => {
    assert.deepEqual(['web', 'w*', 'we?', ''].map(isGlob), [false, true, true, false]);
  });
});
