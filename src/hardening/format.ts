/**
 * How a profile lies in its pages: numbers and offsets of `bpf/api/harden.h`. A test holds every one of them against
 * the layouts that are generated from the kernel's objects. Little-endian, as those are.
 */

export const PAGE_BYTES = 16384;
/** Of a page. */
export const CELLS = 2048;
export const CELL_BITS = 11;
export const CELL_BYTES = 8;
/** In the owner of a row's head. */
export const MATCH_HEAD = 0x40000000;
/** Beside it: every byte leads back to this state. */
export const MATCH_SINK = 0x20000000;
export const MATCH_BITS = 0x1fffffff;
/** References to matches and rulings: page, and number in the page. */
export const REFERENCE_SHIFT = 16;
export const RULING_BYTES = 32;
export const MATCH_BYTES = 64;
/** Entries in page 0, of sockets, mounts and networks each. */
export const LIST_ENTRIES = 64;
export const FILE_SYSTEM_BYTES = 16;
/** In a rule of sockets: any number. */
export const ANY_NUMBER = 0xffff;
/** Numbers of capabilities there is room for; of operations as well. */
export const CAPABILITIES = 64;
export const OPERATION_NUMBERS = 64;

/** `struct ruling`. */
export const RulingOffset = { executables: 0, rule: 8, stagedRule: 12, verdict: 16, stagedVerdict: 17 } as const;

/** `struct match`. */
export const MatchOffset = { rulings: 0, moving: 36, executables: 40, guards: 48, keeps: 52 } as const;

/** `struct socket_rule`. */
export const SocketOffset = { family: 0, type: 2, protocol: 4, rulings: 8, size: 12 } as const;

/** `struct mount_rule`. */
export const MountOffset = { operations: 0, flags: 4, type: 8, rulings: 24, size: 32 } as const;

/** `struct network_rule`. */
export const NetworkOffset = {
  network: 0,
  prefix: 16,
  port: 18,
  endPort: 20,
  protocol: 22,
  rulings: 24,
  size: 28,
} as const;

/** `struct profile`. */
export const ProfileOffset = {
  id: 0,
  lasting: 8,
  start: 16,
  startExecutables: 20,
  accesses: 24,
  pages: 28,
  defaults: 32,
  socketDefault: 68,
  mountDefault: 72,
  networkDefault: 76,
  capabilities: 80,
  operations: 592,
  sockets: 848,
  mounts: 1616,
  networks: 3664,
  movingDefault: 5456,
  defaultGuards: 5460,
  defaultKeeps: 5464,
  learning: 5468,
  size: 5472,
} as const;

/** `enum mount_flags`. */
export const MountFlag = { Writable: 1, Device: 2 } as const;

/** `enum mount_operation`, in the order of `MOUNT_OPERATIONS`: the first is 1, each the double of the one before. */
export function mountOperationBit(index: number): number {
  return 1 << index;
}

/** A page as its numbers are written and read. */
export function viewOfPage(page: Uint8Array): DataView {
  return new DataView(page.buffer, page.byteOffset, page.byteLength);
}

/** Names something by page and number in it. */
export function reference(page: number, number: number): number {
  return page * (1 << REFERENCE_SHIFT) + number;
}
