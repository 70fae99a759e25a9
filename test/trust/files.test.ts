import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TrustError } from '../../src/trust/error.ts';
import { type Access, FILE_BYTES_MOST, readTrusted, writeTrusted } from '../../src/trust/files.ts';

const codeOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    return error instanceof TrustError ? error.code : String(error);
  }
  return 'ok';
};

describe('files of certificates and keys', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'sallyport-test-trust-'));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));
  const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);

  it('have exactly the mode they were given, whatever the umask, in directories of their owner', () => {
    const before = process.umask(0);
    try {
      for (const umask of [0, 0o077]) {
        process.umask(umask);
        const directory = join(root, `u${umask}`, 'tls');
        const path = (name: string): string => join(directory, name);
        writeTrusted(
          [
            { path: path('a.key'), text: 'secret', mode: 0o600 },
            { path: path('a.crt'), text: 'public', mode: 0o644 },
          ],
          { force: false },
        );
        assert.deepEqual([modeOf(path('a.key')), modeOf(path('a.crt'))], ['600', '644']);
        assert.deepEqual([modeOf(directory), modeOf(join(directory, '..'))], ['700', '700']);
        assert.deepEqual(readdirSync(directory).sort(), ['a.crt', 'a.key']);
      }
    } finally {
      process.umask(before);
    }
  });

  it('are not overwritten, none of them, unless forced', () => {
    const files = ['a', 'b'].map((name) => ({ path: join(root, name), text: 'new', mode: 0o600 as const }));
    writeFileSync(join(root, 'b'), 'old', { mode: 0o644 });
    assert.equal(
      codeOf(() => writeTrusted(files, { force: false })),
      'EXISTS',
    );
    assert.equal(existsSync(join(root, 'a')), false);
    assert.equal(readFileSync(join(root, 'b'), 'utf8'), 'old');
    // Nor by what came to be there since it was looked.
    const twice = ['first', 'second'].map((text) => ({ path: join(root, 'c'), text, mode: 0o600 as const }));
    assert.equal(
      codeOf(() => writeTrusted(twice, { force: false })),
      'EXISTS',
    );
    assert.equal(readFileSync(join(root, 'c'), 'utf8'), 'first');
    rmSync(join(root, 'c'));
    writeTrusted(files, { force: true });
    assert.equal(readFileSync(join(root, 'b'), 'utf8'), 'new');
    assert.equal(modeOf(join(root, 'b')), '600');
    assert.deepEqual(readdirSync(root).sort(), ['a', 'b']);
  });

  it('are not written through a link that somebody left there', () => {
    const elsewhere = join(root, 'elsewhere');
    writeFileSync(elsewhere, 'kept');
    for (const target of [elsewhere, '/nowhere']) {
      const path = join(root, 'link');
      symlinkSync(target, path);
      const files = [{ path, text: 'secret', mode: 0o600 as const }];
      assert.equal(
        codeOf(() => writeTrusted(files, { force: false })),
        'EXISTS',
      );
      writeTrusted(files, { force: true });
      assert.equal(readFileSync(path, 'utf8'), 'secret');
      assert.equal(readFileSync(elsewhere, 'utf8'), 'kept');
      rmSync(path);
    }
  });

  it('leave nothing behind where they cannot be written', () => {
    writeFileSync(join(root, 'file'), '');
    const path = join(root, 'file', 'a');
    assert.equal(
      codeOf(() => writeTrusted([{ path, text: 'x', mode: 0o600 }], { force: true })),
      'UNWRITABLE',
    );
    assert.deepEqual(readdirSync(root), ['file']);
  });

  const modes: [mode: number, access: Access, expected: string][] = [
    [0o600, 'owner-only', 'ok'],
    [0o400, 'owner-only', 'ok'],
    [0o640, 'owner-only', 'EXPOSED'],
    [0o604, 'owner-only', 'EXPOSED'],
    [0o610, 'owner-only', 'EXPOSED'],
    [0o640, 'group-reads', 'ok'],
    [0o660, 'group-reads', 'EXPOSED'],
    [0o644, 'group-reads', 'EXPOSED'],
    [0o644, 'anybody-reads', 'ok'],
    [0o664, 'anybody-reads', 'EXPOSED'],
    [0o646, 'anybody-reads', 'EXPOSED'],
  ];
  for (const [mode, access, expected] of modes) {
    it(`of mode ${mode.toString(8)} are ${expected === 'ok' ? 'read' : 'refused'} where ${access}`, () => {
      const path = join(root, 'a');
      writeFileSync(path, 'text');
      chmodSync(path, mode);
      assert.equal(
        codeOf(() => readTrusted(path, access)),
        expected,
      );
      // The link's own mode says nothing.
      symlinkSync(path, join(root, 'link'));
      assert.equal(
        codeOf(() => readTrusted(join(root, 'link'), access)),
        expected,
      );
    });
  }

  it('are not what hangs, never ends, or is too long', () => {
    execFileSync('mkfifo', ['-m', '600', join(root, 'pipe')]);
    writeFileSync(join(root, 'huge'), '', { mode: 0o600 });
    truncateSync(join(root, 'huge'), FILE_BYTES_MOST + 1);
    const cases: [path: string, code: string][] = [
      [join(root, 'pipe'), 'UNREADABLE'],
      ['/dev/zero', 'UNREADABLE'],
      [root, 'UNREADABLE'],
      [join(root, 'huge'), 'INVALID'],
      [join(root, 'absent'), 'MISSING'],
    ];
    for (const [path, code] of cases)
      assert.equal(
        codeOf(() => readTrusted(path, 'owner-only')),
        code,
        path,
      );
  });
});
