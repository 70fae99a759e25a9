import { strict as assert } from 'node:assert';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runtimePackages } from '../../packaging/image/program.ts';

const ROOT = join(import.meta.dirname, '../..');

describe('what the image holds', () => {
  const packages = runtimePackages(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));
  const paths = new Set(packages.map(({ path }) => path));
  const manifest = (path: string) => JSON.parse(readFileSync(join(ROOT, path, 'package.json'), 'utf8'));

  it('is every package that another one in it depends on', () => {
    const resolves = (from: string, name: string): boolean => {
      for (let at = from; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
        if (paths.has(`${at === '' ? '' : `${at}/`}node_modules/${name}`)) return true;
        if (at === '') return false;
      }
    };
    for (const name of Object.keys(manifest('').dependencies)) assert.ok(resolves('', name), name);
    for (const path of paths) {
      for (const name of Object.keys(manifest(path).dependencies ?? {}))
        assert.ok(resolves(path, name), `${path}: ${name}`);
    }
  });

  it('is nothing that only builds and tests need', () => {
    for (const name of ['typescript', 'mocha', 'c8', '@biomejs/biome', 'node-gyp']) {
      assert.ok(!paths.has(`node_modules/${name}`), name);
    }
    for (const path of paths) assert.ok(existsSync(join(ROOT, path)), path);
  });
});
