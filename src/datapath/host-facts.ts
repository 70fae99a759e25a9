/** What this node itself is, from its links, addresses and routes. */
import { statSync } from 'node:fs';
import { listAddresses, listLinks, listRoutes } from '../libbpf/index.ts';
import type { HostFacts } from './endpoint-rows.ts';

/** Virtual links that lead to nobody but this node itself; all other kinds (vlan, bond, tunnels, …) lead out of it. */
const INNER = new Set(['veth', 'netkit', 'bridge', 'dummy', 'ifb', 'vrf', 'nlmon']);

/**
 * Links that lead out of the node are physical ones, tunnels and what stands on either, and those a gateway is reached
 * through: what arrives there with the address of a container of this node was not sent by it.
 * @param endpoints ifindexes of endpoints' interfaces, which lead nowhere else
 */
export function readHostFacts(endpoints: ReadonlySet<number>): HostFacts {
  const uplinks = new Set<number>();
  for (const link of listLinks()) {
    if (link.kind === undefined ? link.name !== 'lo' : !INNER.has(link.kind)) uplinks.add(link.ifindex);
  }
  for (const route of listRoutes()) {
    if (route.gateway !== undefined && route.ifindex !== undefined) uplinks.add(route.ifindex);
  }
  for (const ifindex of endpoints) uplinks.delete(ifindex);
  return {
    addresses: [...new Set(listAddresses().map(({ address }) => address))],
    uplinks: [...uplinks],
    netns: statSync('/proc/self/ns/net').ino,
  };
}
