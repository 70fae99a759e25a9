/** The kernel's tables of hardened containers, each with the layout of its keys and values. */
import { type BpfMap, MapOfMaps, TypedMap, U32, U64 } from '../../libbpf/index.ts';
import {
  type Anchor,
  type AnchorKey,
  AnchorKeyLayout,
  AnchorLayout,
  type HardenedCgroup,
  HardenedCgroupLayout,
  type HardenedSubject,
  HardenedSubjectLayout,
  type ViolationCounter,
  ViolationCounterLayout,
  type ViolationKey,
  ViolationKeyLayout,
} from '../layouts.gen.ts';

/** Whose container a task is of: written by programs only. Pinned, so that tasks bear it from one agent to the next. */
const BEARERS = 'bearers';

/** Pinned beside the datapath's others. */
export const HARDENING_MAPS: readonly string[] = [
  BEARERS,
  'hardened',
  'hardened_subjects',
  'profiles',
  'anchors',
  'violations',
];

export interface HardeningMaps {
  /** By cgroup id. */
  readonly cgroups: TypedMap<bigint, HardenedCgroup>;
  /** By subject; an array, so that every subject has a row: of nobody where its instance is 0. */
  readonly subjects: TypedMap<number, HardenedSubject>;
  /** By subject. */
  readonly profiles: MapOfMaps<number>;
  readonly anchors: TypedMap<AnchorKey, Anchor>;
  readonly violations: TypedMap<ViolationKey, ViolationCounter>;
}

/** Wraps maps, found by name, in their layouts. `find` throws where one is missing. */
export function hardeningMaps(find: (name: string) => BpfMap): HardeningMaps {
  return {
    cgroups: new TypedMap(find('hardened'), U64, HardenedCgroupLayout),
    subjects: new TypedMap(find('hardened_subjects'), U32, HardenedSubjectLayout),
    profiles: new MapOfMaps(find('profiles'), U32),
    anchors: new TypedMap(find('anchors'), AnchorKeyLayout, AnchorLayout),
    violations: new TypedMap(find('violations'), ViolationKeyLayout, ViolationCounterLayout),
  };
}
