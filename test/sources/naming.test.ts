import assert from 'node:assert/strict';
import { announceable } from '../../src/handshake/decode.ts';
import { isCut, LABELS_CUT, LABELS_LABEL } from '../../src/model/cut-labels.ts';
import { formatWorkload } from '../../src/model/workload.ts';
import { nameContainer, toCandidate } from '../../src/sources/docker/container.ts';
import type { Inspected } from '../../src/sources/docker/messages.ts';
import { inspectSchema } from '../../src/sources/docker/messages.ts';
import { identityLabels, makeWorkload, podLabels, SERVICE_ACCOUNT_LABEL } from '../../src/sources/naming.ts';

const ID = 'b7'.repeat(32);
const compose = (project: string, service: string) => ({
  'com.docker.compose.project': project,
  'com.docker.compose.service': service,
});

describe('the name of a Docker container', () => {
  const cases: readonly { labels: Record<string, string>; workload: string; container: string; name?: string }[] = [
    { labels: {}, workload: 'docker/Container/web', container: 'web' },
    { labels: compose('shop', 'api'), workload: 'shop/Service/api', container: 'api' },
    {
      labels: { 'com.docker.swarm.service.name': 'shop_api', 'com.docker.stack.namespace': 'shop' },
      workload: 'shop/Service/api',
      container: 'api',
    },
    { labels: { 'com.docker.swarm.service.name': 'api' }, workload: 'swarm/Service/api', container: 'api' },
    { labels: compose('shop/Service', 'x'), workload: 'docker/Container/web', container: 'web' },
    { labels: compose('shop', '*'), workload: 'docker/Container/web', container: 'web' },
    { labels: compose('', 'api'), workload: 'docker/Container/web', container: 'web' },
    { labels: compose('shop', 'a\nb'), workload: 'docker/Container/web', container: 'web' },
    { labels: {}, name: 'x'.repeat(300), workload: 'docker/Container/b7b7b7b7b7b7', container: 'b7b7b7b7b7b7' },
  ];
  for (const { labels, workload, container, name = 'web' } of cases) {
    it(`with ${JSON.stringify(labels)}${name === 'web' ? '' : ' and an overlong name'} is ${workload}`, () => {
      const named = nameContainer(name, ID, labels);
      assert.deepEqual([formatWorkload(named.workload), named.container], [workload, container]);
    });
  }
});

describe('a workload', () => {
  it('has only names that policies can write', () => {
    assert.ok(makeWorkload('host', 'Unit', 'getty@tty1'));
    for (const name of ['', 'a/b', 'a b', 'a*', 'ä', 'x'.repeat(254)]) {
      assert.equal(makeWorkload('host', 'Unit', name), undefined);
    }
    assert.equal(makeWorkload('x'.repeat(64), 'Unit', 'a'), undefined);
  });
});

describe('labels of an identity', () => {
  it('are those that tell workloads apart', () => {
    const labels = {
      tier: 'front',
      maintainer: 'x',
      'com.docker.compose.project': 'shop',
      'org.opencontainers.image.version': '1',
      'desktop.docker.io/wsl': 'x',
      'pod-template-hash': 'abc',
      'io.kubernetes.pod.uid': 'u',
      'app.kubernetes.io/name': 'web',
    };
    assert.deepEqual(identityLabels(labels), { 'app.kubernetes.io/name': 'web', tier: 'front' });
  });

  it('can be chosen otherwise', () => {
    assert.deepEqual(identityLabels({ tier: 'front', build: '7' }, ['build*']), { tier: 'front' });
  });

  it('are bounded, and the same whatever their order', () => {
    const many = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`key${i}`, 'v']));
    const kept = identityLabels({ ...many, long: 'x'.repeat(254), ['y'.repeat(318)]: 'v' });
    assert.equal(Object.keys(kept).length, 257);
    assert.equal(isCut({ labels: kept }), true);
    assert.deepEqual(kept, identityLabels(Object.fromEntries(Object.entries(many).reverse())));
  });

  it('are kept up to the last that fits, and say where one did not', () => {
    const labels = (many: number, value = '') =>
      Object.fromEntries(Array.from({ length: many }, (_, i) => [`a${String(i).padStart(3, '0')}`, value]));
    const restricted = (others: Record<string, string>) => identityLabels({ ...others, zone: 'restricted' });
    assert.deepEqual(restricted(labels(255)), { ...labels(255), zone: 'restricted' });
    assert.deepEqual(restricted(labels(256)), { ...labels(256), [LABELS_LABEL]: LABELS_CUT });
    // 16 KiB are 64 of 256 bytes each; what takes more in UTF-8 counts for more.
    assert.equal(isCut({ labels: identityLabels(labels(64, 'x'.repeat(252))) }), false);
    assert.equal(isCut({ labels: restricted(labels(64, 'x'.repeat(252))) }), true);
    assert.equal(isCut({ labels: identityLabels(labels(64, 'ä'.repeat(127))) }), true);
  });

  it('can be called cut by whoever has them, and not be called whole', () => {
    const many = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`key${i}`, 'v']));
    for (const noise of [undefined, []]) {
      assert.equal(isCut({ labels: identityLabels({ ...many, [LABELS_LABEL]: 'whole' }, noise) }), true);
    }
  });

  it('say of a pod what the server says of it, also where they were cut', () => {
    const many = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`key${i}`, 'v']));
    const labels = podLabels(many, { serviceAccount: 'web', hostNetwork: true });
    assert.equal(isCut({ labels }), true);
    assert.equal(labels[SERVICE_ACCOUNT_LABEL], 'web');
    const workload = { namespace: 'shop', kind: 'Deployment', name: 'web' };
    assert.equal(announceable({ workload, container: '', labels, ports: [] }), true);
  });
});

