import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type GlobItem, MAX_PATH_BYTES, type PathGlob, parsePathGlob } from '../../src/model/path-glob.ts';
import { pathGlobMatch } from '../../src/model/path-glob-match.ts';
import { MAX_TEXTS } from '../../src/model/path-glob-reader.ts';

function parsed(pattern: string): PathGlob {
  const glob = parsePathGlob(pattern);
  assert.ok(glob.ok, glob.ok ? '' : `${pattern}: ${glob.reason}`);
  return glob;
}

describe('a pattern of paths', () => {
  const cases: [pattern: string, means: string[], not: string[]][] = [
    ['/', ['/'], ['/a', '']],
    ['/**', ['/', '/a', '/a/b/c'], ['', 'a', '@a']],
    ['/etc/passwd', ['/etc/passwd'], ['/etc/passwd-', '/etc/passw', '/etc/passwd/x', '/etc', '/']],
    ['/etc/**', ['/etc', '/etc/a', '/etc/a/b'], ['/etcx', '/', '/usr/etc']],
    ['/home/*/.ssh', ['/home/a/.ssh', '/home/.hidden/.ssh'], ['/home/.ssh', '/home/a/b/.ssh', '/home//.ssh']],
    ['/**/id_*', ['/id_rsa', '/a/b/id_'], ['/id', '/id_rsa/x']],
    ['/a/**/b/**/c', ['/a/b/c', '/a/x/b/c', '/a/b/x/y/c'], ['/a/c', '/a/b/x', '/b/c']],
    ['/dev/sd?', ['/dev/sda', '/dev/sdé', '/dev/sd世', '/dev/sd😀'], ['/dev/sd', '/dev/sda1', '/dev/sd/']],
    ['/x/[a-c0]', ['/x/a', '/x/c', '/x/0'], ['/x/d', '/x/', '/x/ab']],
    ['/x/[!a-c]', ['/x/d', '/x/é', '/x/!'], ['/x/a', '/x/', '/x/dd']],
    ['/x/[^a]b', ['/x/bb'], ['/x/ab', '/x/^b/']],
    ['/x/[éa]', ['/x/é', '/x/a'], ['/x/e', '/x/\u00c3']],
    ['/x/[*][?][{]', ['/x/*?{'], ['/x/aa{']],
    ['/x/[]a-]', ['/x/]', '/x/a', '/x/-'], ['/x/b']],
    ['/{bin,sbin}/{a,}sh', ['/bin/sh', '/sbin/ash'], ['/bin/bash', '/lib/sh']],
    ['/{,usr/}{bin,sbin}/sh', ['/bin/sh', '/usr/sbin/sh'], ['/usr/sh', '//bin/sh']],
    ['/srv/{a,b/**}/c', ['/srv/a/c', '/srv/b/c', '/srv/b/x/y/c'], ['/srv/c', '/srv/a/x/c']],
    ['/a,b', ['/a,b'], ['/a', '/b']],
    ['/{,a}', ['/a'], ['/']],
    ['@abstract*', ['@abstract', '@abstract/with/slashes'], ['/abstract', '@abstrac', 'abstract']],
    ['@/run/[!/]?', ['@/run/ab', '@/run/a/'], ['@/run//a']],
  ];
  for (const [pattern, means, not] of cases) {
    it(`${pattern} means what it says`, () => {
      const glob = parsed(pattern);
      for (const path of means) assert.ok(pathGlobMatch(glob, path), `means ${path}`);
      for (const path of not) assert.ok(!pathGlobMatch(glob, path), `does not mean ${path}`);
    });
  }

  it('takes bytes that begin no character for one each', () => {
    const [one, two] = [parsed('/x/?'), parsed('/x/??')];
    const path = (...bytes: number[]): Uint8Array => Uint8Array.from([...Buffer.from('/x/'), ...bytes]);
    assert.ok(pathGlobMatch(one, path(0xff)));
    assert.ok(pathGlobMatch(one, path(0x80)));
    assert.ok(pathGlobMatch(one, path(0xc3, 0xa9)));
    assert.ok(!pathGlobMatch(two, path(0xc3, 0xa9)), 'one character is not two');
    assert.ok(pathGlobMatch(parsed('/x/*'), path(0xc3)));
  });

  it('agrees with a regular expression for the same names', () => {
    interface Part {
      readonly glob: string;
      readonly source: string;
    }
    const piece: fc.Arbitrary<Part> = fc.oneof(
      fc.constantFrom('a', 'b', 'é', '-').map((c) => ({ glob: c, source: c })),
      fc.constantFrom(
        { glob: '*', source: '[^/]*' },
        { glob: '?', source: '[^/]' },
        { glob: '[ab]', source: '[ab]' },
        { glob: '[!a]', source: '[^a/]' },
        { glob: '{a,bb}', source: '(?:a|bb)' },
        { glob: '{,b*}', source: '(?:|b[^/]*)' },
      ),
    );
    const names = fc.array(piece, { minLength: 1, maxLength: 3 }).map((parts) => ({
      glob: `/${parts.map(({ glob }) => glob).join('')}`,
      source: `/(?=[^/])${parts.map(({ source }) => source).join('')}`,
    }));
    // Two stars beside each other are something else.
    const name = names.filter(({ glob }) => !glob.includes('**'));
    const part = fc.oneof(
      { weight: 4, arbitrary: name },
      { weight: 1, arbitrary: fc.constant({ glob: '/**', source: '(?:/[^/]+)*' }) },
      { weight: 1, arbitrary: fc.constant({ glob: '/{a/b,b}', source: '/(?:a/b|b)' }) },
    );
    const pattern = fc.array(part, { minLength: 1, maxLength: 4 });
    const path = fc.string({ unit: fc.constantFrom('a', 'b', 'é', '/a', '/b', '/', '/ab'), maxLength: 7 });
    let matched = 0;
    fc.assert(
      fc.property(pattern, fc.array(path, { minLength: 8, maxLength: 8 }), (parts, paths) => {
        const text = parts.map(({ glob }) => glob).join('');
        const glob = parsePathGlob(text);
        if (!glob.ok) return assert.match(glob.reason, /follow a star/);
        const expression = new RegExp(`^${parts.map(({ source }) => source).join('')}$`, 'u');
        for (const tail of paths) {
          const whole = `/${tail}`.replaceAll(/\/{2,}/g, '/').replace(/(.)\/$/, '$1');
          const expected = expression.test(whole === '/' ? '' : whole);
          assert.equal(pathGlobMatch(glob, whole), expected, `${text} and ${whole}`);
          if (expected) matched++;
        }
      }),
      { numRuns: 3_000 },
    );
    assert.ok(matched > 500, `only ${matched} paths matched`);
  });
});

