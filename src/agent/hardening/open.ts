/** The real parts of hardening: the compiler with its catalogue, and the mounts of this machine's processes. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { HardeningTables } from '../../datapath/hardening-port.ts';
import { READY_RULES, readyNames } from '../../hardening/catalogue/index.ts';
import { compileProfile } from '../../hardening/profile.ts';
import type { Container } from '../../model/endpoint.ts';
import type { HardeningPolicy } from '../../model/hardening.ts';
import { type MountAnchors, readAnchors } from '../../sources/anchors.ts';
import { ContainerHardening } from './containers.ts';
import { BitsFile } from './memory.ts';
import { type CompileProfile, ProfileShelf } from './shelf.ts';

/** Processes of a container that are asked for its mounts, when its first one has ended. */
const ASKED_MOST = 16;

export interface HardeningPlaces {
  /** Where cgroup2 is mounted. */
  readonly cgroupRoot: string;
  /** A directory, for what the next agent is to know. */
  readonly state: string;
  /** That cannot be read or written. */
  readonly onFault: (error: Error) => void;
}

export function openHardening(tables: HardeningTables, places: HardeningPlaces): ContainerHardening {
  const { cgroupRoot, state, onFault } = places;
  const memory = new BitsFile(join(state, 'executables.json'), onFault);
  return new ContainerHardening({
    tables,
    shelf: new ProfileShelf(compileWithCatalogue, memory),
    mountsOf: (container) => mountsOf(container, cgroupRoot),
  });
}

/** The kernel's pages for what these policies say, with the ready rules of this version. @throws HardeningError */
export const compileWithCatalogue: CompileProfile = (policies, options) =>
  compileProfile(policies.map(withoutGroups), { ...options, ready: READY_RULES });

/** Names of groups as the names of the rules in them. */
export function withoutGroups(policy: HardeningPolicy): HardeningPolicy {
  const rules = policy.rules.map((rule) => ({ ...rule, ready: [...new Set(rule.ready.flatMap(readyNames))] }));
  return { ...policy, rules };
}

function mountsOf({ pid, cgroup }: Container, cgroupRoot: string): MountAnchors {
  return readAnchors('/proc', new Set([pid, ...processesIn(join(cgroupRoot, cgroup.path))]), cgroup.path);
}

function processesIn(cgroup: string): number[] {
  try {
    const pids = readFileSync(join(cgroup, 'cgroup.procs'), 'latin1').split('\n', ASKED_MOST);
    return pids.filter(Boolean).map(Number);
  } catch {
    return []; // gone, or threaded
  }
}
