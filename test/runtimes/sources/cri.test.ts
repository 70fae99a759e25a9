import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openHost } from '../../../src/agent/host.ts';
import { formatWorkload } from '../../../src/model/workload.ts';
import { CriSource } from '../../../src/sources/cri/source.ts';
import type { Sighting } from '../../../src/sources/source.ts';
import { waitFor } from '../../rig/cleanup.ts';
import type { Containerd } from '../../rig/containerd.ts';
import { startContainerd } from '../../rig/containerd.ts';
import { Relay } from './relay.ts';

describe('the CRI source', function () {
  this.timeout(120_000);
  let containerd: Containerd;
  let directory: string;
  let relay: Relay;
  let source: CriSource;
  const owners = new Map<string, string>();

  before(async () => {
    containerd = await startContainerd();
    directory = mkdtempSync(join(tmpdir(), 'sallyport-test-relay-'));
    relay = new Relay(join(directory, 'cri.sock'), containerd.socket);
    await relay.open();
    source = new CriSource({
      host: openHost({ netns: containerd.namespace.path }),
      domain: 'test',
      socket: relay.path,
      resolveOwner: ({ namespace, name }) => {
        const owner = owners.get(`${namespace}/${name}`);
        if (owner === undefined) return undefined;
        return {
          workload: { namespace, kind: 'Deployment', name: owner },
          ports: [{ name: 'http', protocol: 'TCP', port: 80 }],
        };
      },
      pollMs: 200,
      resyncMs: 1_000,
      timeoutMs: 1_000,
      retry: { leastMs: 20, mostMs: 200 },
    });
    await source.start(new AbortController().signal);
  });

  after(async () => {
    await source.close();
    relay.close();
    rmSync(directory, { recursive: true });
    containerd.close();
  });

  const until = (what: string, condition: () => boolean): Promise<void> => waitFor(what, condition, 20_000);

  const find = (id: string): Sighting | undefined =>
    source.snapshot().endpoints.find(({ endpoint }) => endpoint.id === id);

  const containersOf = (id: string): string[] =>
    find(id)?.endpoint.containers.map((container) => container.identity.container) ?? [];

  it('is synced with no pods', () => {
    assert.deepEqual([source.synced, source.status().healthy], [true, true]);
    assert.deepEqual(source.snapshot().endpoints, []);
  });

  it('tells of a pod before it has a container, and of its containers as they come and go', async () => {
    const labels = { app: 'web', 'pod-template-hash': 'x1' };
    const pod = await containerd.createPod({ name: 'web-x1-abc', namespace: 'shop', labels });
    await until('the pod is seen', () => find(pod.id) !== undefined);
    const { endpoint, seen } = find(pod.id)!;
    assert.equal(endpoint.mode, 'interface');
    assert.equal(endpoint.interfaces.length, 1);
    assert.equal(formatWorkload(endpoint.identity.workload), 'shop/Pod/web-x1-abc');
    assert.equal(endpoint.identity.container, '');
    assert.deepEqual(endpoint.identity.labels, { app: 'web' });
    assert.deepEqual(
      seen.filter((one) => one.declared).map((one) => one.address),
      await pod.addresses(),
    );
    const main = await pod.createContainer('main');
    await until('its container', () => containersOf(pod.id).join() === 'main');
    const only = find(pod.id)!.endpoint;
    assert.equal(only.identity.container, 'main');
    assert.ok(only.containers[0]!.cgroup.path.endsWith(`/${main.id}`));
    assert.notEqual(only.containers[0]!.cgroup.id, 0n);
    const side = await pod.createContainer('side');
    await until('both containers', () => containersOf(pod.id).sort().join() === 'main,side');
    assert.equal(find(pod.id)!.endpoint.identity.container, '');
    await side.stop();
    await until('one container', () => containersOf(pod.id).join() === 'main');
    await pod.remove();
    await until('the pod is gone', () => find(pod.id) === undefined);
  });

  it('judges pods on the node’s network by their containers’ cgroups', async () => {
    const pod = await containerd.createPod({ name: 'hosted', hostNetwork: true });
    await pod.createContainer('main');
    await pod.createContainer('side');
    await until('both containers', () => containersOf(pod.id).length === 2);
    const { endpoint, seen } = find(pod.id)!;
    assert.deepEqual([endpoint.mode, endpoint.interfaces, seen], ['cgroup', [], []]);
    await pod.remove();
    await until('the pod is gone', () => find(pod.id) === undefined);
  });

  it('has a pod under its owner’s name and ports once they are known', async () => {
    const pod = await containerd.createPod({ name: 'api-1', namespace: 'shop' });
    await until('the pod is seen', () => find(pod.id)?.endpoint.identity.workload.kind === 'Pod');
    owners.set('shop/api-1', 'api');
    source.ownersChanged();
    await until('its owner', () => find(pod.id)?.endpoint.identity.workload.kind === 'Deployment');
    assert.deepEqual(find(pod.id)!.endpoint.ports, [{ name: 'http', protocol: 'TCP', port: 80 }]);
    await pod.remove();
    await until('the pod is gone', () => find(pod.id) === undefined);
  });

  it('keeps what it knows while the runtime is away, and sees what happened meanwhile', async () => {
    const [stays, ends] = [await containerd.createPod({ name: 'stays' }), await containerd.createPod({ name: 'ends' })];
    await stays.createContainer('main');
    await until('both pods', () => containersOf(stays.id).length === 1 && find(ends.id) !== undefined);
    const before = find(stays.id);
    relay.close();
    await until('it is unhealthy', () => source.status().error?.code === 'UNREACHABLE');
    await ends.remove();
    await until('the ended pod is gone', () => find(ends.id) === undefined);
    assert.deepEqual(find(stays.id), before);
    const comes = await containerd.createPod({ name: 'comes' });
    await relay.open();
    await until('the new pod', () => find(comes.id) !== undefined);
    assert.equal(source.status().healthy, true);
    assert.deepEqual(find(stays.id), before);
    relay.hang();
    await until('it notices that nobody answers', () => source.status().error?.code === 'TIMEOUT');
    relay.close();
    await relay.open();
    await until('it is healthy', () => source.status().healthy);
    await stays.remove();
    await comes.remove();
    await until('all are gone', () => source.snapshot().endpoints.length === 0);
  });

  it('looks at once when the kernel tells of a cgroup', async () => {
    const slow = new CriSource({
      host: openHost({ netns: containerd.namespace.path }),
      domain: 'test',
      socket: containerd.socket,
      pollMs: 3_600_000,
    });
    await slow.start(new AbortController().signal);
    const pod = await containerd.createPod({ name: 'hinted' });
    slow.hint({ operation: 'created', cgroup: 1n, pid: 1 });
    await until('the pod is seen', () => slow.snapshot().endpoints.some(({ endpoint }) => endpoint.id === pod.id));
    await slow.close();
    await pod.remove();
  });
});
