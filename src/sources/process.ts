import { readFileSync, readlinkSync } from 'node:fs';
import { errnoOf, SourceError } from './error.ts';

/** USER_HZ: the unit of start times in /proc, 100 a second on every architecture Linux has with cgroup2 and BTF. */
const TICKS_PER_SECOND = 100;

/** A process at one moment, told from a later one with the same pid by its start time. */
export interface ProcessFacts {
  readonly pid: number;
  /** Clock ticks after boot. */
  readonly startTime: number;
  /** Inode of its network namespace. */
  readonly netns: number;
  /** Its cgroup in the cgroup2 hierarchy; undefined where there is none. */
  readonly unified: string | undefined;
  /** Its cgroups in all hierarchies. */
  readonly cgroups: readonly string[];
}

/**
 * Reads a process. Its start time is read before and after the rest, so that the answer is about one process.
 * @returns undefined where there is none, or it ended meanwhile
 * @throws SourceError UNREADABLE where the kernel refuses
 */
export function readProcess(proc: string, pid: number): ProcessFacts | undefined {
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
  const startTime = readStartTime(proc, pid);
  if (startTime === undefined) return undefined;
  try {
    const lines = readFileSync(`${proc}/${pid}/cgroup`, 'utf8').split('\n');
    const netns = parseNamespace(readlinkSync(`${proc}/${pid}/ns/net`));
    if (netns === undefined || readStartTime(proc, pid) !== startTime) return undefined;
    const cgroups = lines.map(parseCgroupLine).filter((line) => line !== undefined);
    const unified = cgroups.find((line) => line.hierarchy === '0')?.path;
    return { pid, startTime, netns, unified, cgroups: cgroups.map((line) => line.path) };
  } catch (thrown) {
    if (isGone(thrown)) return undefined;
    throw new SourceError('UNREADABLE', `Cannot read process ${pid} in ${proc}: ${errnoOf(thrown)}`, {
      cause: thrown,
      hint: 'run as root, in the node’s own pid namespace',
    });
  }
}

/** Clock ticks after boot; undefined where there is no such process, or only its remains. */
export function readStartTime(proc: string, pid: number): number | undefined {
  let stat: string;
  try {
    stat = readFileSync(`${proc}/${pid}/stat`, 'latin1');
  } catch (thrown) {
    if (isGone(thrown)) return undefined;
    throw thrown;
  }
  // The name in parentheses may contain anything, also parentheses and line breaks.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state, startTime] = [fields[0], Number(fields[19])];
  if (state === 'Z' || state === 'X' || !Number.isSafeInteger(startTime)) return undefined;
  return startTime;
}

/** When a start time was, milliseconds since the epoch; exact to about a second. */
export function startedAt(proc: string, startTime: number): number {
  const boot = /^btime (\d+)$/m.exec(readFileSync(`${proc}/stat`, 'latin1'))?.[1];
  return Number(boot ?? 0) * 1000 + (startTime / TICKS_PER_SECOND) * 1000;
}

/** The inode in `net:[4026531840]`. */
export function parseNamespace(link: string): number | undefined {
  const inode = /^[a-z]+:\[(\d+)\]$/.exec(link)?.[1];
  return inode === undefined ? undefined : Number(inode);
}

/** A container's cgroup on the way to a process: the one named after it, not one the container made below. */
export interface ContainerCgroup {
  readonly path: string;
  /** Steps below the root. */
  readonly level: number;
}

/**
 * Finds the cgroup named after a container (`…/ID`, `…/docker-ID.scope`) in a process' cgroup path; undefined where
 * none is. Names of helpers (`crio-conmon-ID.scope`) are not the container's.
 */
export function findContainerCgroup(path: string, id: string): ContainerCgroup | undefined {
  const parts = path.split('/').slice(1);
  const index = parts.findIndex((part) => {
    const name = part.endsWith('.scope') ? part.slice(0, -'.scope'.length) : part;
    return name === id || (name.endsWith(`-${id}`) && !name.includes('conmon'));
  });
  if (id === '' || index < 0) return undefined;
  return { path: `/${parts.slice(0, index + 1).join('/')}`, level: index + 1 };
}

function parseCgroupLine(line: string): { hierarchy: string; path: string } | undefined {
  const match = /^(\d+):[^:]*:(\/.*)$/.exec(line);
  if (match?.[1] === undefined || match[2] === undefined) return undefined;
  return { hierarchy: match[1], path: match[2] };
}

function isGone(thrown: unknown): boolean {
  const errno = errnoOf(thrown);
  return errno === 'ENOENT' || errno === 'ESRCH';
}
