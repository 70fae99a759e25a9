/**
 * The one container image of the tests, made on the machine: busybox with its applets, and our traffic tool.
 * No registry is asked.
 */

import { createHash } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { run } from './process.ts';
import { buildStrike, STRIKE } from './strike.ts';
import { buildTraffic, TRAFFIC } from './traffic.ts';

export const IMAGE = 'sallyport-test:latest';
/** The same layer; sleeps for ever. For sandboxes of the CRI. */
export const PAUSE_IMAGE = 'sallyport-pause:latest';

const BUILD = join(import.meta.dirname, '../../build/rig');
const BUSYBOX = '/bin/busybox';

async function applets(): Promise<string[]> {
  return (await run([BUSYBOX, '--list'])).split('\n').filter((name) => name && name !== 'busybox');
}

/** Fills `directory` with the image's root file system. */
export async function fillRootfs(directory: string): Promise<void> {
  await Promise.all([buildTraffic(), buildStrike()]);
  for (const name of ['bin', 'etc', 'proc', 'sys', 'dev', 'tmp', 'root', 'run', 'var']) {
    mkdirSync(join(directory, name), { recursive: true });
  }
  copyFileSync(BUSYBOX, join(directory, 'bin/busybox'));
  for (const name of await applets()) symlinkSync('busybox', join(directory, 'bin', name));
  copyFileSync(TRAFFIC, join(directory, 'bin/traffic'));
  copyFileSync(STRIKE, join(directory, 'bin/strike'));
  writeFileSync(join(directory, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/tmp:/bin/sh\n');
  writeFileSync(join(directory, 'etc/group'), 'root:x:0:\nuser:x:1000:\n');
}

/**
 * Path of an archive with both images, as `docker load` and `ctr images import` take it. Made once, and again
 * when one of our programs is newer.
 */
export async function imageArchive(): Promise<string> {
  await Promise.all([buildTraffic(), buildStrike()]);
  const archive = join(BUILD, 'image.tar');
  const newest = Math.max(...[TRAFFIC, STRIKE].map((path) => statSync(path).mtimeMs));
  if (existsSync(archive) && statSync(archive).mtimeMs > newest) return archive;
  mkdirSync(BUILD, { recursive: true });
  const work = mkdtempSync(join(BUILD, 'image-'));
  try {
    mkdirSync(join(work, 'rootfs'));
    mkdirSync(join(work, 'archive'));
    await fillRootfs(join(work, 'rootfs'));
    const layer = join(work, 'archive/layer.tar');
    const plain = ['--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'];
    await run(['tar', ...plain, '-C', join(work, 'rootfs'), '-cf', layer, '.']);
    const digest = createHash('sha256').update(readFileSync(layer)).digest('hex');
    const manifest = [
      { tag: IMAGE, command: ['/bin/sh'] },
      { tag: PAUSE_IMAGE, command: ['/bin/sleep', '2147483647'] },
    ].map(({ tag, command }) => {
      const config = JSON.stringify({
        architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
        os: 'linux',
        config: { Cmd: command, Env: ['PATH=/bin'] },
        rootfs: { type: 'layers', diff_ids: [`sha256:${digest}`] },
        history: [{}],
      });
      const name = `${createHash('sha256').update(config).digest('hex')}.json`;
      writeFileSync(join(work, 'archive', name), config);
      return { Config: name, RepoTags: [tag], Layers: ['layer.tar'] };
    });
    writeFileSync(join(work, 'archive/manifest.json'), JSON.stringify(manifest));
    await run(['tar', ...plain, '-C', join(work, 'archive'), '-cf', join(work, 'image.tar'), '.']);
    renameSync(join(work, 'image.tar'), archive); // whole or not at all: suites may run beside each other
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return archive;
}
