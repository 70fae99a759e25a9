/** Endpoints as rows of the kernel's tables. Pure. */

import { formatAddress, parseAddress } from '../model/address.ts';
import type { Endpoint, Frontend, ServiceAddress } from '../model/endpoint.ts';
import { PROTOCOLS } from '../model/protocol.ts';
import type { Address, Backend, Container, FrontendKey, Interface, Owner } from './layouts.gen.ts';
import { BackendFlags, ContainerFlags, InterfaceFlags, OwnerFlags, Slot } from './layouts.gen.ts';

/** What this node itself is: addresses that are its own, and links that lead out of it. */
export interface HostFacts {
  readonly addresses: readonly string[];
  readonly uplinks: readonly number[];
  /** Inode of its network namespace. */
  readonly netns: number;
}

/** Of 65,536 that the kernel's table holds: the rest is for published ports. Those beyond are of the world. */
const MOST_SERVICE_ADDRESSES = 57_344;

/** The tables of who is who. Keys are text where the kernel's key is a struct, so that rows can be compared. */
export interface EndpointRows {
  readonly interfaces: ReadonlyMap<number, Interface>;
  readonly containers: ReadonlyMap<bigint, Container>;
  readonly addresses: ReadonlyMap<string, { readonly key: Address; readonly value: Owner }>;
  readonly frontends: ReadonlyMap<string, { readonly key: FrontendKey; readonly value: Backend }>;
}

/** How the rows' maker names things. Undefined where the tables had no room: the endpoint gets no rows. */
export interface Numbering {
  readonly endpoint: (id: string) => number | undefined;
  readonly slot: (identity: bigint) => number | undefined;
}

/** An endpoint is shared when the socket's cgroup has to tell its containers apart. */
export function isShared(endpoint: Endpoint): boolean {
  return endpoint.mode === 'interface' && endpoint.containers.length > 1;
}

export function endpointRows(
  endpoints: readonly Endpoint[],
  frontends: readonly Frontend[],
  host: HostFacts,
  numbering: Numbering,
  serviceAddresses: readonly ServiceAddress[] = [],
): EndpointRows {
  const interfaces = new Map<number, Interface>();
  const containers = new Map<bigint, Container>();
  const addresses = new Map<string, { key: Address; value: Owner }>();
  const services = new Map<string, { key: FrontendKey; value: Backend }>();
  const own = (address: string, value: Owner) => {
    const bytes = parseAddress(address);
    // The first owner keeps an address that two claim; sources report the conflict.
    if (bytes === undefined) return;
    const text = formatAddress(bytes);
    if (!addresses.has(text)) addresses.set(text, { key: { bytes }, value });
  };

  for (const ifindex of host.uplinks) {
    interfaces.set(ifindex, { endpoint: 0, slot: 0, flags: InterfaceFlags.Uplink, cgroupLevel: 0 });
  }
  for (const address of host.addresses) own(address, { endpoint: 0, slot: Slot.Host, flags: 0 });

  const bySlot = new Map<string, number>();
  for (const endpoint of endpoints) {
    const number = numbering.endpoint(endpoint.id);
    const slot = numbering.slot(endpoint.identity.id);
    if (number === undefined || slot === undefined || endpoint.mode === 'unprotected') continue;
    const shared = isShared(endpoint);
    bySlot.set(endpoint.id, slot);
    for (const { ifindex } of endpoint.interfaces) {
      const flags = shared ? InterfaceFlags.Shared : 0;
      interfaces.set(ifindex, {
        endpoint: number,
        slot,
        flags,
        cgroupLevel: endpoint.containers[0]?.cgroup.level ?? 0,
      });
    }
    for (const container of endpoint.containers) {
      const refined = numbering.slot(container.identity.id);
      const flags = endpoint.netns === host.netns ? ContainerFlags.ContainerHere : 0;
      if (refined !== undefined) containers.set(container.cgroup.id, { endpoint: number, slot: refined, flags });
    }
    if (endpoint.mode !== 'interface') continue;
    for (const address of endpoint.addresses)
      own(address, { endpoint: number, slot, flags: shared ? OwnerFlags.OwnerShared : 0 });
  }

  const stand = ({ address, protocol, port, targetPort, guarded }: ServiceAddress, slot: number) => {
    const bytes = parseAddress(address);
    if (bytes === undefined) return;
    const key = { address: { bytes }, port, protocol: PROTOCOLS[protocol] };
    services.set(`${formatAddress(bytes)} ${key.protocol} ${port}`, {
      key,
      value: { slot, port: targetPort, flags: guarded ? BackendFlags.BackendGuarded : 0 },
    });
  };
  for (const one of serviceAddresses.slice(0, MOST_SERVICE_ADDRESSES)) stand(one, Slot.Some);
  for (const frontend of frontends) {
    const slot = bySlot.get(frontend.endpoint);
    if (slot !== undefined) stand(frontend, slot);
  }
  return { interfaces, containers, addresses, frontends: services };
}
