import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openHost } from '../../../src/agent/host.ts';
import { formatWorkload } from '../../../src/model/workload.ts';
import { DockerSource } from '../../../src/sources/docker/source.ts';
import type { Sighting } from '../../../src/sources/source.ts';
import { cgroup2Mount } from '../../rig/cgroup.ts';
import { waitFor } from '../../rig/cleanup.ts';
import type { Docker } from '../../rig/docker.ts';
import { startDocker } from '../../rig/docker.ts';
import { Relay } from './relay.ts';

describe('the Docker source', function () {
  this.timeout(120_000);
  let docker: Docker;
  let directory: string;
  let relay: Relay;
  let source: DockerSource;

  before(async () => {
    docker = await startDocker();
    directory = mkdtempSync(join(tmpdir(), 'sallyport-test-relay-'));
    relay = new Relay(join(directory, 'docker.sock'), docker.socket);
    await relay.open();
    source = new DockerSource({
      host: openHost({ netns: docker.namespace.path }),
      domain: 'test',
      socket: relay.path,
      timeoutMs: 1_000,
      resyncMs: 1_000,
      retry: { leastMs: 20, mostMs: 200 },
    });
    await source.start(new AbortController().signal);
  });

  after(async () => {
    await source.close();
    relay.close();
    rmSync(directory, { recursive: true });
    docker.close();
  });

  const until = (what: string, condition: () => boolean): Promise<void> => waitFor(what, condition, 20_000);

  const find = (id: string): Sighting | undefined =>
    source.snapshot().endpoints.find(({ endpoint }) => endpoint.containers.some((container) => container.id === id));

  const present = async (id: string): Promise<Sighting> => {
    await until(`${id} is seen`, () => find(id) !== undefined);
    return find(id)!;
  };

  const absent = (id: string): Promise<void> => until(`${id} is gone`, () => find(id) === undefined);

  const pidOf = (id: string): number | undefined =>
    find(id)?.endpoint.containers.find((container) => container.id === id)?.pid;

  it('is synced with no containers', () => {
    assert.equal(source.synced, true);
    assert.equal(source.status().healthy, true);
    assert.deepEqual(source.snapshot().endpoints, []);
  });

  it('tells of a container: its name, identity, cgroup, addresses and the interface that leads to it', async () => {
    const web = await docker.run({ name: 'web', labels: { tier: 'front', maintainer: 'nobody' } });
    const { endpoint, seen } = await present(web.id);
    const [container] = endpoint.containers;
    assert.equal(endpoint.id, web.id);
    assert.equal(endpoint.mode, 'interface');
    assert.equal(formatWorkload(endpoint.identity.workload), 'docker/Container/web');
    assert.deepEqual(endpoint.identity.labels, { tier: 'front' });
    assert.equal(container?.cgroup.path, `${docker.cgroupParent}/${web.id}`);
    assert.equal(container?.cgroup.id, statSync(join(cgroup2Mount(), container!.cgroup.path), { bigint: true }).ino);
    assert.equal(container?.cgroup.level, 2);
    assert.equal(container?.pid, (await web.inspect()).State.Pid);
    const address = await web.ipv4();
    assert.deepEqual(
      seen.filter((one) => one.declared && !one.address.includes(':')),
      [{ address, prefix: 16, declared: true }],
    );
    assert.ok(seen.some((one) => one.address === address && one.device === 'eth0' && !one.declared));
    // Who has its MAC on the bridge is told by the bridge.
    const mac = (await web.exec(['cat', '/sys/class/net/eth0/address'])).trim();
    const gateway = (await web.exec(['ip', 'route'])).split(' ')[2]!;
    await web.exec(['ping', '-c', '1', '-W', '2', gateway]);
    const learnt = await docker.namespace.run(['bridge', 'fdb', 'show', 'br', 'docker0']);
    const device = learnt
      .split('\n')
      .find((line) => line.startsWith(mac))
      ?.split(' ')[2];
    assert.deepEqual(
      endpoint.interfaces.map((one) => one.name),
      [device],
    );
    await web.remove();
    await absent(web.id);
  });

  it('names the services of a compose project, replicas alike', async () => {
    const replica = (name: string, number: string) =>
      docker.run({
        name,
        labels: {
          'com.docker.compose.project': 'shop',
          'com.docker.compose.service': 'api',
          'com.docker.compose.container-number': number,
        },
      });
    const [one, two] = [await replica('shop-api-1', '1'), await replica('shop-api-2', '2')];
    const [first, second] = [await present(one.id), await present(two.id)];
    assert.equal(formatWorkload(first.endpoint.identity.workload), 'shop/Service/api');
    assert.equal(first.endpoint.identity.container, 'api');
    assert.equal(first.endpoint.identity.id, second.endpoint.identity.id);
    await one.remove();
    await two.remove();
    await absent(two.id);
  });

  it('makes one endpoint of containers that share a network namespace', async () => {
    const web = await docker.run({ name: 'pod-web' });
    const side = await docker.run({ name: 'pod-side', network: `container:${web.id}` });
    await until('both are one', () => find(web.id)?.endpoint.containers.length === 2);
    const { endpoint } = find(side.id)!;
    assert.equal(endpoint.id, web.id);
    assert.equal(formatWorkload(endpoint.identity.workload), 'docker/Container/pod-web');
    assert.equal(endpoint.identity.container, '');
    assert.deepEqual(endpoint.containers.map((container) => container.identity.container).sort(), [
      'pod-side',
      'pod-web',
    ]);
    await web.remove();
    await until('the other lives on', () => find(side.id)?.endpoint.id === side.id);
    await side.remove();
    await absent(side.id);
  });

  it('judges containers on the host’s network by their cgroup', async () => {
    const host = await docker.run({ name: 'hosted', network: 'host' });
    const { endpoint, seen } = await present(host.id);
    assert.equal(endpoint.mode, 'cgroup');
    assert.deepEqual([endpoint.interfaces, seen], [[], []]);
    assert.notEqual(endpoint.containers[0]?.cgroup.id, 0n);
    await host.remove();
    await absent(host.id);
  });

  it('says why a container without network is not judged at an interface, and follows it onto one', async () => {
    const lonely = await docker.run({ name: 'lonely', network: 'none' });
    const { endpoint } = await present(lonely.id);
    assert.equal(endpoint.mode, 'cgroup');
    assert.match(endpoint.reason ?? '', /no interface/);
    await docker.cli(['network', 'disconnect', 'none', lonely.id]);
    await docker.cli(['network', 'connect', 'bridge', lonely.id]);
    await until('it has an interface', () => find(lonely.id)?.endpoint.mode === 'interface');
    await lonely.remove();
    await absent(lonely.id);
  });

  it('follows a container into and out of networks', async () => {
    await docker.cli(['network', 'create', 'back']);
    const web = await docker.run({ name: 'walker' });
    await present(web.id);
    await docker.cli(['network', 'connect', 'back', web.id]);
    await until('two interfaces', () => find(web.id)?.endpoint.interfaces.length === 2);
    const address = await web.ipv4('back');
    await until('the new address', () => find(web.id)!.seen.some((one) => one.declared && one.address === address));
    await docker.cli(['network', 'disconnect', 'back', web.id]);
    await until('one interface', () => find(web.id)?.endpoint.interfaces.length === 1);
    await until('no such address', () => !find(web.id)!.seen.some((one) => one.address === address));
    await web.remove();
    await docker.cli(['network', 'rm', 'back']);
    await absent(web.id);
  });

  it('follows a container through a restart, a rename and a pause', async () => {
    const web = await docker.run({ name: 'before' });
    const { instance } = await present(web.id);
    const pid = pidOf(web.id);
    await docker.cli(['pause', web.id]);
    await docker.cli(['rename', web.id, 'after']);
    await until('its new name', () => find(web.id)?.endpoint.identity.workload.name === 'after');
    await docker.cli(['unpause', web.id]);
    await docker.cli(['restart', '-t', '0', web.id]);
    await until('its new process', () => ![undefined, pid].includes(pidOf(web.id)));
    assert.notEqual(find(web.id)!.instance, instance);
    assert.equal(pidOf(web.id), (await web.inspect()).State.Pid);
    await web.remove();
    await absent(web.id);
  });

  it('tells which addresses and ports of the node are a container’s', async () => {
    const web = await docker.run({ name: 'published', args: ['-p', '8080:80', '-p', '127.0.0.1:5353:53/udp'] });
    await present(web.id);
    const frontends = source.snapshot().frontends.map(({ endpoint, ...rest }) => {
      assert.equal(endpoint, web.id);
      return Object.values(rest).join(' ');
    });
    const gateway = (await web.exec(['ip', 'route'])).split(' ')[2]!;
    assert.ok(frontends.includes(`${gateway} TCP 8080 80`), frontends.join('; '));
    assert.ok(frontends.includes('127.0.0.1 TCP 8080 80'), frontends.join('; '));
    assert.deepEqual(
      frontends.filter((one) => one.includes('UDP')),
      ['127.0.0.1 UDP 5353 53'],
    );
    await web.remove();
    await absent(web.id);
    assert.deepEqual(source.snapshot().frontends, []);
  });

  it('keeps what it knows while the engine is away, and sees what happened meanwhile', async () => {
    const [stays, ends] = [await docker.run({ name: 'stays' }), await docker.run({ name: 'ends' })];
    await present(ends.id);
    const before = await present(stays.id);
    relay.close();
    await until('it is unhealthy', () => !source.status().healthy);
    assert.equal(source.status().error?.code, 'UNREACHABLE');
    assert.deepEqual(find(stays.id), before);
    // Nobody tells us, but a process that is gone is gone.
    await ends.remove();
    await absent(ends.id);
    const comes = await docker.run({ name: 'comes' });
    await relay.open();
    await present(comes.id);
    assert.equal(source.status().healthy, true);
    assert.ok(source.status().restarts > 0);
    assert.deepEqual(find(stays.id), before);
    await stays.remove();
    await comes.remove();
    await absent(comes.id);
  });

  it('notices an engine that hangs', async () => {
    const stays = await docker.run({ name: 'unmoved' });
    await present(stays.id);
    relay.hang();
    await until('it is unhealthy', () => source.status().error?.code === 'TIMEOUT');
    assert.ok(find(stays.id));
    relay.close();
    await relay.open();
    await until('it is healthy', () => source.status().healthy);
    await stays.remove();
    await absent(stays.id);
  });

  it('follows a restart of the engine itself, after which a container has its id but another process', async () => {
    const web = await docker.run({ name: 'again' });
    await present(web.id);
    const pid = pidOf(web.id);
    await docker.restart();
    await absent(web.id);
    await until('it is healthy', () => source.status().healthy);
    await docker.cli(['start', web.id]);
    await present(web.id);
    assert.notEqual(pidOf(web.id), pid);
    await web.remove();
    await absent(web.id);
  });
});
