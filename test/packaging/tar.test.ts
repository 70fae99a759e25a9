import { strict as assert } from 'node:assert';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { type TarEntry, tar } from '../../packaging/image/tar.ts';
import { Tree } from '../../packaging/image/tree.ts';

describe('archives of the image', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'sallyport-tar-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const unpack = (entries: readonly TarEntry[]) =>
    execFileSync('tar', ['-xf', '-', '-C', directory, '--no-same-owner'], { input: tar(entries) });

  it('are what tar(1) takes: files, modes, links, directories', () => {
    const tree = new Tree()
      .text('a/run', '#!/bin/sh\n', 0o755)
      .link('a/again', 'run')
      .directory('b/c')
      .text('empty', '');
    unpack(tree.entries());
    assert.equal(readFileSync(join(directory, 'a/run'), 'utf8'), '#!/bin/sh\n');
    assert.equal(statSync(join(directory, 'a/run')).mode & 0o777, 0o755);
    assert.equal(readlinkSync(join(directory, 'a/again')), 'run');
    assert.ok(statSync(join(directory, 'b/c')).isDirectory());
    assert.equal(statSync(join(directory, 'empty')).size, 0);
  });

  it('hold paths and links of any length', () => {
    const name = fc.stringMatching(/^[a-zä]{1,40}$/);
    const path = fc.array(name, { minLength: 1, maxLength: 12 }).map((parts) => parts.join('/'));
    fc.assert(
      fc.property(path, path, (file, target) => {
        rmSync(join(directory, 'x'), { recursive: true, force: true });
        unpack(new Tree().text(`x/f/${file}`, file).link(`x/l/${file}`, target).entries());
        assert.equal(readFileSync(join(directory, 'x/f', file), 'utf8'), file);
        assert.equal(readlinkSync(join(directory, 'x/l', file)), target);
      }),
      { numRuns: 40 },
    );
  });

  it('do not depend on the order in which files were added', () => {
    const one = new Tree().text('b', '2').text('a/x', '1').text('a.b', '3');
    const other = new Tree().text('a.b', '3').text('a/x', '1').text('b', '2');
    assert.ok(tar(one.entries()).equals(tar(other.entries())));
  });
});
