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
  type OpenObject,
  openObject,
  TypedMap,
  U32,
  U64,
} from '../libbpf/index.ts';
import { ADOPTER } from './early-listeners.ts';
import { GATE_MAPS, GATE_OBJECT, openPinnedGate, STOP_AGAIN } from './gate/kernel-gate.ts';
import { HARDENING_MAPS } from './hardening/tables.ts';
import { type TagOwner, TagOwnerLayout } from './layouts.gen.ts';
import {
  EVENTS,
  mapDirectory,
  PER_CPU_NAMES,
  TABLE_NAMES,
  TAG_OWNERS,
  TAKEN,
  type Tables,
  typedTables,
} from './maps.ts';
import type { DatapathOptions, DatapathSizes } from './port.ts';

const MAP_NAMES: readonly string[] = [
  ...TABLE_NAMES,
  ...PER_CPU_NAMES,
  EVENTS,
  TAKEN,
  TAG_OWNERS,
  ...GATE_MAPS,
  ...HARDENING_MAPS,
];

/**
 * The programs' objects. Without `gate` cgroups are noticed later, by the sources' own means; without `tag` no
 * connection is tagged, and each needs a handshake.
 */
const OBJECTS: readonly ObjectFile[] = [
  {
    file: 'network.bpf.o',
    optional: false,
    // `with_conntrack` in bpf/lib/conntrack.h: connection tracking is asked.
    extra: { name: 'conntrack', choose: (object, on) => object.setGlobal('with_conntrack', BOOL, on) },
  },
  { file: 'host.bpf.o', optional: false },
  { file: GATE_OBJECT, optional: true, extra: { ...withProgram(STOP_AGAIN), dispensable: true } },
  {
    file: 'tag.bpf.o',
    optional: true,
    extra: withProgram(ADOPTER),
  },
];

interface ObjectFile {
  readonly file: string;
  /** The datapath works without it. */
  readonly optional: boolean;
  readonly extra?: Extra;
}

/** What an object is loaded with where the kernel has what it needs, else without. */
interface Extra {
  readonly name: string;
  /** Nothing need be said where it is missing. */
  readonly dispensable?: boolean;
  readonly choose: (object: OpenObject, on: boolean) => void;
}

function withProgram(name: string): Extra {
  return {
    name,
    choose: (object, on) => {
      const program = object.programs.get(name);
      if (program !== undefined) program.autoload = on;
    },
  };
}

/** Whose listeners are to be adopted, by cgroup id: only while that is done. */
const ADOPTED_CGROUPS = 'adopted_cgroups';

/** What has been loaded. */
export interface Programs {
  /** The maps were there before: an earlier agent's tables are in force. */
  readonly adopted: boolean;
  readonly tables: Tables;
  readonly events: BpfMap;
  readonly taken: BpfMap;
  /** Whose cgroup it is, by its id, where the tagging program is attached. */
  readonly owners?: TypedMap<bigint, TagOwner>;
  /** Whose listeners `adopt_listeners` looks after, by the cgroup's id. */
  readonly adoptedCgroups?: TypedMap<bigint, number>;
  readonly program: (name: string) => BpfProgram | undefined;
  readonly names: readonly string[];
  /** What the kernel would not load, and why: optional objects, and the extras of others. */
  readonly missing: ReadonlyMap<string, string>;
  readonly map: (name: string) => BpfMap;
  /**
   * Loads one more object over the same maps.
   * @throws BpfError where the kernel refuses one of the programs `choose` has left in
   */
  readonly load: (file: string, choose: (object: OpenObject) => void) => LoadedObject;
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
  let adoptedCgroups: TypedMap<bigint, number> | undefined;
  for (const { file, optional, extra } of OBJECTS) {
    try {
      const load = (choose?: (object: OpenObject) => void): LoadedObject =>
        loadObject(join(options.objects, file), options.sizes, directory, maps, choose);
      const object = extra === undefined ? load() : loadWith(extra, load, missing);
      loaded.push(object);
      if (object.programNames.includes(ADOPTER)) adoptedCgroups = new TypedMap(object.map(ADOPTED_CGROUPS), U64, U32);
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
    taken: map(TAKEN),
    ...(owners === undefined ? {} : { owners: new TypedMap(owners, U64, TagOwnerLayout) }),
    ...(adoptedCgroups === undefined ? {} : { adoptedCgroups }),
    program: (name) => programs.get(name),
    get names() {
      return [...programs.keys()];
    },
    missing,
    map,
    load: (file, choose) => {
      const object = loadObject(join(options.objects, file), options.sizes, directory, maps, choose);
      loaded.push(object);
      for (const name of object.programNames) programs.set(name, object.program(name));
      return object;
    },
    close: () => {
      for (const object of loaded) object.close();
      for (const opened of maps.values()) opened.close();
    },
  };
}

/** Loads the object with the extra, or, where the kernel refuses it so, without, which is then noted as missing. */
function loadWith(
  { name, choose, dispensable = false }: Extra,
  load: (choose: (object: OpenObject) => void) => LoadedObject,
  missing: Map<string, string>,
): LoadedObject {
  try {
    return load((object) => choose(object, true));
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
    const loaded = load((object) => choose(object, false));
    if (!dispensable) missing.set(name, error.message);
    return loaded;
  }
}

/** Loads one object; maps an object before it, or an agent before us, has pinned are used and not made anew. */
function loadObject(
  path: string,
  sizes: DatapathSizes,
  directory: string,
  maps: Map<string, BpfMap>,
  choose?: (object: OpenObject) => void,
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
    choose?.(object);
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
    case 'gates':
    case 'gate_refused':
      return sizes.gates;
    case 'held_processes':
      return sizes.gates === undefined ? undefined : sizes.gates * 2;
    default:
      return undefined;
  }
}

/** The directory the bpffs is to be mounted at when none is there: the first below /sys/fs/bpf's own, or the pins' parent. */
function bpffsOf(pins: string): string {
  return pins.startsWith('/sys/fs/bpf/') ? '/sys/fs/bpf' : dirname(pins);
}

/** Where maps are pinned, of every layout version there is. */
export function versionDirectories(pins: string): string[] {
  if (!existsSync(pins)) return [];
  return readdirSync(pins)
    .filter((name) => /^v[0-9]+$/.test(name))
    .map((name) => join(pins, name));
}

/** Removes maps pinned under other layout versions, once no program uses them any more. */
export function removeOldVersions(pins: string): void {
  const current = mapDirectory(pins);
  for (const directory of versionDirectories(pins)) {
    if (directory === current) continue;
    openPinnedGate(directory);
    rmSync(directory, { recursive: true });
  }
}