describe('what the engine says of a container', () => {
  const inspected = (more: Record<string, unknown>): Inspected =>
    inspectSchema.parse({
      Id: ID,
      Name: '/web',
      State: { Running: true, Pid: 42, StartedAt: '2026-11-22T00:00:00.5Z' },
      ...more,
    });

  it('is nothing where it does not run', () => {
    const stopped = { Running: false, Pid: 0, StartedAt: '0001-01-01T00:00:00Z' };
    assert.equal(toCandidate(inspected({ State: stopped })), undefined);
    assert.equal(toCandidate(inspected({ State: { ...stopped, Running: true } })), undefined);
  });

  it('is read also where most of it is missing', () => {
    const candidate = toCandidate(inspected({ Config: null, HostConfig: null, NetworkSettings: null }))!;
    assert.deepEqual([candidate.name, candidate.pid, candidate.role], ['web', 42, 'owner']);
    assert.equal(candidate.startedAt, Date.parse('2026-11-22T00:00:00.500Z'));
  });

  it('names the addresses assigned in all networks, in canonical text', () => {
    const Networks = {
      bridge: { IPAddress: '172.17.0.2', IPPrefixLen: 16, GlobalIPv6Address: 'FD00:0::2', GlobalIPv6PrefixLen: 64 },
      other: { IPAddress: '10.1.0.2', IPPrefixLen: 0, GlobalIPv6Address: '' },
      odd: { IPAddress: '10.1.0.300' },
      none: null,
    };
    assert.deepEqual(
      toCandidate(inspected({ NetworkSettings: { Networks } }))!.declared.map((one) => `${one.address}/${one.prefix}`),
      ['172.17.0.2/16', 'fd00::2/64', '10.1.0.2/32'],
    );
  });

  it('names published ports, without nonsense', () => {
    const Ports = {
      '80/tcp': [
        { HostIp: '', HostPort: '8080' },
        { HostIp: '::', HostPort: '8080' },
      ],
      '53/udp': [{ HostIp: '127.0.0.1', HostPort: '5353' }],
      '9/tcp': null,
      '0/tcp': [{ HostIp: '', HostPort: '1' }],
      '80/icmp': [{ HostIp: '', HostPort: '2' }],
      '81/tcp': [{ HostIp: 'localhost', HostPort: '3' }],
      '82/tcp': [{ HostIp: '', HostPort: '65536' }],
    };
    assert.deepEqual(
      toCandidate(inspected({ NetworkSettings: { Ports } }))!.published.map((one) => Object.values(one).join(' ')),
      ['0.0.0.0 TCP 8080 80', ':: TCP 8080 80', '127.0.0.1 UDP 5353 53'],
    );
  });

  it('tells a container in another’s network namespace', () => {
    const joined = { HostConfig: { NetworkMode: `container:${ID}` } };
    assert.equal(toCandidate(inspected(joined))!.role, 'member');
    assert.equal(toCandidate(inspected({ HostConfig: { NetworkMode: 'host' } }))!.role, 'owner');
  });
});
