import assert from 'node:assert/strict';
import fc from 'fast-check';
import { generalizeName } from '../../../src/hardening/learn/names.ts';
import { generalizePaths, type TreeOptions } from '../../../src/hardening/learn/tree.ts';
import { parsePathGlob } from '../../../src/model/path-glob.ts';
import { pathGlobMatch } from '../../../src/model/path-glob-match.ts';

const files: TreeOptions = { children: 4, execution: false, cut: false };
const programs: TreeOptions = { ...files, execution: true };

function matches(glob: string, path: string): boolean {
  const parsed = parsePathGlob(glob);
  assert.ok(parsed.ok, `${glob}: ${parsed.ok ? '' : parsed.reason}`);
  return pathGlobMatch(parsed, path);
}
const anyMatches = (globs: readonly string[], path: string): boolean => globs.some((glob) => matches(glob, path));

describe('what is learnt of a name', () => {
  const cases: [what: string, name: string, directory: string, glob: string][] = [
    ['a process', '4711', '/proc', '[0-9]*'],
    ['a word', 'passwd', '/etc', 'passwd'],
    ['a word with a number', 'python3.11', '/usr/lib', 'python3.11'],
    ['an architecture', 'x86_64-linux-gnu', '/usr/lib', 'x86_64-linux-gnu'],
    ['a UUID', 'run-0c5f8f3a-98c1-4a55-9b0e-8d7c1f2e3a4b.sock', '/run', 'run-*.sock'],
    ['a hash', '3f2a9c1b7e6d5f40.bin', '/cache', '*.bin'],
    ['a word of hexadecimal letters', 'deadbeefcafe', '/cache', 'deadbeefcafe'],
    ['a date', 'app-2026-11-22.log', '/var/log', 'app-[0-9]*.log'],
    ['a date and time', 'app-2026-11-22T10-30-00.log', '/var/log', 'app-[0-9]*.log'],
    ['a version of a library', 'libz.so.1.2.13', '/usr/lib', 'libz.so.*'],
    ['an older way to write it', 'libc-2.36.so', '/lib', 'libc-[0-9]*.so'],
    ['a process in a name', 'nginx.12345.pid', '/run', 'nginx.[0-9]*.pid'],
    ['what mktemp makes', 'tmp.aX81kQz0Lm', '/tmp', 'tmp.*'],
    ['what compilers make', 'ccXy12Zq.s', '/tmp', '*.s'],
    ['the same elsewhere', 'ccXy12Zq.s', '/src', 'ccXy12Zq.s'],
    ['a word among temporary files', 'Makefile', '/tmp/build', 'Makefile'],
    ['special characters', 'a*b[1]{x}', '/data', 'a[*]b[[]1[]][{]x[}]'],
    ['a line feed', 'a\nb', '/data', 'a?b'],
  ];
  for (const [what, name, directory, glob] of cases) {
    it(`${what}: ${JSON.stringify(name)} becomes ${glob}`, () => {
      assert.equal(generalizeName(name, directory), glob);
      assert.ok(matches(`${directory}/${glob}`, `${directory}/${name}`));
    });
  }
});

describe('what is learnt of paths', () => {
  const many = (n: number, path: (i: number) => string): string[] => Array.from({ length: n }, (_, i) => path(i));
  const letter = (i: number): string => String.fromCharCode(97 + i);

  const cases: [what: string, paths: string[], options: TreeOptions, globs: string[]][] = [
    ['few files stay as they are', ['/srv/b', '/srv/a'], files, ['/srv/a', '/srv/b']],
    ['many files of a directory are the directory', many(5, (i) => `/srv/${letter(i)}`), files, ['/srv/*']],
    ['but not in /etc', many(5, (i) => `/etc/${letter(i)}`), files, many(5, (i) => `/etc/${letter(i)}`)],
    ['alike below many', many(5, (i) => `/home2/${letter(i)}/.profile`), files, ['/home2/*/.profile']],
    ['unlike below many', many(5, (i) => `/srv/${letter(i)}/${letter(i)}`), files, ['/srv/**']],
    ['processes', ['/proc/1/stat', '/proc/22/stat', '/proc/sys'], files, ['/proc/[0-9]*/stat', '/proc/sys']],
    ['two that differ in a number', ['/dev/tty1', '/dev/tty2'], files, ['/dev/tty[0-9]*']],
    ['one with a number', ['/dev/tty1'], files, ['/dev/tty1']],
    ['the root', ['/'], files, ['/']],
    ['a directory and what is in it', ['/srv', '/srv/a'], files, ['/srv', '/srv/a']],
    [
      'executables, however many',
      many(6, (i) => `/usr/bin/${letter(i)}`),
      programs,
      many(6, (i) => `/usr/bin/${letter(i)}`),
    ],
    ['executables with numbers', ['/bin/python3', '/bin/python2'], programs, ['/bin/python2', '/bin/python3']],
    [
      'many libraries',
      [...many(6, (i) => `/lib/lib${letter(i)}.so.1`), '/lib/ld'],
      programs,
      ['/lib/*.so*', '/lib/ld'],
    ],
    ['paths without a beginning', ['/b/c'], { ...files, cut: true }, ['/**/b/c']],
    ['many numbers', ['/data/1/2/3/4/5/6/7'], files, ['/data/[0-9]*/[0-9]*/[0-9]*/[0-9]*/**']],
  ];
  for (const [what, paths, options, globs] of cases) {
    it(`${what}`, () => {
      assert.deepEqual(generalizePaths(paths, options), globs);
      const seen = options.cut ? paths.map((path) => `/lost${path}`) : paths;
      for (const path of seen) assert.ok(anyMatches(globs, path), path);
    });
  }

  const name = fc.oneof(
    fc.constantFrom('a', 'b', 'lib', 'tmp', 'etc', 'proc', 'x86', '*', '**', '[a]', '{a,b}', '@', 'é', '-'),
    fc.stringMatching(/^[a-zA-Z0-9.*?[\]{}\\_-]{1,12}$/).filter((one) => one !== '.' && one !== '..'),
    fc.integer({ min: 0, max: 999_999 }).map(String),
    fc.stringMatching(/^lib[a-z]{1,3}\.so\.\d{1,2}(\.\d{1,2})?$/),
    fc.stringMatching(/^tmp\.[a-zA-Z0-9]{6,10}$/),
    fc.uuid(),
  );
  const path = fc.array(name, { maxLength: 9 }).map((names) => `/${names.join('/')}`);
  const options = fc.record({
    children: fc.integer({ min: 1, max: 8 }),
    execution: fc.boolean(),
    cut: fc.constant(false),
  });

  it('allows whatever was seen, in any order, with patterns that are accepted', () => {
    fc.assert(
      fc.property(fc.array(path, { maxLength: 60 }), options, (paths, chosen) => {
        const globs = generalizePaths(paths, chosen);
        for (const one of paths) assert.ok(anyMatches(globs, one), `${one} by ${globs.join(' ')}`);
        assert.deepEqual(generalizePaths([...paths].reverse(), chosen), globs);
      }),
      { numRuns: 300 },
    );
  });

  it('allows nothing in directories in which nothing was seen', () => {
    fc.assert(
      fc.property(fc.array(path, { maxLength: 40 }), path, options, (paths, other, chosen) => {
        const globs = generalizePaths(
          paths.map((one) => `/seen${one}`),
          chosen,
        );
        for (const unseen of [`/unseen${other}`, other.replace('/', '/seenn/'), '/']) {
          assert.ok(!anyMatches(globs, unseen), `${unseen} by ${globs.join(' ')}`);
        }
      }),
      { numRuns: 300 },
    );
  });
});
