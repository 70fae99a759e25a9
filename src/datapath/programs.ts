/** Loading the kernel programs over one common set of pinned maps. */
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  BOOL,
  BpfError,
  BpfMap,
  type BpfProgram,
  type LoadedObject,
  mountBpffs,
  openObject,
  TypedMap,
  U64,
} from '../libbpf/index.ts';
import { type TagOwner, TagOwnerLayout } from './layouts.gen.ts';
import { EVENTS, mapDirectory, PER_CPU_NAMES, TABLE_NAMES, TAG_OWNERS, type Tables, typedTables } from './maps.ts';
import type { DatapathOptions, DatapathSizes } from './port.ts';

const MAP_NAMES: readonly string[] = [...TABLE_NAMES, ...PER_CPU_NAMES, EVENTS, TAG_OWNERS];

const NETWORK = 'network.bpf.o';

/**
 * The programs' objects. Without `gate` cgroups are noticed later, by the sources' own means; without `tag` no
 * connection is tagged, and each needs a handshake.
 */
const OBJECTS = [
  { file: NETWORK, optional: false },
  { file: 'host.bpf.o', optional: false },
  { file: 'gate.bpf.o', optional: true },
  { file: 'tag.bpf.o', optional: true },
] as const;

/** What has been loaded. */
export interface Programs {
  /** The maps were there before: an earlier agent's tables are in force. */
  readonly adopted: boolean;
  readonly tables: Tables;
  readonly events: BpfMap;
  /** Whose cgroup it is, by its id, where the tagging program is attached. */
  readonly owners?: TypedMap<bigint, TagOwner>;
  readonly program: (name: string) => BpfProgram | undefined;
  readonly names: readonly string[];
  /** What the kernel would not load, and why: optional objects, and `conntrack`. */
  readonly missing: ReadonlyMap<string, string>;
  readonly map: (name: string) => BpfMap;
  close(): void;
}

/**
 * Loads the objects, with the maps pinned by an earlier agent where there are any.
 * @throws BpfError where a required program cannot be loaded, or the pins' directory is no bpffs
 */
export function loadPrograms(options: DatapathOptions): Programs {
  mountBpffs(bpffsOf(options.pins));
  const directory = mapDirectory(options.pins);
  const adopted = existsSync(join(directory, 'subjects'));
  mkdirSync(directory, { recursive: true, mode: 0o700 });

  const maps = new Map<string, BpfMap>();
  const programs = new Map<string, BpfProgram>();
  const missing = new Map<string, string>();
  const loaded: LoadedObject[] = [];
  for (const { file, optional } of OBJECTS) {
    try {
      const load = (conntrack?: boolean): LoadedObject =>
        loadObject(join(options.objects, file), options.sizes, directory, maps, conntrack);
      const { object, refused } = file === NETWORK ? loadNetwork(load) : { object: load() };
      if (refused !== undefined) missing.set('conntrack', refused);
      loaded.push(object);
      for (const name of object.programNames) programs.set(name, object.program(name));
    } catch (error) {
      if (!optional || !(error instanceof BpfError)) {
        for (const object of loaded) object.close();
        for (const opened of maps.values()) opened.close();
        // What nobody has used yet must not look like an earlier agent's tables.
        if (!adopted) rmSync(directory, { recursive: true, force: true });
        throw error;
      }
      missing.set(file, error.message);
    }
  }
  const map = (name: string): BpfMap => {
    const found = maps.get(name);
    if (found === undefined) throw new RangeError(`There is no map "${name}"`);
    return found;
  };
  const owners = maps.get(TAG_OWNERS);
  return {
    adopted,
    tables: typedTables(map),
    events: map(EVENTS),
    ...(owners === undefined ? {} : { owners: new TypedMap(owners, U64, TagOwnerLayout) }),
    program: (name) => programs.get(name),
    names: [...programs.keys()],
    missing,
    map,
    close: () => {
      for (const object of loaded) object.close();
      for (const opened of maps.values()) opened.close();
    },
  };
}

/**
 * Loads the object so that it asks connection tracking (`with_conntrack` in bpf/lib/conntrack.h), or, where the kernel
 * has no such function, without that.
 * @returns why it does not ask, where it does not
 */
function loadNetwork(load: (conntrack: boolean) => LoadedObject): { object: LoadedObject; refused?: string } {
  try {
    return { object: load(true) };
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    return { object: load(false), refused: error.message };
  }
}

/** Loads one object; maps an object before it, or an agent before us, has pinned are used and not made anew. */
function loadObject(
  path: string,
  sizes: DatapathSizes,
  directory: string,
  maps: Map<string, BpfMap>,
  conntrack?: boolean,
): LoadedObject {
  const object = openObject(path);
  try {
    for (const [name, map] of object.maps) {
      if (!MAP_NAMES.includes(name)) continue;
      const pin = join(directory, name);
      if (!maps.has(name) && existsSync(pin)) maps.set(name, BpfMap.openPinned(pin));
      const existing = maps.get(name);
      const size = sizeOf(name, sizes);
      if (existing !== undefined) map.reuse(existing);
      else if (size !== undefined) map.maxEntries = size;
    }
    if (conntrack !== undefined) object.setGlobal('with_conntrack', BOOL, conntrack);
    const loaded = object.load();
    for (const name of object.maps.keys()) {
      if (!MAP_NAMES.includes(name) || maps.has(name)) continue;
      loaded.map(name).pin(join(directory, name));
      maps.set(name, BpfMap.openPinned(join(directory, name)));
    }
    return loaded;
  } finally {
    object.close();
  }
}

function sizeOf(name: string, sizes: DatapathSizes): number | undefined {
  switch (name) {
    case 'flows':
      return sizes.flows;
    case 'subjects':
    case 'identities':
      return sizes.subjects;
    case 'verified':
      return sizes.verified;
    case 'peers':
      return sizes.peers;
    case 'ports':
    case 'port_ranges':
    case 'rule_counters':
      return sizes.ports;
    case 'networks':
      return sizes.networks;
    case 'interfaces':
    case 'endpoint_states':
      return sizes.endpoints;
    case 'containers':
      return sizes.endpoints * 4;
    default:
      return undefined;
  }
}

/** The directory the bpffs is to be mounted at when none is there: the first below /sys/fs/bpf's own, or the pins' parent. */
function bpffsOf(pins: string): string {
  return pins.startsWith('/sys/fs/bpf/') ? '/sys/fs/bpf' : dirname(pins);
}

/** Removes maps pinned under other layout versions, once no program uses them any more. */
export function removeOldVersions(pins: string): void {
  const current = mapDirectory(pins);
  for (const name of readdirSync(pins)) {
    const directory = join(pins, name);
    if (/^v[0-9]+$/.test(name) && directory !== current) rmSync(directory, { recursive: true });
  }
}
