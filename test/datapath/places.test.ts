import assert from 'node:assert/strict';
import { placesOf } from '../../src/datapath/places.ts';
import type { Endpoint } from '../../src/model/endpoint.ts';

const endpoint = (mode: Endpoint['mode']) =>
  ({
    id: 'e',
    mode,
    interfaces: [{ ifindex: 7 }],
    containers: [1n, 2n].map((id) => ({ id: `c${id}`, cgroup: { id, path: `/c${id}`, level: 1 }, identity: { id } })),
  }) as unknown as Endpoint;

describe('where an endpoint is judged', () => {
  it('is the cgroup of each of its containers on the host’s network, but for the agent’s own', () => {
    const paths = (own?: bigint) => placesOf(endpoint('cgroup'), '/root', own).map((place) => place.pin);
    const both = (id: bigint) => [`cgroup_inet_egress-${id}`, `cgroup_inet_ingress-${id}`];
    assert.deepEqual(paths().sort(), [...both(1n), ...both(2n)].sort());
    assert.deepEqual(paths(2n), both(1n));
    assert.deepEqual(paths(3n).length, 4);
  });

  it('is its interface, whosever cgroup is behind it', () => {
    const pins = placesOf(endpoint('interface'), '/root', 1n).map(({ pin }) => pin);
    assert.deepEqual(pins.slice(0, 2), ['tc-ingress-7', 'tc-egress-7']);
  });
});
