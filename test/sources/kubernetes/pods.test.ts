import assert from 'node:assert/strict';
import { projectPod } from '../../../src/sources/kubernetes/pods.ts';

const metadata = { namespace: 'shop', name: 'web-1', uid: 'u1', labels: { app: 'web' } };
const ports = (spec: object): string[] =>
  projectPod({ metadata, spec }).ports.map(({ name, protocol, port }) => `${name} ${protocol} ${port}`);

describe('what is kept of a pod', () => {
  it('is whose it is, its labels, and no more of it than that', () => {
    const spec = { containers: [{ name: 'web', image: 'x', env: [{ name: 'A', value: 'b' }] }] };
    assert.deepEqual(
      projectPod({ metadata: { ...metadata, annotations: { a: 'b' } }, spec, status: { phase: 'Running' } }),
      {
        namespace: 'shop',
        name: 'web-1',
        uid: 'u1',
        labels: { app: 'web' },
        ports: [],
        credentials: { serviceAccount: '', hostNetwork: false },
      },
    );
  });

  it('has the named ports of all its containers', () => {
    const container = (name: string, containerPort: number, protocol?: string) => ({
      ports: [{ name, containerPort, protocol }, { containerPort: 1 }],
    });
    const found = ports({
      containers: [container('http', 80), container('dns', 53, 'UDP')],
      initContainers: [container('init', 81), { ...container('sidecar', 82, 'SCTP'), restartPolicy: 'Always' }],
    });
    assert.deepEqual(found, ['http TCP 80', 'dns UDP 53', 'init TCP 81', 'sidecar SCTP 82']);
  });

  const probes: readonly { name: string; container: object; probed: string[] }[] = [
    { name: 'liveness by HTTP', container: { livenessProbe: { httpGet: { path: '/', port: 81 } } }, probed: ['81'] },
    { name: 'readiness by TCP', container: { readinessProbe: { tcpSocket: { port: 82 } } }, probed: ['82'] },
    { name: 'startup by gRPC', container: { startupProbe: { grpc: { port: 83 } } }, probed: ['83'] },
    { name: 'a named port', container: { livenessProbe: { httpGet: { port: 'http' } } }, probed: ['80'] },
    { name: 'the UDP port of that name', container: { livenessProbe: { tcpSocket: { port: 'dns' } } }, probed: [] },
    { name: 'a name nobody has', container: { livenessProbe: { tcpSocket: { port: 'x' } } }, probed: [] },
    { name: 'another host', container: { livenessProbe: { httpGet: { host: '10.0.0.1', port: 80 } } }, probed: [] },
    { name: 'a command', container: { livenessProbe: { exec: { command: ['true'] } } }, probed: [] },
    {
      name: 'life cycle hooks',
      container: { lifecycle: { postStart: { httpGet: { port: 84 } }, preStop: { tcpSocket: { port: 85 } } } },
      probed: ['84', '85'],
    },
    {
      name: 'the same port twice',
      container: { livenessProbe: { tcpSocket: { port: 82 } }, readinessProbe: { httpGet: { port: 82 } } },
      probed: ['82'],
    },
    { name: 'nonsense', container: { livenessProbe: { httpGet: { port: {} } }, startupProbe: 7 }, probed: [] },
    { name: 'no port there is', container: { livenessProbe: { tcpSocket: { port: 70_000 } } }, probed: [] },
  ];
  for (const { name, container, probed } of probes) {
    it(`knows what a probe of ${name} reaches`, () => {
      const named = [
        { name: 'http', containerPort: 80 },
        { name: 'dns', containerPort: 53, protocol: 'UDP' },
      ];
      const found = ports({ containers: [{ ports: named, ...container }] });
      assert.deepEqual(
        found.filter((port) => port.startsWith('@')),
        probed.map((port) => `@probe TCP ${port}`),
      );
    });
  }

  it('has the uid its runtime has beside the server’s, where it is the mirror of a static one', () => {
    const annotations = { 'kubernetes.io/config.hash': 'abc', 'kubernetes.io/config.mirror': 'abc' };
    const ownerReferences = [{ apiVersion: 'v1', kind: 'Node', name: 'node1', uid: 'n', controller: true }];
    const pod = projectPod({ metadata: { ...metadata, annotations, ownerReferences } });
    assert.deepEqual([pod.uid, pod.hash], ['u1', 'abc']);
    // The node keeps it, and does not own it: it is a workload of its own.
    assert.equal(pod.controller, undefined);
  });

  it('has the controller among its owners', () => {
    const owner = (kind: string, controller?: boolean) => ({
      apiVersion: 'v1',
      kind,
      name: 'x',
      uid: kind,
      controller: controller ?? false,
    });
    const pod = projectPod({ metadata: { ...metadata, ownerReferences: [owner('A'), owner('Rollout', true)] } });
    assert.deepEqual(pod.controller, { apiVersion: 'v1', kind: 'Rollout', name: 'x', uid: 'Rollout' });
  });

  it('is bounded', () => {
    const many = Array.from({ length: 10_000 }, (_, i) => ({ name: `p${i}`, containerPort: i + 1 }));
    assert.equal(ports({ containers: [{ ports: many }] }).length, 512);
  });
});
