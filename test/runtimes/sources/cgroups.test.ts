import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { openHost } from '../../../src/agent/host.ts';
import type { Endpoint } from '../../../src/model/endpoint.ts';
import { formatWorkload } from '../../../src/model/workload.ts';
import type { CgroupRule } from '../../../src/sources/cgroups.ts';
import { CgroupSource } from '../../../src/sources/cgroups.ts';
import { Discovery } from '../../../src/sources/discovery.ts';
import type { Sighting } from '../../../src/sources/source.ts';
import { Cgroup } from '../../rig/cgroup.ts';
import { waitFor } from '../../rig/cleanup.ts';
import { uniqueName } from '../../rig/names.ts';
import { Namespace } from '../../rig/netns.ts';
import type { Node } from '../../rig/node.ts';
import { createNode } from '../../rig/node.ts';
import type { Background } from '../../rig/process.ts';

describe('the cgroup source', function () {
  this.timeout(60_000);
  let parent: Cgroup;
  let node: Node;
  let source: CgroupSource;
  let processes: Background[];
  const host = () => openHost({ netns: node.namespace.path });

  const start = async (rules: (root: string) => readonly CgroupRule[], pollMs = 3_600_000): Promise<void> => {
    source = new CgroupSource({ host: host(), domain: 'test', rules: rules(`/${parent.name}`), pollMs });
    await source.start(new AbortController().signal);
  };

  /** The namespace is entered first, so that nobody sees the process in its cgroup but not yet in there. */
  const run = (cgroup: Cgroup, namespace: Namespace = node.namespace): Background => {
    const join = ['/bin/sh', '-c', 'echo $$ > "$0/cgroup.procs" && exec sleep 600', cgroup.path];
    const started = namespace.start(join);
    processes.push(started);
    return started;
  };

  const group = (name: string): Cgroup => new Cgroup(`${parent.name}/${name}`);
  const find = (cgroup: Cgroup): Sighting | undefined =>
    source.snapshot().endpoints.find(({ endpoint }) => endpoint.id === `/${cgroup.name}`);
  const until = (what: string, condition: () => boolean): Promise<void> => waitFor(what, condition);

  beforeEach(async () => {
    parent = new Cgroup(uniqueName('groups'));
    node = await createNode();
    processes = [];
  });

  afterEach(async () => {
    await source.close();
    for (const one of processes) one.close();
    parent.close();
    node.close();
  });

  const units = (root: string): CgroupRule[] => [
    { path: `${root}/*.service`, workload: 'host/Unit/{name}', labels: { tier: 'system' } },
  ];

  it('names process groups on the node’s network, and judges them by their cgroup', async () => {
    const nginx = group('nginx.service');
    run(nginx);
    run(group('other.slice'));
    await start(units);
    await until('nginx', () => find(nginx) !== undefined);
    const { endpoint, seen } = find(nginx)!;
    assert.equal(formatWorkload(endpoint.identity.workload), 'host/Unit/nginx');
    assert.deepEqual([endpoint.identity.container, endpoint.identity.labels], ['nginx', { tier: 'system' }]);
    assert.deepEqual([endpoint.mode, endpoint.interfaces, seen], ['cgroup', [], []]);
    const [container] = endpoint.containers;
    assert.deepEqual(container?.cgroup, { id: nginx.id, path: `/${nginx.name}`, level: 2 });
    assert.equal(container?.runtime, 'cgroup');
    assert.equal(source.snapshot().endpoints.length, 1);
  });

  it('notices at once when a group gets its first process and loses its last', async () => {
    await start(units);
    const late = group('late.service');
    const first = run(late);
    await until('it is there', () => find(late) !== undefined);
    const second = run(late);
    await second.output(/^/);
    await until('both run', () => late.processes.length === 2);
    first.close();
    source.hint({ operation: 'entered', cgroup: late.id, pid: second.pid });
    await until('the other stands for it', () => find(late)?.endpoint.containers[0]?.pid === late.processes[0]);
    second.close();
    await until('it is gone', () => find(late) === undefined);
  });

  it('finds processes in cgroups below a group’s own', async () => {
    const user = group('user.service');
    run(group('user.service/app/inner'));
    await start(units);
    await until('the group', () => find(user)?.endpoint.containers[0]?.cgroup.id === user.id);
    assert.equal(source.snapshot().endpoints.length, 1);
  });

  it('judges a group with a network namespace of its own at its interface', async () => {
    const inside = await node.createEndpoint('inside');
    const own = group('own.service');
    run(own, inside.namespace);
    await start(units);
    await until('the group', () => find(own) !== undefined);
    const { endpoint, seen, gateways } = find(own)!;
    assert.equal(endpoint.mode, 'interface');
    assert.deepEqual(endpoint.interfaces, [{ ifindex: inside.outside.ifindex, name: inside.outside.name }]);
    assert.ok(seen.some((one) => one.address === inside.ipv4 && one.prefix === 32));
    assert.ok(seen.some((one) => one.address === inside.ipv6));
    assert.ok(gateways.includes(node.ipv4));
  });

  it('follows a group whose interface comes after its processes', async () => {
    const late = group('late.service');
    const inside = await Namespace.create('late');
    try {
      const host = openHost({ netns: node.namespace.path });
      const rules = units(`/${parent.name}`);
      source = new CgroupSource({ host, domain: 'test', rules, pollMs: 3_600_000 });
      const world = new Discovery({ host, domain: 'test', sources: [source] });
      await world.start(new AbortController().signal);
      run(late, inside);
      const seen = (): Endpoint | undefined => world.snapshot().endpoints.find((one) => one.id === `/${late.name}`);
      await until('it has none', () => seen()?.mode === 'cgroup');
      await node.namespace.ip([`link add late0 type veth peer name eth0 netns ${inside.name}`, 'link set late0 up']);
      await until('it has one', () => seen()?.interfaces[0]?.name === 'late0');
      await inside.ip(['link set eth0 up', 'addr add 10.201.0.2/24 dev eth0']);
      await until('its address is seen', () => seen()?.addresses.includes('10.201.0.2') === true);
      await world.close();
    } finally {
      inside.close();
    }
  });

  it('judges a group whose processes are in several namespaces by its cgroup', async () => {
    const inside = await node.createEndpoint('inside');
    const mixed = group('mixed.service');
    run(mixed, inside.namespace);
    run(mixed);
    await until('both run', () => mixed.processes.length === 2);
    await start(units);
    await until('the group', () => find(mixed) !== undefined);
    assert.equal(find(mixed)?.endpoint.mode, 'cgroup');
    assert.match(find(mixed)?.endpoint.reason ?? '', /several network namespaces/);
  });

  it('takes the first rule that matches, and names what it cannot name', async () => {
    const [web, odd] = [group('web.service'), group('odd name.service')];
    run(web);
    run(odd);
    await start((root) => [
      { path: `${root}/web.service`, workload: 'shop/Service/front', container: 'main' },
      ...units(root),
    ]);
    await until('web', () => find(web) !== undefined);
    assert.equal(formatWorkload(find(web)!.endpoint.identity.workload), 'shop/Service/front');
    assert.equal(find(web)!.endpoint.identity.container, 'main');
    await until('the trouble is told', () => source.status().error?.code === 'MALFORMED');
    assert.match(source.status().error!.message, /odd name/);
    assert.equal(find(odd), undefined);
  });

  it('undoes systemd’s escapes', async () => {
    const escaped = group('system-a\\x2db.service');
    run(escaped);
    await start(units);
    await until('the group', () => find(escaped) !== undefined);
    assert.equal(find(escaped)?.endpoint.identity.workload.name, 'system-a-b');
  });

  it('finds by looking now and then what nothing tells of', async () => {
    await start(units, 50);
    // A process that leaves its group without ending.
    const [left, to] = [group('left.service'), group('to.service')];
    const mover = run(left);
    await until('it is there', () => find(left) !== undefined);
    writeFileSync(`${to.path}/cgroup.procs`, String(left.processes[0]));
    await until('it moved', () => find(to) !== undefined && find(left) === undefined);
    mover.close();
  });

  it('climbs out of no directory', async () => {
    await start((root) => [{ path: `${root}/../*`, workload: 'host/Unit/{name}' }]);
    assert.deepEqual(source.snapshot().endpoints, []);
  });
});
