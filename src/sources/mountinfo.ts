/**
 * What /proc/PID/mountinfo tells (proc(5)), read without trust: containers choose the names of directories, and may
 * mount one thing over another. Names are byte strings here, one character a byte, until somebody needs characters.
 */

export interface Mount {
  readonly id: number;
  readonly parent: number;
  /** As the kernel has it: major << 20 | minor. */
  readonly device: number;
  /** Which directory or file of the file system is mounted; `/` where it is the whole. */
  readonly root: string;
  /** Where, seen from the process' root. */
  readonly path: string;
  readonly type: string;
}

/** The most the kernel lets a namespace have by default (fs.mount-max); more are not read. */
const MOUNTS_MOST = 100_000;
/** A mount point that was removed under its mount: no way leads there. No name can look so. */
const REMOVED = '//deleted';

/** Reads the lines that are as they should be, in the kernel's order. */
export function parseMountinfo(text: string): readonly Mount[] {
  const mounts: Mount[] = [];
  for (const line of text.split('\n')) {
    const mount = parseLine(line);
    if (mount === undefined) continue;
    mounts.push(mount);
    if (mounts.length === MOUNTS_MOST) break;
  }
  return mounts;
}

/**
 * The mounts some path leads to: not those under which something else was mounted, at the same place or further up.
 * Each is at the end of its own path. In the kernel's order; the root's is among them where the root is a mount.
 */
export function visibleMounts(mounts: readonly Mount[]): readonly Mount[] {
  const known = new Set(mounts.map(({ id }) => id));
  const children = new Map<number, Map<string, Mount>>();
  for (const mount of mounts) {
    if (mount.path.endsWith(REMOVED) || mount.parent === mount.id) continue;
    const there = children.get(mount.parent) ?? new Map<string, Mount>();
    there.set(mount.path, mount);
    children.set(mount.parent, there);
  }
  const bottom = mounts.find(({ path, parent, id }) => path === '/' && (parent === id || !known.has(parent)));
  // The root may be no mount, but a directory: what is mounted below has parents outside.
  const outside = new Map<string, Mount>();
  for (const mount of mounts) if (!known.has(mount.parent) && mount !== bottom) outside.set(mount.path, mount);
  return mounts.filter((mount) => mountAt(mount.path, bottom, outside, children) === mount);
}

/** The mount a path leads to, as the kernel walks: the first mount point on the way counts, then the next in that. */
function mountAt(
  path: string,
  bottom: Mount | undefined,
  outside: ReadonlyMap<string, Mount>,
  children: ReadonlyMap<number, ReadonlyMap<string, Mount>>,
): Mount | undefined {
  let at = bottom;
  for (const prefix of prefixes(path)) {
    // At one place several may lie on top of each other, each mounted on the one before.
    for (;;) {
      const next = (at === undefined ? outside : children.get(at.id))?.get(prefix);
      if (next === undefined || next === at) break;
      at = next;
    }
  }
  return at;
}

/** `/`, `/a`, `/a/b` of `/a/b`. */
function* prefixes(path: string): Generator<string> {
  yield '/';
  for (let slash = path.indexOf('/', 1); slash !== -1; slash = path.indexOf('/', slash + 1)) yield path.slice(0, slash);
  if (path !== '/') yield path;
}

/** Whether a path is another, or lies below it. */
export function isWithin(path: string, directory: string): boolean {
  return path === directory || directory === '/' || path.startsWith(`${directory}/`);
}

/** `36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/root rw`. */
function parseLine(line: string): Mount | undefined {
  const fields = line.split(' ');
  // Optional fields follow the sixth, and none is a lone hyphen.
  const hyphen = fields.indexOf('-', 6);
  const [id, parent, numbers = '', root = '', path = ''] = fields;
  const type = fields[hyphen + 1];
  const device = /^(\d{1,4}):(\d{1,7})$/.exec(numbers);
  if (hyphen === -1 || type === undefined || device === null || !path.startsWith('/')) return undefined;
  const [, major, minor] = device.map(Number);
  return {
    id: Number(id),
    parent: Number(parent),
    device: ((major! << 20) | minor!) >>> 0,
    root: unescaped(root),
    path: unescaped(path),
    type: unescaped(type),
  };
}

/** Blanks, line breaks, backslashes and others are octal. */
function unescaped(field: string): string {
  return field.replace(/\\([0-3][0-7]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
