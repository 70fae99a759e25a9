/** Where the roots of mounts lie in containers' trees, in the kernel's `anchors`. */
import type { Anchor as PlacedAnchor } from '../hardening-port.ts';
import { type Anchor, type AnchorKey, ProfileFormat } from '../layouts.gen.ts';
import type { HardeningMaps } from './tables.ts';

/** Anchors of everybody: file systems known by their magic number, wherever they are mounted. */
const EVERYBODY = 0;
const BY_MAGIC = 0xffff_ffff_ffff_ffffn;

/** Where file systems that show the kernel's own objects are expected; include/uapi/linux/magic.h. */
const USUAL_PLACES: ReadonlyMap<number, string> = new Map([
  [0x9fa0, '/proc'], // proc
  [0x62656572, '/sys'], // sysfs
  [0x0027e0eb, '/sys/fs/cgroup'], // cgroup
  [0x63677270, '/sys/fs/cgroup'], // cgroup2
  [0x64626720, '/sys/kernel/debug'], // debugfs
  [0x74726163, '/sys/kernel/tracing'], // tracefs
  [0x73636673, '/sys/kernel/security'], // securityfs
  [0xf97cff8c, '/sys/fs/selinux'], // selinuxfs
  [0x5a3c69f0, '/sys/kernel/security/apparmor'], // apparmorfs
  [0x62656570, '/sys/kernel/config'], // configfs
  [0xcafe4a11, '/sys/fs/bpf'], // bpffs
  [0x6165676c, '/sys/fs/pstore'], // pstore
  [0xde5e81e4, '/sys/firmware/efi/efivars'], // efivarfs
  [0x65735543, '/sys/fs/fuse/connections'], // fusectl
  [0x07655821, '/sys/fs/resctrl'], // resctrl
  [0x42494e4d, '/proc/sys/fs/binfmt_misc'], // binfmt_misc
  [0x1cd1, '/dev/pts'], // devpts
  [0x19800202, '/dev/mqueue'], // mqueue
  [0x958458f6, '/dev/hugepages'], // hugetlbfs
]);

/** Most bytes of a path: the kernel's field ends with a 0. */
export const ANCHOR_PATH_BYTES = ProfileFormat.AnchorBytes - 1;

export class Anchors {
  readonly #table: HardeningMaps['anchors'];

  constructor(table: HardeningMaps['anchors']) {
    this.#table = table;
  }

  /** Writes those of everybody. */
  begin(): void {
    for (const [magic, path] of USUAL_PLACES) {
      this.#table.set({ inode: BY_MAGIC, device: magic, subject: EVERYBODY }, rowOf(path));
    }
  }

  /**
   * Makes the kernel know exactly these of a subject.
   * @throws BpfError MAP_FULL
   */
  put(subject: number, anchors: readonly PlacedAnchor[]): void {
    const wanted = new Map<string, PlacedAnchor>();
    // The first is where the runtime put it; a path that does not fit is read by the mounts that lead there.
    for (const anchor of anchors) {
      const key = `${anchor.device} ${anchor.inode}`;
      if (Buffer.byteLength(anchor.path) <= ANCHOR_PATH_BYTES && !wanted.has(key)) wanted.set(key, anchor);
    }
    for (const { device, inode, path } of wanted.values()) this.#table.set({ inode, device, subject }, rowOf(path));
    this.#remove((key) => key.subject === subject && !wanted.has(`${key.device} ${key.inode}`));
  }

  /** Forgets those of all but these subjects. */
  retain(subjects: ReadonlySet<number>): void {
    this.#remove(({ subject }) => subject !== EVERYBODY && !subjects.has(subject));
  }

  #remove(meant: (key: AnchorKey) => boolean): void {
    this.#table.deleteAll([...this.#table.keys()].filter(meant));
  }
}

/** The root itself is the empty path. */
function rowOf(path: string): Anchor {
  const bytes = Buffer.from(path === '/' ? '' : path, 'utf8');
  const field = new Uint8Array(ProfileFormat.AnchorBytes);
  field.set(bytes);
  return { length: bytes.length, path: field };
}
