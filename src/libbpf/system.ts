import { readFileSync } from 'node:fs';
import { BpfError, fail } from './errors.ts';
import { native } from './native.ts';
import { checkInteger, checkPath, expectOk, opened } from './resource.ts';

const ENOENT = -2;
const ESRCH = -3;
const EMEDIUMTYPE = -124;

export interface Credentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** The id by which the kernel's helpers call a cgroup-v2 directory. Throws `BpfError` NOT_FOUND or SYSTEM. */
export function cgroupId(path: string): bigint {
  const id = native.cgroupId(checkPath(path, 'a cgroup'));
  if (typeof id === 'bigint') return id;
  const attempted = `read the id of cgroup "${path}"`;
  if (id === ENOENT) throw new BpfError('NOT_FOUND', { attempted, errno: id });
  return fail('SYSTEM', id, attempted, id === EMEDIUMTYPE ? { reason: 'it is not on a cgroup2 file system' } : {});
}

/** Who is at the other end of a connected UNIX socket, as the kernel saw it connect. */
export function peerCredentials(fd: number): Credentials {
  checkInteger(fd, 0, 0x7fffffff, 'a descriptor');
  return opened<Credentials>(native.peerCredentials(fd), 'SYSTEM', `ask who is connected to descriptor ${fd}`);
}

/** Mounts a bpffs on an existing directory, for root only; does nothing where one is mounted. */
export function mountBpffs(path: string): void {
  expectOk(native.mountBpffs(checkPath(path, 'a mount point')), 'SYSTEM', `mount a bpffs at "${path}"`);
}

/** A descriptor that names a process for good, for task storage. The caller closes it (`fs.closeSync`). */
export function openPidfd(pid: number): number {
  const fd = native.openPidfd(checkInteger(pid, 1, 0x7fffffff, 'a pid'));
  if (fd >= 0) return fd;
  const attempted = `open process ${pid}`;
  if (fd === ESRCH) throw new BpfError('NOT_FOUND', { attempted, errno: fd });
  return fail('SYSTEM', fd, attempted);
}

/**
 * Sends a signal to the process a pidfd names, and to no later one with the same number. False where it has ended.
 * @param signal its number on this architecture (`os.constants.signals`)
 */
export function signalPidfd(descriptor: number, signal: number): boolean {
  checkInteger(descriptor, 0, 0x7fffffff, 'a pidfd');
  const errno = native.signalPidfd(descriptor, checkInteger(signal, 0, 64, 'a signal'));
  if (errno !== ESRCH) expectOk(errno, 'SYSTEM', `send signal ${signal} to pidfd ${descriptor}`);
  return errno === 0;
}

/** Whether the kernel's types know a function of that name: `bpf_lsm_file_open` where it has that security hook. */
export function hasKernelFunction(name: string): boolean {
  return native.kernelFunctionId(name, undefined) >= 0;
}

/** How many CPUs per-CPU maps have values for. */
export function possibleCpus(): number {
  return native.possibleCpus();
}

/**
 * Gives the system back what is free in the heap of C, which loading programs leaves behind and glibc keeps.
 * @returns whether anything was given back
 */
export function trimHeap(): boolean {
  return native.trimHeap();
}

/**
 * Lets go of the pages of this process's own program that are only read: half of Node's are needed by nothing but its
 * start. What is used again comes back from the page cache.
 * @returns whether any were let go of: not while a debugger or a uprobe has changed some
 */
export function releaseProgram(): boolean {
  return native.releaseProgram();
}

/**
 * Where the cgroup-v2 tree is mounted, from /proc/self/mountinfo (proc(5)); undefined when it is not. Of several
 * mounts the whole tree's first one.
 */
export function findCgroup2Mount(mountinfo = readFileSync('/proc/self/mountinfo', 'utf8')): string | undefined {
  let partial: string | undefined;
  for (const line of mountinfo.split('\n')) {
    const [fields = '', source = ''] = line.split(' - ');
    if (!source.startsWith('cgroup2 ')) continue;
    const [, , , root, mountPoint] = fields.split(' ');
    if (root === undefined || mountPoint === undefined) continue;
    // Blanks and backslashes are octal.
    const path = mountPoint.replace(/\\([0-7]{3})/g, (_, digits: string) =>
      String.fromCharCode(Number.parseInt(digits, 8)),
    );
    if (root === '/') return path;
    partial ??= path;
  }
  return partial;
}

/** Ids of everything of a kind in the kernel, whoever made it. */
export function* kernelIds(kind: 'map' | 'program' | 'link'): Generator<number, void, undefined> {
  for (let id = native.nextId(kind, 0); ; id = native.nextId(kind, id)) {
    if (id === ENOENT) return;
    if (id < 0) fail('SYSTEM', id, `list the kernel's ${kind}s`);
    yield id;
  }
}
