/** The kernel's tables by name, each with the layout of its keys and values. */
import { join } from 'node:path';
import { BpfMap, type Layout, PerCpuMap, TypedMap, U32, U64 } from '../libbpf/index.ts';
import {
  AddressLayout,
  BackendLayout,
  ClaimKeyLayout,
  ClaimLayout,
  ClassLayout,
  ContainerLayout,
  DecisionLayout,
  DomainKeyLayout,
  DomainLayout,
  DropCounterLayout,
  EndpointStateLayout,
  FlowKeyLayout,
  FlowLayout,
  FragmentKeyLayout,
  FragmentLayout,
  FrontendKeyLayout,
  InterfaceLayout,
  NetworkKeyLayout,
  OwnerLayout,
  PeerKeyLayout,
  PortKeyLayout,
  PortRangeKeyLayout,
  ReplayBucketLayout,
  RuleCounterLayout,
  SenderKeyLayout,
  SenderLayout,
  SettingsLayout,
  SubjectLayout,
  TagKeyLayout,
  VerifiedKeyLayout,
  VerifiedLayout,
} from './layouts.gen.ts';

/** Layouts of all tables with one value an entry, under the names of `bpf/lib/maps.h`. */
export const TABLE_LAYOUTS = {
  interfaces: [U32, InterfaceLayout],
  containers: [U64, ContainerLayout],
  addresses: [AddressLayout, OwnerLayout],
  frontends: [FrontendKeyLayout, BackendLayout],
  senders: [SenderKeyLayout, SenderLayout],
  subjects: [U32, SubjectLayout],
  peers: [PeerKeyLayout, ClassLayout],
  networks: [NetworkKeyLayout, ClassLayout],
  ports: [PortKeyLayout, DecisionLayout],
  port_ranges: [PortRangeKeyLayout, DecisionLayout],
  settings: [U32, SettingsLayout],
  domains: [DomainKeyLayout, DomainLayout],
  identities: [U64, U32],
  verified: [VerifiedKeyLayout, VerifiedLayout],
  claims: [ClaimKeyLayout, ClaimLayout],
  tag_keys: [U32, TagKeyLayout],
  replays: [U32, ReplayBucketLayout],
  flows: [FlowKeyLayout, FlowLayout],
  fragments: [FragmentKeyLayout, FragmentLayout],
  endpoint_states: [U32, EndpointStateLayout],
  rule_counters: [U32, RuleCounterLayout],
} as const;

/** Layouts of the tables with a value for each CPU. */
export const PER_CPU_LAYOUTS = {
  drops: [U32, DropCounterLayout],
  incidents: [U32, U64],
} as const;

/** No tables: the ring of events, and that of packets which wait. */
export const EVENTS = 'events';
export const TAKEN = 'taken';

/** What belongs to cgroups and not to a key of ours; there is none where no connection can be tagged. */
export const TAG_OWNERS = 'tag_owners';

export type TableName = keyof typeof TABLE_LAYOUTS;
export type PerCpuName = keyof typeof PER_CPU_LAYOUTS;

type KeyOf<L> = L extends readonly [Layout<infer K>, unknown] ? K : never;
type ValueOf<L> = L extends readonly [unknown, Layout<infer V>] ? V : never;

export type Tables = {
  readonly [N in TableName]: TypedMap<KeyOf<(typeof TABLE_LAYOUTS)[N]>, ValueOf<(typeof TABLE_LAYOUTS)[N]>>;
} & {
  readonly [N in PerCpuName]: PerCpuMap<KeyOf<(typeof PER_CPU_LAYOUTS)[N]>, ValueOf<(typeof PER_CPU_LAYOUTS)[N]>>;
};

export const TABLE_NAMES = Object.keys(TABLE_LAYOUTS) as TableName[];
export const PER_CPU_NAMES = Object.keys(PER_CPU_LAYOUTS) as PerCpuName[];

/** Wraps maps, found by name, in their layouts. `find` throws where one is missing. */
export function typedTables(find: (name: string) => BpfMap): Tables {
  const tables: Record<string, unknown> = {};
  for (const name of TABLE_NAMES) {
    const [key, value] = TABLE_LAYOUTS[name];
    tables[name] = new TypedMap<unknown, unknown>(find(name), key as Layout<unknown>, value as Layout<unknown>);
  }
  for (const name of PER_CPU_NAMES) {
    const [key, value] = PER_CPU_LAYOUTS[name];
    tables[name] = new PerCpuMap<unknown, unknown>(find(name), key as Layout<unknown>, value as Layout<unknown>);
  }
  return tables as Tables;
}

/**
 * Opens one pinned table, whether an agent runs or not.
 * @param pins the datapath's directory on the bpffs
 * @throws BpfError where there is no such pin
 */
export function openTable<N extends TableName>(pins: string, name: N): Tables[N] {
  const [key, value] = TABLE_LAYOUTS[name];
  const map = BpfMap.openPinned(join(mapDirectory(pins), name));
  return new TypedMap<unknown, unknown>(map, key as Layout<unknown>, value as Layout<unknown>) as unknown as Tables[N];
}

export function openPerCpuTable<N extends PerCpuName>(pins: string, name: N): Tables[N] {
  const [key, value] = PER_CPU_LAYOUTS[name];
  const map = BpfMap.openPinned(join(mapDirectory(pins), name));
  return new PerCpuMap<unknown, unknown>(map, key as Layout<unknown>, value as Layout<unknown>) as unknown as Tables[N];
}

/**
 * Raised when a struct of `bpf/api` changes: maps pinned under another version are not taken over but left to the
 * programs that use them until the new ones have replaced those.
 */
export const LAYOUT_VERSION = 7;

/** Where the maps of this layout are pinned. */
export function mapDirectory(pins: string): string {
  return join(pins, `v${LAYOUT_VERSION}`);
}
