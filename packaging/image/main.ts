/**
 * `make image`: an image of the built program, made of files of this machine. No registry is asked, no Docker needed.
 *   main.ts [--repository NAME] [--out DIRECTORY]
 * Writes sallyport.tar (OCI layout and `docker load`'s) and image.json, which says what it is called.
 */

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { makeImage } from './oci.ts';
import { linkedPrograms, modulesTree, nodeTree, programTree, runtimePackages, versionOf } from './program.ts';
import { systemTree } from './system.ts';
import { Tree } from './tree.ts';

const source = resolve(import.meta.dirname, '../..');
const { values } = parseArgs({
  options: {
    repository: { type: 'string', default: 'sallyport.dev/sallyport' },
    out: { type: 'string', default: join(source, 'build/image') },
  },
});

const version = versionOf(source);
const modules = runtimePackages(readFileSync(join(source, 'package-lock.json'), 'utf8'));
const { tree: system, packages } = systemTree(linkedPrograms(source));
const contents = { debian: packages, npm: modules, node: process.version };
const list = new Tree().text('opt/sallyport/contents.json', `${JSON.stringify(contents, undefined, 2)}\n`);

// What changes least comes first, so that a new version is a small download.
const image = makeImage({
  repository: values.repository,
  tag: version,
  architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
  layers: [
    { comment: 'Debian: libraries, shell, firewall tools', tree: system },
    { comment: 'Node.js', tree: nodeTree(source) },
    { comment: 'npm packages', tree: modulesTree(source, modules) },
    { comment: 'what is in here', tree: list },
    { comment: 'Sallyport', tree: programTree(source) },
  ],
  entrypoint: ['/usr/local/bin/sallyport'],
  environment: { PATH: '/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', NODE_ENV: 'production' },
  labels: {
    'org.opencontainers.image.title': 'Sallyport',
    'org.opencontainers.image.description': 'Access control for containers in the kernel: agent, manager and CLI',
    'org.opencontainers.image.version': version,
    'org.opencontainers.image.licenses': 'Apache-2.0',
  },
});

mkdirSync(values.out, { recursive: true });
const archive = join(values.out, 'sallyport.tar');
writeFileSync(archive, image.archive);
const facts = { reference: image.reference, digest: image.digest, archive };
writeFileSync(join(values.out, 'image.json'), `${JSON.stringify(facts, undefined, 2)}\n`);
console.log(`${image.reference}  ${(image.archive.length / 1e6).toFixed(0)} MB  ${archive}`);
