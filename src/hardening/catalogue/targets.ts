/** Short ways to write what a ready rule is about. */
import { type Network, parseNetwork } from '../../model/address.ts';
import type { FileAccess, MountOperation, Operation, Target } from '../../model/hardening.ts';

type Paths = readonly string[];

/** Whatever changes what lies there: content, names, attributes, and what is mounted over it. */
const CHANGES: readonly FileAccess[] = ['write', 'create', 'delete', 'attributes', 'mount'];

export const pathsTo = (access: readonly FileAccess[], paths: Paths, except: Paths = []): Target => ({
  type: 'paths',
  paths,
  except,
  access,
});

export const reading = (paths: Paths, except: Paths = []): Target => pathsTo(['read'], paths, except);
/** Content only: for files of the kernel, which have no names to make and take away. */
export const writing = (paths: Paths, except: Paths = []): Target => pathsTo(['write'], paths, except);
export const readingOrWriting = (paths: Paths, except: Paths = []): Target => pathsTo(['read', 'write'], paths, except);
export const changing = (paths: Paths, except: Paths = []): Target => pathsTo(CHANGES, paths, except);
/**
 * Reading counts too: whoever can read an executable can copy it to a name that no rule has. The dynamic loader's
 * mapping of a program it is told to run counts as execution.
 */
export const executing = (paths: Paths, except: Paths = []): Target => pathsTo(['execute', 'read'], paths, except);
/** Execution alone, where what is read is no secret and cannot be told from data. */
export const executingAlone = (paths: Paths, except: Paths = []): Target => pathsTo(['execute'], paths, except);
export const connecting = (paths: Paths): Target => pathsTo(['connect'], paths);

export const operations = (...list: readonly Operation[]): Target => ({ type: 'operations', operations: list });

export interface MountOptions {
  readonly fileSystems?: readonly string[];
  readonly operations?: readonly MountOperation[];
  readonly writable?: boolean;
  readonly devices?: boolean;
}

/** What makes something reachable, or writable, that was not. */
const MOUNTING: readonly MountOperation[] = ['new', 'bind', 'remount', 'move'];

export const mounting = ({
  fileSystems = [],
  operations: list = MOUNTING,
  writable = false,
  devices = false,
}: MountOptions): Target => ({ type: 'mounts', operations: list, fileSystems, writable, devices });

export const within = (place: 'container' | 'user-namespace' | 'any', capabilities: readonly number[]): Target => ({
  type: 'capabilities',
  capabilities,
  within: place,
});

export const socket = (family?: number, kind?: number, protocol?: number): Target => ({
  type: 'socket',
  ...(family === undefined ? {} : { family }),
  ...(kind === undefined ? {} : { kind }),
  ...(protocol === undefined ? {} : { protocol }),
});

/** Throws `Error` where a text is no network: a mistake in the catalogue itself. */
function network(text: string): Network {
  const parsed = parseNetwork(text);
  if ('reason' in parsed) throw new Error(`catalogue: "${text}" is no network: ${parsed.reason}`);
  return parsed;
}

export const addresses = (...networks: readonly string[]): Target => ({
  type: 'network',
  networks: networks.map(network),
});

/** TCP to a port, wherever it is. */
export const tcpPort = (port: number): Target => ({
  type: 'network',
  networks: [network('0.0.0.0/0'), network('::/0')],
  protocol: 6,
  port,
  endPort: port,
});

/**
 * In the container's own tree, and in one that is mounted below it: at `/host`, `/rootfs`, `/mnt/host` and the like.
 * Patterns that begin with any number of names multiply each other in the automaton; these do not.
 */
export const inTrees = (...paths: readonly string[]): Paths =>
  paths.flatMap((path) => [`/${path}`, `/*/${path}`, `/mnt/{host,hostfs,node,root}/${path}`]);

/** In homes of users and services, of such trees too. */
export const inHomes = (...paths: readonly string[]): Paths =>
  paths.flatMap((path) => [`/${path}`, ...inTrees(`root/${path}`, `home/*/${path}`, `var/lib/*/${path}`)]);

/** Wherever, but at most three directories deep: `/host/var/run/docker.sock` is that. */
export const nearby = (...names: readonly string[]): Paths => names.map((name) => `/{,*/,*/*/,*/*/*/}${name}`);

/** Where files are put that shall not be found, and where anybody can write. */
export const inHidingPlaces = (...names: readonly string[]): Paths =>
  [
    '',
    '{tmp,var/tmp,dev,dev/shm,run,var/run,etc,bin,sbin,lib,usr,usr/bin,usr/sbin,usr/lib,var,opt,srv,mnt,root}/',
  ].flatMap((directory) => names.map((name) => `/${directory}${name}`));

/** Where programs lie that are found by their name. */
export const inBinaries = (...names: readonly string[]): Paths =>
  ['/', '/usr/', '/usr/local/', '/opt/*/', '/*/', '/*/usr/'].flatMap((directory) =>
    names.map((name) => `${directory}{bin,sbin}/${name}`),
  );

/** A file of a process, whichever process and thread it is asked of. `/proc/self` and `/proc/net` lead to these. */
export const ofProcesses = (names: string): Paths => [`/proc/*/${names}`, `/proc/*/task/*/${names}`];