describe('a bad pattern of paths', () => {
  const cases: [name: string, pattern: string, reason: RegExp, suggestion?: string][] = [
    ['nothing', '', /empty/],
    ['a path that is not absolute', 'etc/passwd', /begin with "\/"/, '/etc/passwd'],
    ['a home directory', '~/.ssh', /begin with "\/"/],
    ['two slashes', '/etc//passwd', /"\/\/"/, '/etc/passwd'],
    ['a slash at the end', '/etc/', /ends with "\/"/, '/etc/**'],
    ['a name of two dots', '/etc/../shadow', /"\.\."/],
    ['a name of one dot', '/./etc', /"\."/],
    ['two dots between braces', '/{a/../b,c}', /"\.\."/],
    ['an empty name between braces', '/a/{b,/c}', /may be empty/],
    ['two stars in a name', '/etc/a**', /only part of a name/, '/etc/a*'],
    ['two stars before a name', '/etc/**.conf', /only part of a name/, '/etc/*.conf'],
    ['three stars', '/***', /more than two/],
    ['a backslash', '/etc/\\*', /brackets/],
    ['a bracket left open', '/etc/[ab', /nothing closes the "\["/],
    ['a bracket with a slash', '/etc/[a/b]', /nothing closes the "\["/],
    ['an empty bracket', '/etc/[]', /nothing closes the "\["/],
    ['a bracket that is closed only', '/etc/a]', /nothing opens the "\]"/],
    ['a brace left open', '/{a,b', /nothing closes the "\{"/],
    ['a brace that is closed only', '/a}', /nothing opens the "\}"/],
    ['a brace without a comma', '/{a}', /without a ","/],
    ['a range backwards', '/[c-a]', /backwards/],
    ['a range that is not of ASCII', '/[a-é]', /not of ASCII/],
    ['others than a letter that is not of ASCII', '/[!é]', /other than ASCII/],
    ['a control character', '/etc/a\nb', /control character/],
    ['half a character', '/etc/\ud800', /not Unicode/],
    ['an abstract name without a name', '@', /no name/],
    ['a name too long', `/${'a'.repeat(256)}`, /longer than 255 bytes/],
    ['a name of too many bytes', `/${'é'.repeat(128)}`, /longer than 255 bytes/],
    ['a path too long', '/a'.repeat(2_048), /longer than 4095 bytes/],
    ['an abstract name too long', `@${'a'.repeat(108)}`, /over 108 bytes/],
    ['braces that stand for too much', `/${'{a,b}'.repeat(9)}`, /more than 256 texts/],
    ['braces that stand for too many paths', '/{a/b,c}'.repeat(6), /more than 32 paths/],
    ['braces too deep', '/{a,{b,{c,{d,{e,f}}}}}', /more than 4 braces inside/],
    ['wildcards that double an automaton', `/*a${'?'.repeat(9)}`, /more than 8 wildcards follow a star/],
    ['stars without end', '/*a'.repeat(10), /more than 8 wildcards follow a star/],
    ['wildcards without end', `/${'?'.repeat(129)}`, /more than 128 wildcards/],
  ];
  for (const [name, pattern, reason, suggestion] of cases) {
    it(`with ${name} is refused, and says why`, () => {
      const problem = parsePathGlob(pattern);
      assert.ok(!problem.ok);
      assert.match(problem.reason, reason);
      assert.equal(problem.suggestion, suggestion);
      if (suggestion !== undefined) parsed(suggestion);
    });
  }

  const size = (items: readonly GlobItem[]): number =>
    items.reduce(
      (sum, item) => sum + 1 + (item.type === 'either' ? item.of.reduce((n, one) => n + size(one), 0) : 0),
      0,
    );

  it('never makes the reader throw, nor give more than its bounds', () => {
    const noise = fc.string({
      unit: fc.constantFrom(
        '/',
        '*',
        '**',
        '?',
        '[',
        ']',
        '{',
        '}',
        ',',
        '!',
        '-',
        '@',
        'a',
        'é',
        '.',
        '..',
        '\\',
        '{a,b}',
      ),
      maxLength: 60,
    });
    fc.assert(
      fc.property(
        fc.oneof(
          noise,
          noise.map((text) => `/${text}`),
          fc.string({ unit: 'binary' }),
        ),
        (text) => {
          const glob = parsePathGlob(text);
          if (!glob.ok) return assert.ok(glob.reason.length > 5 && glob.reason.length < 120);
          assert.ok(glob.paths.length >= 1 && glob.paths.length <= 32);
          for (const { names } of glob.paths) {
            for (const name of names) assert.ok(name.type === 'deep' || size(name.items) <= MAX_TEXTS * 8);
          }
        },
      ),
      { numRuns: 20_000 },
    );
  });

  it('is found in time, however many braces are in it', () => {
    const bombs = ['{a,b}', '{', '{a,', '[', '*', '{a/b,c/d}', '{{a,b},{c,d}}', '?', '{**,a}', '{a,{b,{c,{d,'];
    for (const bomb of bombs) {
      const text = `/${bomb.repeat(MAX_PATH_BYTES)}`;
      for (const length of [200, MAX_PATH_BYTES, text.length]) assert.ok(!parsePathGlob(text.slice(0, length)).ok);
    }
  });
});
