import assert from 'node:assert/strict';
import type { Container, Endpoint, Frontend } from '../../src/model/endpoint.ts';
import { deriveIdentity } from '../../src/model/identity.ts';
import type { Merged } from '../../src/sources/merge.ts';
import { merge } from '../../src/sources/merge.ts';
import type { Sighting, Sightings } from '../../src/sources/source.ts';
import { NO_SIGHTINGS } from '../../src/sources/source.ts';

const NODE = 1;

function container(id: string, runtime: Container['runtime'], path = `/${id}`): Container {
  const workload = { namespace: runtime, kind: 'Container', name: id };
  return {
    id,
    name: id,
    runtime,
    identity: deriveIdentity('test', { workload, container: id, labels: {} }),
    cgroup: { id: BigInt(Buffer.byteLength(path)) * 1000n + BigInt(path.charCodeAt(1)), path, level: 1 },
    pid: 1,
    startedAt: 0,
  };
}

function sighting(containers: readonly Container[], more: Partial<Endpoint & Sighting> = {}): Sighting {
  const { seen = [], gateways = [], instance, startedAt = 0, ...endpoint } = more;
  const id = endpoint.id ?? containers[0]!.id;
  return {
    endpoint: {
      id,
      mode: 'interface',
      identity: containers[0]?.identity ?? deriveIdentity('test', container(id, 'cri').identity),
      containers,
      netns: 100,
      interfaces: [],
      addresses: [],
      ports: [],
      ...endpoint,
    },
    seen,
    gateways,
    instance: instance ?? `${endpoint.netns ?? 100}:${id}`,
    startedAt,
  };
}

const source = (endpoints: readonly Sighting[], frontends: readonly Frontend[] = []): Sightings => ({
  endpoints,
  frontends,
  warnings: [],
});

const context = { domain: 'test', nodeNetns: NODE, nodeAddresses: ['192.0.2.1'], claims: new Map() };

const names = (merged: Merged): string[][] =>
  merged.facts.endpoints.map((endpoint) => [endpoint.id, ...endpoint.containers.map((one) => one.id)]);

