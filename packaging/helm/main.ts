/**
 * `make chart`: the Helm chart, made of k8s/base and k8s/crds, as `helm install` takes it: build/sallyport-VERSION.tgz.
 * It is not kept in the repository, so it is never stale.
 */

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { versionOf } from '../image/program.ts';
import { tar } from '../image/tar.ts';
import { Tree } from '../image/tree.ts';
import { makeChart } from './chart.ts';

const root = resolve(import.meta.dirname, '../..');
const read = (directory: string): Map<string, string> => {
  const names = readdirSync(join(root, directory)).filter((name) => name.endsWith('.yaml'));
  return new Map(names.sort().map((name) => [name, readFileSync(join(root, directory, name), 'utf8')]));
};

const version = versionOf(root);
const tree = new Tree();
for (const [path, text] of makeChart({ files: read('k8s/base'), kinds: read('k8s/crds'), version })) {
  tree.text(`sallyport/${path}`, text);
}
const target = join(root, `build/sallyport-${version}.tgz`);
mkdirSync(join(root, 'build'), { recursive: true });
writeFileSync(target, gzipSync(tar(tree.entries())));
console.log(target);
