/** Mounts, by the old interface and the new, and changes of the root. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { attemptSync, run } from '../../../rig/process.ts';
import type { Deeds, Stage } from './deeds.ts';

async function prepare(directory: string): Promise<Stage> {
  const names = {
    here: join(directory, 'here'),
    there: join(directory, 'there'),
    guarded: join(directory, 'guarded'),
    near: join(directory, 'guarded2'),
  };
  for (const path of Object.values(names)) mkdirSync(path);
  await run(['modprobe', 'loop']);
  // Two, since a disk cannot be mounted in two ways while the kernel has not let go of the first.
  const disks: string[] = [];
  for (const name of ['disk', 'disk2']) {
    const image = join(directory, name);
    writeFileSync(image, Buffer.alloc(1 << 20));
    await run(['mkfs.ext2', '-q', image]);
    disks.push((await run(['losetup', '--find', '--show', image])).trim());
  }
  const [disk = '', disk2 = ''] = disks;
  const close = (): void => {
    for (const one of disks) attemptSync(['losetup', '--detach', one]);
  };
  return { names: { ...names, disk, disk2 }, close };
}

export const MOUNTS: Deeds = {
  what: 'rules on mounts',
  prepare,
  trials: [
    {
      title: 'refuse a file system, by both interfaces',
      rules: '[{name: tmpfs, mounts: {operations: [new], fileSystems: [tmpfs]}}]',
      attack: 'mount tmpfs none {here} 0',
      around: ['mount tmpfs none {here} 1', 'mount-new tmpfs {here}', 'mount-new tmpfs {here} ro'],
      neighbours: ['mount ramfs none {here} 0', 'mount-new ramfs {here}', 'bind {there} {here}', 'umount /tmp'],
    },
    {
      title: 'refuse only what is not read-only',
      rules: '[{name: proc, mounts: {operations: [new, remount], fileSystems: [proc], writable: true}}]',
      attack: 'mount proc proc {here} 0',
      around: ['mount-new proc {here}', 'remount /proc 0', 'remount-new /proc', 'mount-setattr /proc'],
      neighbours: ['mount proc proc {here} 1', 'mount tmpfs none {here} 0', 'remount /proc 4097', 'remount-new /tmp'],
    },
    {
      title: 'refuse what lies on a disk',
      rules: '[{name: disk, mounts: {operations: [new], devices: true}}]',
      attack: 'mount ext2 {disk} {here} 0',
      around: ['mount ext2 {disk2} {here} 1'],
      neighbours: ['mount tmpfs {disk} {here} 0', 'mount-new tmpfs {here}'],
    },
    {
      title: 'refuse to bind, also what stays without a place',
      rules: '[{name: bind, mounts: {operations: [bind]}}]',
      attack: 'bind {here} {there}',
      around: ['open-tree-clone {here}'],
      neighbours: ['open-tree {here}', 'mount tmpfs none {here} 0', 'mount-new tmpfs {here}', 'propagate /tmp'],
    },
    {
      title: 'refuse to change a mount',
      rules: '[{name: remount, mounts: {operations: [remount]}}]',
      attack: 'remount /tmp 0',
      around: ['remount-new /tmp', 'mount-setattr /tmp', 'remount /tmp 4096'],
      neighbours: ['mount tmpfs none {here} 0', 'bind {here} {there}', 'propagate /tmp', 'umount /tmp'],
    },
    {
      title: 'refuse to take a mount away',
      rules: '[{name: umount, mounts: {operations: [unmount]}}]',
      attack: 'umount /tmp',
      around: [],
      neighbours: ['mount tmpfs none {here} 0', 'move /tmp /mnt'],
    },
    {
      title: 'refuse to move a mount, and let a new one find its place',
      rules: '[{name: move, mounts: {operations: [move]}}]',
      attack: 'move /tmp /mnt',
      around: ['move-new /tmp /mnt'],
      neighbours: ['mount-new tmpfs {here}', 'bind {here} {there}', 'umount /tmp'],
    },
    {
      title: 'refuse to change where mounts propagate',
      rules: '[{name: share, mounts: {operations: [propagation]}}]',
      attack: 'propagate /tmp',
      around: ['mount-setattr /tmp'],
      neighbours: ['mount tmpfs none {here} 0', 'remount /tmp 0', 'bind {here} {there}'],
    },
    {
      title: 'refuse to cover a directory',
      rules: '[{name: place, files: {paths: ["{guarded}/**"], access: [mount]}}]',
      refusal: 'EACCES',
      attack: 'mount tmpfs none {guarded} 0',
      around: ['mount-new tmpfs {guarded}', 'bind {here} {guarded}'],
      neighbours: ['mount tmpfs none {near} 0', 'mount-new tmpfs {near}', 'bind {guarded} {here}'],
    },
    {
      title: 'refuse another root',
      rules: '[{name: root, operations: [chroot, pivot-root]}]',
      attack: 'chroot {here}',
      around: ['pivot-root {here}'],
      neighbours: ['mount tmpfs none {here} 0', 'open-tree {here}'],
    },
  ],
};
