import { AgentError } from '../../agent/errors.ts';
import { BpfError } from '../../libbpf/errors.ts';
import type { Layout } from '../../libbpf/layout.ts';

/**
 * The pinned tables as `map` commands need them: any of them by a name from the command line. The datapath and its
 * binding are loaded only here and only when asked for, so that other commands start without them.
 */
const datapath = () => import('../../datapath/maps.ts');
const binding = () => import('../../libbpf/index.ts');

export interface TableInfo {
  readonly name: string;
  readonly type: string;
  readonly entries: number;
  readonly maxEntries: number;
  readonly key: string;
  readonly value: string;
  readonly id: number;
  readonly writable: boolean;
}

export interface OpenTable {
  info(): TableInfo;
  emptyKey(): unknown;
  emptyValue(): unknown;
  get(key: unknown): unknown;
  /** @throws AgentError USAGE for tables with a value for each CPU */
  set(key: unknown, value: unknown): void;
  delete(key: unknown): boolean;
  entries(): Iterable<[key: unknown, value: unknown]>;
  /** Flows decided before are decided again at their next packet, as after a change by the agent. */
  redecide(): Promise<void>;
  close(): void;
}

type Layouts = Readonly<Record<string, readonly [Layout<unknown>, Layout<unknown>]>>;

/** In the order they are listed in. */
export async function tableNames(): Promise<readonly string[]> {
  const { PER_CPU_NAMES, TABLE_NAMES } = await datapath();
  return [...TABLE_NAMES, ...PER_CPU_NAMES];
}

const empty = (layout: Layout<unknown>): unknown => layout.read(Buffer.alloc(layout.size), 0);

/** @throws AgentError NOT_FOUND where there is no such table or nothing is pinned; FORBIDDEN */
export async function openKernelTable(pins: string, name: string): Promise<OpenTable> {
  const { mapDirectory, PER_CPU_LAYOUTS, TABLE_LAYOUTS } = await datapath();
  const single = TABLE_LAYOUTS as unknown as Layouts;
  const perCpu = PER_CPU_LAYOUTS as unknown as Layouts;
  const writable = Object.hasOwn(single, name);
  const layouts = writable ? single[name] : Object.hasOwn(perCpu, name) ? perCpu[name] : undefined;
  if (layouts === undefined) {
    const names = (await tableNames()).join(', ');
    throw new AgentError('NOT_FOUND', `There is no map ${JSON.stringify(name)}: wanted ${names}`);
  }
  const [key, value] = layouts;
  const { BpfMap, PerCpuMap, TypedMap } = await binding();
  const map = opened(() => BpfMap.openPinned(`${mapDirectory(pins)}/${name}`), pins, name);
  const table = writable ? new TypedMap(map, key, value) : new PerCpuMap(map, key, value);
  return {
    info: () => ({
      name,
      type: map.type,
      entries: map.count(),
      maxEntries: map.maxEntries,
      key: key.name,
      value: value.name,
      id: map.id,
      writable,
    }),
    emptyKey: () => empty(key),
    emptyValue: () => empty(value),
    get: (wanted) => table.get(wanted),
    set: (wanted, next) => {
      if (!(table instanceof TypedMap)) {
        throw new AgentError('USAGE', `Map ${name} has a value for each CPU: it can be read, not changed`);
      }
      table.set(wanted, next);
    },
    delete: (wanted) => table.delete(wanted),
    entries: () => table.entries(),
    redecide: () => redecide(pins),
    close: () => table.close(),
  };
}

async function redecide(pins: string): Promise<void> {
  const { openTable } = await datapath();
  const settings = opened(() => openTable(pins, 'settings'), pins, 'settings');
  try {
    const current = settings.get(0);
    if (current !== undefined) settings.set(0, { ...current, revision: (current.revision + 1) >>> 0 });
  } finally {
    settings.close();
  }
}

function opened<T>(open: () => T, pins: string, name: string): T {
  try {
    return open();
  } catch (cause) {
    const errno = cause instanceof BpfError ? cause.errno : undefined;
    const failed = `Cannot open map ${name} in ${pins}`;
    if (errno === 'ENOENT') {
      const hint = 'has an agent ever run here? Name another directory with --pins';
      throw new AgentError('NOT_FOUND', `${failed}: nothing is pinned there`, { hint, cause });
    }
    if (errno === 'EPERM' || errno === 'EACCES') {
      throw new AgentError('FORBIDDEN', `${failed}: not permitted`, { hint: 'run as root', cause });
    }
    throw cause;
  }
}
