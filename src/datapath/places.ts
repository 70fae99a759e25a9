/** Where programs are wanted. Pure. */
import { join } from 'node:path';
import type { Endpoint } from '../model/endpoint.ts';
import { isShared } from './endpoint-rows.ts';

/** One place a program is wanted at. `pin` is its name among the pins, and tells the places apart. */
export type Place = TcPlace | CgroupPlace;

export interface TcPlace {
  readonly pin: string;
  readonly program: string;
  readonly kind: 'tc';
  readonly ifindex: number;
  readonly direction: TcDirection;
}

export interface CgroupPlace {
  readonly pin: string;
  readonly program: string;
  readonly kind: 'cgroup';
  readonly path: string;
  readonly hook: CgroupHook;
  /** Whose cgroup it is, for a program that asks its cgroup's storage: the cgroup's id, and the identity. */
  readonly owner?: { readonly cgroup: bigint; readonly identity: bigint };
}

/** A container's place where tags are written. */
export interface TagPlace extends CgroupPlace {
  readonly owner: NonNullable<CgroupPlace['owner']>;
  /** One of the container's processes. */
  readonly pid: number;
}

export type TcDirection = 'ingress' | 'egress';
export type CgroupHook = 'cgroup_inet_ingress' | 'cgroup_inet_egress' | 'cgroup_sock_ops';

/** Drops what leaves the node although it was to be held. */
export const GUARD = 'to_uplink';
/** Writes tags. */
export const TAGGER = 'write_tag';

/**
 * The places an endpoint's packets are judged at.
 * @param own cgroup of the agent itself, where it is a container: it sends on what was held, in others' names
 */
export function placesOf(endpoint: Endpoint, cgroupRoot: string, own?: bigint): Place[] {
  const places: Place[] = [];
  const cgroups = (program: string, hook: CgroupHook) => {
    for (const { cgroup } of endpoint.containers) {
      if (cgroup.id === own) continue;
      places.push({ pin: `${hook}-${cgroup.id}`, program, kind: 'cgroup', path: join(cgroupRoot, cgroup.path), hook });
    }
  };
  if (endpoint.mode === 'interface') {
    for (const { ifindex } of endpoint.interfaces) {
      places.push(tcPlace('from_endpoint', 'ingress', ifindex), tcPlace('to_endpoint', 'egress', ifindex));
    }
    if (isShared(endpoint)) cgroups('to_container', 'cgroup_inet_ingress');
  } else if (endpoint.mode === 'cgroup') {
    cgroups('from_host_endpoint', 'cgroup_inet_egress');
    cgroups('to_host_endpoint', 'cgroup_inet_ingress');
  }
  return places;
}

/** The places an endpoint's containers open connections at. */
export function tagPlacesOf(endpoint: Endpoint, cgroupRoot: string): TagPlace[] {
  if (endpoint.mode === 'unprotected') return [];
  return endpoint.containers.map(({ cgroup, identity, pid }) => ({
    pin: tagPin(cgroup.id),
    program: TAGGER,
    kind: 'cgroup',
    path: join(cgroupRoot, cgroup.path),
    hook: 'cgroup_sock_ops',
    owner: { cgroup: cgroup.id, identity: identity.id },
    pid,
  }));
}

/** The places where packets leave the node. */
export function guardPlacesOf(uplinks: readonly number[]): TcPlace[] {
  return uplinks.map((ifindex) => tcPlace(GUARD, 'egress', ifindex));
}

function tcPlace(program: string, direction: TcDirection, ifindex: number): TcPlace {
  return { pin: tcPin(direction, ifindex), program, kind: 'tc', ifindex, direction };
}

export function tcPin(direction: TcDirection, ifindex: number): string {
  return `tc-${direction}-${ifindex}`;
}

const TAG_PIN = 'cgroup_sock_ops-';

function tagPin(cgroup: bigint): string {
  return `${TAG_PIN}${cgroup}`;
}

/** Whether a pin is one that `tagPlacesOf` gives. */
export function isTagPin(pin: string): boolean {
  return pin.startsWith(TAG_PIN);
}
