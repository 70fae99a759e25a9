/** Tables of hardened containers without programs: what is written there can be looked at on any kernel. */

import type { Bearers, TaskCounts } from '../../../src/datapath/hardening/bearers.ts';
import type { HardeningMaps } from '../../../src/datapath/hardening/tables.ts';
import type { Anchor, HardenedContainer, ProfilePages } from '../../../src/datapath/hardening-port.ts';
import {
  AnchorKeyLayout,
  AnchorLayout,
  HardenedCgroupLayout,
  HardenedSubjectLayout,
  ProfileFormat,
  ViolationCounterLayout,
  ViolationKeyLayout,
} from '../../../src/datapath/layouts.gen.ts';
import {
  BPF_F_INNER_MAP,
  BPF_F_NO_PREALLOC,
  BpfMap,
  MapOfMaps,
  TypedMap,
  U32,
  U64,
} from '../../../src/libbpf/index.ts';

const PAGE = ProfileFormat.ProfilePageBytes;

export interface Sizes {
  readonly subjects: number;
  readonly cgroups: number;
  readonly anchors: number;
}

/** Maps of the shapes that `bpf/lib` gives them. The caller closes them. */
export function makeMaps({ subjects, cgroups, anchors }: Sizes): HardeningMaps & { close(): void } {
  const made: BpfMap[] = [];
  const create = (definition: Parameters<typeof BpfMap.create>[0]): BpfMap => {
    const map = BpfMap.create(definition);
    made.push(map);
    return map;
  };
  const hash = (name: string, keySize: number, valueSize: number, maxEntries: number): BpfMap =>
    create({ type: 'hash', name, keySize, valueSize, maxEntries, flags: BPF_F_NO_PREALLOC });
  const inner = BpfMap.create({
    type: 'array',
    name: 'shape',
    keySize: 4,
    valueSize: PAGE,
    maxEntries: 1,
    flags: BPF_F_INNER_MAP,
  });
  const outer = create({
    type: 'array_of_maps',
    name: 'profiles',
    keySize: 4,
    valueSize: 4,
    maxEntries: subjects,
    inner,
  });
  inner.close();
  const numbers = create({
    type: 'array',
    name: 'hardened_subjects',
    keySize: 4,
    valueSize: HardenedSubjectLayout.size,
    maxEntries: subjects,
  });
  return {
    cgroups: new TypedMap(hash('hardened', 8, HardenedCgroupLayout.size, cgroups), U64, HardenedCgroupLayout),
    subjects: new TypedMap(numbers, U32, HardenedSubjectLayout),
    profiles: new MapOfMaps(outer, U32),
    anchors: new TypedMap(
      hash('anchors', AnchorKeyLayout.size, AnchorLayout.size, anchors),
      AnchorKeyLayout,
      AnchorLayout,
    ),
    violations: new TypedMap(
      hash('violations', ViolationKeyLayout.size, ViolationCounterLayout.size, 64),
      ViolationKeyLayout,
      ViolationCounterLayout,
    ),
    close: () => {
      for (const map of made) map.close();
    },
  };
}

/** Pages that say nothing but who they are. */
export function pagesOf(id: bigint, count = 1): ProfilePages {
  const pages = Array.from({ length: count }, (_, page) => new Uint8Array(PAGE).fill(page));
  const head = Buffer.alloc(PAGE);
  head.writeBigUInt64LE(id);
  pages[0] = head;
  return { id, pages };
}

export function containerOf(
  id: string,
  cgroup: HardenedContainer['cgroup'],
  profile: ProfilePages,
  anchors: readonly Anchor[] = [],
): HardenedContainer {
  const root = { device: 42, inode: 7n };
  return { id, instance: BigInt(cgroup.id) ^ 0xabcdn, cgroup, profile, mounts: () => ({ root, anchors }) };
}

/** Counts how often it was asked to look, and may refuse. */
export class CountedBearers implements Bearers {
  looks = 0;
  refusal: Error | undefined;
  counts: TaskCounts = new Map();

  async adopt(): Promise<TaskCounts> {
    this.looks += 1;
    if (this.refusal !== undefined) throw this.refusal;
    return this.counts;
  }

  close(): void {}
}
