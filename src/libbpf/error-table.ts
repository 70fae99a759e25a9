/** One row per error code: what it means, what to do about it, and the exit code of a command that ends with it. */
export interface ErrorRow {
  readonly meaning: string;
  /** Shown when the place that raised the error knows no better one. */
  readonly hint?: string;
  /** sysexits(3). */
  readonly exitCode: number;
}

const USAGE = 64;
const DATA = 65;
const UNAVAILABLE = 69;
const SOFTWARE = 70;
const SYSTEM = 71;
const PERMISSION = 77;

export const ERROR_TABLE = {
  ARGUMENT: { meaning: 'a value of the wrong type, size or range was passed', exitCode: SOFTWARE },
  CLOSED: { meaning: 'the object was used after close()', exitCode: SOFTWARE },
  NOT_FOUND: { meaning: 'there is nothing of that name, id or path', exitCode: DATA },
  ADDON: { meaning: 'the native addon could not be loaded', hint: 'build it: make build', exitCode: UNAVAILABLE },
  OBJECT_OPEN: { meaning: 'a BPF object file could not be read', exitCode: DATA },
  OBJECT_EDIT: { meaning: 'a map or program of an opened object could not be changed', exitCode: SOFTWARE },
  OBJECT_LOAD: { meaning: 'the kernel refused a map or program of an object', exitCode: UNAVAILABLE },
  VERIFIER: { meaning: 'the kernel rejected a program; the log says at which instruction', exitCode: UNAVAILABLE },
  MAP_CREATE: { meaning: 'a map could not be made', exitCode: SYSTEM },
  MAP_READ: { meaning: 'a map could not be read', exitCode: SYSTEM },
  MAP_WRITE: { meaning: 'an element could not be written to or deleted from a map', exitCode: SYSTEM },
  MAP_FULL: { meaning: 'a map has no room for another element', hint: 'make the map larger', exitCode: SYSTEM },
  PROGRAM: { meaning: 'a loaded program could not be asked or run', exitCode: SYSTEM },
  ATTACH: { meaning: 'a program could not be attached', exitCode: UNAVAILABLE },
  LINK: { meaning: 'a link could not be asked, updated or detached', exitCode: SYSTEM },
  PIN: { meaning: 'an object could not be pinned or unpinned', hint: 'is a bpffs mounted there?', exitCode: SYSTEM },
  RING: { meaning: 'a ring buffer could not be opened or polled', exitCode: SYSTEM },
  NETLINK: { meaning: 'the kernel refused or broke off a netlink request', exitCode: SYSTEM },
  SYSTEM: { meaning: 'the system refused a call', exitCode: SYSTEM },
  BTF: { meaning: 'the type information of an object is missing or damaged', exitCode: DATA },
  LAYOUT: { meaning: 'a value and the layout it is read or written with do not fit', exitCode: SOFTWARE },
  USAGE: { meaning: 'a command was called with wrong arguments', exitCode: USAGE },
  PERMISSION: {
    meaning: 'the process may not do this',
    hint: 'run as root or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON; outside a seccomp profile; some kernels refuse a kind of program to everyone',
    exitCode: PERMISSION,
  },
} as const satisfies Record<string, ErrorRow>;

export type BpfErrorCode = keyof typeof ERROR_TABLE;