describe('the merged world', () => {
  it('is empty without sources and with empty ones', () => {
    assert.deepEqual(merge([], context).facts, { endpoints: [], frontends: [] });
    assert.deepEqual(merge([NO_SIGHTINGS, NO_SIGHTINGS], context).facts, { endpoints: [], frontends: [] });
  });

  it('has a container that two sources know once, as the first tells of it', () => {
    const merged = merge(
      [source([sighting([container('a', 'cri')], { id: 'pod' })]), source([sighting([container('a', 'docker')])])],
      context,
    );
    assert.deepEqual(names(merged), [['pod', 'a']]);
    assert.equal(merged.facts.endpoints[0]?.containers[0]?.runtime, 'cri');
  });

  it('has a container that two sources know by different ids once, by its cgroup', () => {
    const docker = container('a', 'docker', '/docker/a');
    const group = { ...container('g', 'cgroup'), id: '/docker/a', cgroup: docker.cgroup };
    assert.deepEqual(names(merge([source([sighting([docker])]), source([sighting([group])])], context)), [['a', 'a']]);
  });

  it('leaves out a process group inside a known container', () => {
    const docker = container('a', 'docker', '/docker/a');
    const below = container('below', 'cgroup', '/docker/a/service');
    const beside = container('beside', 'cgroup', '/docker/ab');
    const merged = merge(
      [source([sighting([docker])]), source([sighting([below]), sighting([beside], { netns: 200 })])],
      context,
    );
    assert.deepEqual(names(merged), [
      ['a', 'a'],
      ['beside', 'beside'],
    ]);
  });

  it('does not count a sandbox’s own process as one of its containers', () => {
    const merged = merge(
      [
        source([sighting([container('web', 'cri')], { id: 'pause' })]),
        source([sighting([container('pause', 'docker')]), sighting([container('web', 'docker')])]),
      ],
      context,
    );
    assert.deepEqual(names(merged), [['pause', 'web']]);
  });

  it('joins what is in one network namespace, under the name of the first without a container', () => {
    const [web, side] = [container('web', 'docker'), container('side', 'cgroup')];
    const merged = merge([source([sighting([web])]), source([sighting([side])])], context);
    assert.deepEqual(names(merged), [['web', 'web', 'side']]);
    const { identity } = merged.facts.endpoints[0]!;
    assert.deepEqual([identity.workload.name, identity.container], ['web', '']);
    assert.equal(identity.id, deriveIdentity('test', { ...web.identity, container: '' }).id);
  });

  it('keeps apart what uses the node’s own network', () => {
    const [a, b] = [container('a', 'docker'), container('b', 'cgroup')];
    const onNode = { netns: NODE, mode: 'cgroup' as const };
    const merged = merge([source([sighting([a], onNode)]), source([sighting([b], onNode)])], context);
    assert.deepEqual(names(merged), [
      ['a', 'a'],
      ['b', 'b'],
    ]);
    const same = merge([source([sighting([a], onNode)]), source([sighting([a], onNode)])], context);
    assert.deepEqual(names(same), [['a', 'a']]);
  });

  it('gives addresses to endpoints and keeps who has them', () => {
    const seen = [{ address: '10.0.0.2', prefix: 24, device: 'eth0', declared: false }];
    const [a, b] = [
      sighting([container('a', 'docker')], { seen }),
      sighting([container('b', 'docker')], { netns: 200 }),
    ];
    const first = merge([source([a, b])], context);
    const late = { ...b, seen };
    const second = merge([source([late, a])], { ...context, claims: first.claims });
    assert.deepEqual(
      second.facts.endpoints.map((endpoint) => endpoint.addresses),
      [['10.0.0.2'], []],
    );
    assert.equal(second.warnings[0]?.code, 'ADDRESS_TAKEN');
  });

  it('gives an interface that two claim to the younger', () => {
    const interfaces = [{ ifindex: 7, name: 'veth7' }];
    const merged = merge(
      [
        source([sighting([container('old', 'cri')], { interfaces, startedAt: 1 })]),
        source([sighting([container('young', 'docker')], { interfaces, startedAt: 2, netns: 200 })]),
      ],
      context,
    );
    assert.deepEqual(
      merged.facts.endpoints.map((endpoint) => [endpoint.id, endpoint.interfaces.length]),
      [
        ['old', 0],
        ['young', 1],
      ],
    );
    assert.equal(merged.warnings[0]?.code, 'INTERFACE_TAKEN');
  });

  it('has one endpoint for each published port, under the endpoint’s merged id', () => {
    const port = { protocol: 'TCP', port: 80, targetPort: 8080 } as const;
    const merged = merge(
      [
        source(
          [sighting([container('a', 'cri')], { id: 'pod' })],
          [{ ...port, address: '192.0.2.1', endpoint: 'pod' }],
        ),
        source(
          [sighting([container('a', 'docker')])],
          [
            { ...port, address: '192.0.2.1', endpoint: 'a' },
            { ...port, address: '::ffff:192.0.2.1', endpoint: 'a' },
            { ...port, address: '2001:DB8::1', endpoint: 'a' },
            { ...port, address: '192.0.2.2', endpoint: 'nobody' },
          ],
        ),
      ],
      context,
    );
    assert.deepEqual(
      merged.facts.frontends.map(({ address, endpoint }) => [address, endpoint]),
      [
        ['192.0.2.1', 'pod'],
        ['2001:db8::1', 'pod'],
      ],
    );
  });

  it('does not depend on the order within a source', () => {
    const sightings = ['a', 'b', 'c'].map((id, i) =>
      sighting([container(id, 'docker')], {
        netns: 100 + i,
        seen: [{ address: '10.0.0.2', prefix: 24, device: 'eth0', declared: false }],
      }),
    );
    assert.deepEqual(merge([source(sightings)], context), merge([source([...sightings].reverse())], context));
  });
});
