/** Where the roots of a container's mounts lie in its tree, as its runtime mounted them. */
import { lstatSync, readFileSync } from 'node:fs';
import { errnoOf, SourceError } from './error.ts';
import { isWithin, type Mount, parseMountinfo, visibleMounts } from './mountinfo.ts';
import { readProcess } from './process.ts';

/** Mounts of one container whose places are told to the kernel. Others are found by the mounts that lead there. */
export const ANCHORS_MOST = 256;

/** The root of a mount. */
export interface MountedRoot {
  /** As the kernel has it: major << 20 | minor. */
  readonly device: number;
  /** 0: the file system's own root. */
  readonly inode: bigint;
}

export interface MountAnchors {
  /** Of the root mount. */
  readonly root: MountedRoot;
  /** Each mount's root once, the one mounted first. Absolute paths in UTF-8. */
  readonly anchors: readonly (MountedRoot & { readonly path: string })[];
}

/**
 * File systems whose servers are not asked anything by looking at a file: another's might never answer. Anchors of
 * others are made only where no file need be looked at.
 */
const LOCAL: ReadonlySet<string> = new Set([
  'btrfs',
  'cgroup',
  'cgroup2',
  'devpts',
  'devtmpfs',
  'erofs',
  'ext2',
  'ext3',
  'ext4',
  'f2fs',
  'hugetlbfs',
  'iso9660',
  'mqueue',
  'overlay',
  'proc',
  'ramfs',
  'squashfs',
  'sysfs',
  'tmpfs',
  'vfat',
  'xfs',
  'zfs',
]);

/** What of a file says which it is; undefined where it cannot be looked at. */
export type Look = (path: string) => { readonly device: number; readonly inode: bigint } | undefined;

/**
 * Chooses the mounts that are to be known by their place. What of the root's own tree is mounted elsewhere is left
 * out: it stays what it is at its first place. So is what is not visible, and what has no name in UTF-8.
 * @param look by the path seen from the container's root
 * @param devices the device of the node's devtmpfs, which belongs at /dev wherever a container mounts it
 * @throws SourceError UNREADABLE where the root cannot be looked at
 */
export function chooseAnchors(mounts: readonly Mount[], look: Look, devices?: number): MountAnchors {
  const visible = visibleMounts(mounts);
  const rootMount = visible.find(({ path }) => path === '/');
  const root = rootOf(rootMount, look);
  const byId = new Map(mounts.map((mount) => [mount.id, mount]));
  const taken = new Set<string>();
  const anchors: (MountedRoot & { readonly path: string })[] = [];
  for (const mount of visible) {
    if (anchors.length === ANCHORS_MOST) break;
    const path = utf8(mount.path);
    if (path === undefined || path === '/') continue;
    if (rootMount !== undefined && mount.device === rootMount.device && isWithin(mount.root, rootMount.root)) continue;
    const inode = mount.root === '/' ? 0n : inodeOf(mount, byId, look);
    if (inode === undefined || taken.has(`${mount.device} ${inode}`)) continue;
    taken.add(`${mount.device} ${inode}`);
    anchors.push({ device: mount.device, inode, path });
  }
  if (devices !== undefined && devices !== root.device && !taken.has(`${devices} 0`)) {
    anchors.push({ device: devices, inode: 0n, path: '/dev' });
  }
  return { root, anchors };
}

/**
 * Reads the mounts of a container by one of its processes.
 * @param pids tried in this order
 * @param cgroup the container's, below the cgroup2 mount
 * @throws SourceError UNREADABLE where none of them runs in the container's cgroup
 */
export function readAnchors(proc: string, pids: Iterable<number>, cgroup: string): MountAnchors {
  const devices = parseMountinfo(readFileSync(`${proc}/self/mountinfo`, 'latin1')).find(
    ({ type, root }) => type === 'devtmpfs' && root === '/',
  )?.device;
  for (const pid of pids) {
    if (!belongs(proc, pid, cgroup)) continue;
    try {
      const mounts = parseMountinfo(readFileSync(`${proc}/${pid}/mountinfo`, 'latin1'));
      const found = chooseAnchors(mounts, (path) => lookAt(`${proc}/${pid}/root`, path), devices);
      // The number may have gone to another process meanwhile.
      if (belongs(proc, pid, cgroup)) return found;
    } catch (error) {
      if (!(error instanceof SourceError) && !['ENOENT', 'ESRCH', 'EINVAL'].includes(errnoOf(error) ?? '')) throw error;
    }
  }
  throw new SourceError('UNREADABLE', `Cannot read the mounts of cgroup ${cgroup}: no process of its own runs there`);
}

function rootOf(mount: Mount | undefined, look: Look): MountedRoot {
  if (mount?.root === '/') return { device: mount.device, inode: 0n };
  const found = look('/');
  if (found === undefined) throw new SourceError('UNREADABLE', 'Cannot look at the root of a container');
  // A file system with subvolumes shows other numbers than the mount's.
  return { device: mount?.device ?? found.device, inode: found.inode };
}

/** Looked at where no other's server is asked on the way, and only if it is then what the mount says. */
function inodeOf(mount: Mount, byId: ReadonlyMap<number, Mount>, look: Look): bigint | undefined {
  for (let at: Mount | undefined = mount, steps = 0; at !== undefined; at = byId.get(at.parent), steps++) {
    if (!LOCAL.has(at.type) || steps > byId.size) return undefined;
    if (at.parent === at.id) break;
  }
  const found = look(mount.path);
  return found?.device === mount.device ? found.inode : undefined;
}

function belongs(proc: string, pid: number, cgroup: string): boolean {
  const process = readProcess(proc, pid);
  return process?.unified !== undefined && isWithin(process.unified, cgroup);
}

function lookAt(root: string, path: string): ReturnType<Look> {
  try {
    const { dev, ino } = lstatSync(Buffer.concat([Buffer.from(`${root}/`), Buffer.from(path.slice(1), 'latin1')]), {
      bigint: true,
    });
    return { device: kernelDevice(dev), inode: ino };
  } catch {
    return undefined; // gone, or hidden meanwhile
  }
}

/** The kernel's own form of what stat(2) shows: major << 20 | minor. */
function kernelDevice(shown: bigint): number {
  const major = Number((shown >> 8n) & 0xfffn);
  const minor = Number((shown & 0xffn) | ((shown >> 12n) & 0xfff00n));
  return ((major << 20) | minor) >>> 0;
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function utf8(bytes: string): string | undefined {
  try {
    return UTF8.decode(Buffer.from(bytes, 'latin1'));
  } catch {
    return undefined;
  }
}
