import assert from 'node:assert/strict';
import fc from 'fast-check';
import { automatonOf, type Dfa, pack } from '../../src/hardening/automaton/index.ts';
import { HardeningError } from '../../src/hardening/error.ts';
import { MATCH_SINK } from '../../src/hardening/format.ts';
import { ProfilePages } from '../../src/hardening/pages.ts';
import { parsePathGlob } from '../../src/model/path-glob.ts';
import { pathGlobMatch } from '../../src/model/path-glob-match.ts';
import { globs, near, someBytes } from './worlds.ts';

const RUNS = Number(process.env.FUZZ_RUNS ?? 800);

/** An automaton whose labels are the sets of patterns that match. */
function automaton(patterns: readonly string[]): {
  dfa: Dfa;
  matched: (path: Uint8Array) => readonly number[];
  /** How many pages are read for a path. */
  pagesRead: (path: Uint8Array) => number;
} {
  const sets: (readonly number[])[] = [[]];
  const dfa = automatonOf(
    patterns.map((text, accept) => ({ text, accept })),
    (accepts) => sets.push(accepts) - 1,
  );
  const pages = new ProfilePages();
  const labels = new Map<number, number>();
  const packed = pack(
    dfa,
    (state) => {
      const label = dfa.labels[state]!;
      if (label === 0) return 0;
      const zeros = { rulings: Array(9).fill(0), moving: 0, guards: 0, keeps: 0 };
      const match = pages.match({ ...zeros, executables: BigInt(label) });
      labels.set(match, label);
      return match;
    },
    pages,
  );
  return {
    dfa,
    matched: (path) => sets[labels.get(walk(pages.pages, packed.start, path).match) ?? 0]!,
    pagesRead: (path) => walk(pages.pages, packed.start, path).pages.size,
  };
}

/** The match of a path, by the cells as harden.h has them. */
function walk(
  pages: readonly Uint8Array[],
  start: number,
  path: Uint8Array,
): { readonly match: number; readonly pages: ReadonlySet<number> } {
  const read = new Set<number>();
  const cell = (state: number, byte: number): { next: number; owner: number } => {
    read.add(state >>> 11);
    const page = pages[state >>> 11]!;
    const at = page.byteOffset + 8 * ((state & 2047) + byte);
    const [next = 0, owner = 0] = new Uint32Array(page.buffer, at, 2);
    return { next, owner };
  };
  let state = start;
  for (const byte of path) {
    if (state === 0) return { match: 0, pages: read };
    const own = cell(state, byte);
    const isSink = (cell(state, 0).owner & MATCH_SINK) !== 0;
    const next = own.owner === (state & 2047) ? own.next : cell(state, 0).next;
    if (isSink) assert.equal(next, state);
    state = next;
  }
  return { match: state === 0 ? 0 : cell(state, 0).owner & 0x1fffffff, pages: read };
}

function plainly(patterns: readonly string[], path: Uint8Array): number[] {
  return [...patterns.keys()].filter((i) => {
    const glob = parsePathGlob(patterns[i]!);
    return glob.ok && pathGlobMatch(glob, path);
  });
}

/** Patterns that multiply each other are refused, as they should: nothing can be said of them then. */
function affordable(patterns: readonly string[]): ReturnType<typeof automaton> {
  try {
    return automaton(patterns);
  } catch (error) {
    fc.pre(!(error instanceof HardeningError && error.code === 'PATTERNS'));
    throw error;
  }
}

describe('the automaton of path patterns', function () {
  this.timeout(120_000);

  it('matches what plain matching of each pattern does, of few patterns', () => {
    fc.assert(
      fc.property(
        fc
          .array(globs, { minLength: 1, maxLength: 6 })
          .chain((patterns) =>
            fc.tuple(
              fc.constant(patterns),
              fc.array(someBytes, { maxLength: 5 }),
              fc.array(fc.constantFrom(...patterns).chain(near), { maxLength: 10 }),
            ),
          ),
        ([patterns, anywhere, close]) => {
          const { matched } = affordable(patterns);
          for (const path of [...anywhere, ...close, Buffer.from('/')]) {
            assert.deepEqual(matched(path), plainly(patterns, path), path.toString());
          }
        },
      ),
      { numRuns: RUNS },
    );
  });

  it('matches what plain matching does, of thousands of patterns', () => {
    const words = Array.from({ length: 50 }, (_, i) => `w${i}`);
    const word = fc.constantFrom(...words);
    const pattern = fc.oneof(
      fc.array(word, { minLength: 1, maxLength: 4 }).map((names) => `/${names.join('/')}`),
      fc.tuple(fc.constantFrom('w1', 'w2', 'w3'), word).map(([a, b]) => `/${a}/**/${b}`),
      fc.tuple(word, word).map(([a, b]) => `/${a}/${b}/**`),
      fc.tuple(word, word).map(([a, b]) => `/${a}/*-${b}`),
      fc.tuple(word, word).map(([a, b]) => `/${a}/{${b},x${b}}.[ab]`),
      fc.tuple(fc.constantFrom('w1', 'w4'), word).map(([a, b]) => `/*/${a}/${b}?`),
    );
    const paths = fc.array(
      fc.oneof(
        fc.array(word, { minLength: 1, maxLength: 5 }).map((names) => Buffer.from(`/${names.join('/')}`)),
        pattern.chain(near),
      ),
      { minLength: 40, maxLength: 40 },
    );
    fc.assert(
      fc.property(fc.array(pattern, { minLength: 2000, maxLength: 3000 }), paths, (patterns, some) => {
        const { matched } = automaton(patterns);
        for (const path of some) assert.deepEqual(matched(path), plainly(patterns, path), path.toString());
      }),
      { numRuns: 3, endOnFailure: true },
    );
  });

  it('reads few pages for a path, also of 10,000 patterns', () => {
    const patterns = Array.from({ length: 10_000 }, (_, i) => `/srv/data/${i % 97}/file-${i}.conf`);
    const { pagesRead } = automaton(patterns);
    const counts = patterns.map((pattern) => pagesRead(Buffer.from(pattern)));
    const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length;
    assert.ok(mean < 4, `${mean} pages`);
    assert.equal(pagesRead(Buffer.from('/usr/lib/x86_64-linux-gnu/libc.so.6')), 1);
  });

  it('has one state for ends that are alike', () => {
    const alike = Array.from({ length: 100 }, (_, i) => `/data/${i}/config/settings.yaml`);
    const sizes = [1, 100].map(
      (count) =>
        automatonOf(
          alike.slice(0, count).map((text) => ({ text, accept: 0 })),
          () => 1,
        ).size,
    );
    assert.ok(sizes[1]! < sizes[0]! + 20, sizes.join());
  });

  it('names the patterns that make it too large, instead of trying for ever', () => {
    const harmless = Array.from({ length: 50 }, (_, i) => `/etc/file-${i}`);
    const bombs = Array.from({ length: 40 }, (_, i) => `/tmp/*${String.fromCharCode(97 + (i % 26))}${i}*x*`);
    assert.throws(
      () => automaton([...harmless, ...bombs]),
      (error) => {
        assert.ok(error instanceof HardeningError && error.code === 'PATTERNS');
        assert.ok(error.blamed.length > 0 && error.blamed.every((text) => bombs.includes(text)), error.message);
        return true;
      },
    );
  });
});
