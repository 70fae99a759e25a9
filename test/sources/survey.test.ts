import assert from 'node:assert/strict';
import { readlinkSync } from 'node:fs';
import type { Candidate } from '../../src/sources/candidate.ts';
import type { Host, NamespaceView } from '../../src/sources/host.ts';
import { parseNamespace } from '../../src/sources/process.ts';
import { Surveyor } from '../../src/sources/survey.ts';
import { Background } from '../rig/process.ts';

const OWN = parseNamespace(readlinkSync('/proc/self/ns/net'))!;

function candidate(pid: number, more: Partial<Candidate> = {}): Candidate {
  const workload = { namespace: 'docker', kind: 'Container', name: 'web' };
  return {
    id: 'a1'.repeat(32),
    name: 'web',
    runtime: 'docker',
    attributes: { workload, container: 'web', labels: {} },
    pid,
    startedAt: Date.now() - 60_000,
    cgroup: '/',
    sandbox: 'web',
    role: 'owner',
    declared: [],
    published: [],
    ports: [],
    ...more,
  };
}

/** Real processes, on a node whose namespaces are as told: `node` is its own. */
describe('a survey', () => {
  let child: Background;
  let views: string[];

  const hostOf = (node: number, view: () => NamespaceView | Error, now: () => number = Date.now): Host => ({
    namespaces: {
      node,
      links: async () => [{ ifindex: 9, name: 'veth9', kind: 'veth', peerIfindex: 2, linkNetnsid: 4, loopback: false }],
      addresses: async () => [],
      view: async (path) => {
        views.push(path);
        const shown = view();
        if (shown instanceof Error) throw shown;
        return shown;
      },
      watch: () => () => {},
    },
    cgroups: { mount: '/nowhere', id: () => 7n },
    proc: '/proc',
    now,
  });

  const veth = { ifindex: 2, name: 'eth0', kind: 'veth', peerIfindex: 9, linkNetnsid: 0, loopback: false };
  const attached: NamespaceView = {
    links: [veth],
    addresses: [{ ifindex: 2, address: '10.0.0.2', prefix: 24 }],
    gateways: ['10.0.0.1'],
    netnsid: 4,
  };

  beforeEach(() => {
    child = new Background(['sleep', '60']);
    views = [];
  });

  afterEach(() => child.close());

  it('leaves out what does not run, or runs no more', async () => {
    const surveyor = new Surveyor(
      hostOf(1, () => attached),
      'test',
    );
    const one = candidate(child.pid);
    assert.equal((await surveyor.survey([one, candidate(4_194_305, { id: 'b' })])).endpoints.length, 1);
    child.close();
    assert.deepEqual((await surveyor.survey([one])).endpoints, []);
  });

  it('leaves out a process that got a dead container’s pid, and tells of one that should be in its cgroup', async () => {
    const surveyor = new Surveyor(
      hostOf(1, () => attached),
      'test',
    );
    const { cgroup: _, ...named } = candidate(child.pid);
    assert.deepEqual(await surveyor.survey([named]), { endpoints: [], frontends: [], warnings: [] });
    const young = await surveyor.survey([{ ...named, startedAt: Date.now() }]);
    assert.deepEqual([young.endpoints, young.warnings.map((warning) => warning.code)], [[], ['PROCESS_UNVERIFIED']]);
    const elsewhere = await surveyor.survey([candidate(child.pid, { cgroup: '/another' })]);
    assert.deepEqual(elsewhere.endpoints, []);
  });

  it('reads a namespace once, again when told to, and again when the node’s links into it are others', async () => {
    const surveyor = new Surveyor(
      hostOf(1, () => attached),
      'test',
    );
    const one = [candidate(child.pid)];
    const first = await surveyor.survey(one);
    assert.deepEqual(first.endpoints[0]?.endpoint.interfaces, [{ ifindex: 9, name: 'veth9' }]);
    surveyor.linksChanged();
    assert.deepEqual(await surveyor.survey(one), first);
    assert.equal(views.length, 1);
    surveyor.forget();
    await surveyor.survey(one);
    assert.equal(views.length, 2);
    const alone = new Surveyor(
      hostOf(1, () => ({ ...attached, links: [] })),
      'test',
    );
    await alone.survey(one);
    alone.linksChanged();
    await alone.survey(one);
    assert.equal(views.length, 4);
  });

  it('looks once more at what is new, when it has settled', async () => {
    let now = Date.now();
    const surveyor = new Surveyor(
      hostOf(
        1,
        () => attached,
        () => now,
      ),
      'test',
    );
    const one = [candidate(child.pid)];
    await surveyor.survey(one);
    const wait = surveyor.lookAgainIn()!;
    assert.ok(wait > 0);
    now += wait;
    await surveyor.survey(one);
    assert.equal(views.length, 2);
    assert.equal(surveyor.lookAgainIn(), undefined);
  });

  it('does not ask for another look at once where it can no longer read', async () => {
    let now = Date.now();
    let trouble = false;
    const surveyor = new Surveyor(
      hostOf(
        1,
        () => (trouble ? new Error('not now') : attached),
        () => now,
      ),
      'test',
    );
    const one = [candidate(child.pid)];
    await surveyor.survey(one);
    trouble = true;
    now += surveyor.lookAgainIn()!;
    await surveyor.survey(one);
    assert.equal(surveyor.lookAgainIn(), undefined);
  });

  it('keeps what it read of a namespace that can no longer be read, and tells of one that never could be', async () => {
    let trouble = false;
    const surveyor = new Surveyor(
      hostOf(1, () => (trouble ? new Error('not now') : attached)),
      'test',
    );
    const one = [candidate(child.pid)];
    const before = await surveyor.survey(one);
    trouble = true;
    surveyor.forget();
    assert.deepEqual(await surveyor.survey(one), before);
    const blind = await new Surveyor(
      hostOf(1, () => new Error('never')),
      'test',
    ).survey(one);
    assert.equal(blind.endpoints[0]?.endpoint.mode, 'cgroup');
    assert.match(blind.endpoints[0]?.endpoint.reason ?? '', /never/);
    assert.deepEqual(
      blind.warnings.map((warning) => warning.code),
      ['NAMESPACE_UNREADABLE'],
    );
  });

  it('can judge nothing on the node’s network without a cgroup, and says so', async () => {
    const host = { ...hostOf(OWN, () => attached), cgroups: undefined };
    const [sighting] = (await new Surveyor(host, 'test').survey([candidate(child.pid)])).endpoints;
    assert.equal(sighting?.endpoint.mode, 'unprotected');
    assert.match(sighting?.endpoint.reason ?? '', /node’s own network.*web has no cgroup2/);
  });

  it('finds a sandbox without a process by its containers', async () => {
    const surveyor = new Surveyor(
      hostOf(1, () => attached),
      'test',
    );
    const attributes = { workload: { namespace: 'shop', kind: 'Pod', name: 'web-1' }, container: '', labels: {} };
    const declared = [{ address: '10.0.0.2', prefix: 32, declared: true }];
    const sandbox = candidate(0, { id: 'pod', role: 'sandbox', sandbox: 'pod', attributes, declared });
    const member = candidate(child.pid, { id: 'main', role: 'member', sandbox: 'pod' });
    const [sighting, ...others] = (await surveyor.survey([sandbox, member])).endpoints;
    assert.deepEqual(others, []);
    assert.equal(sighting?.endpoint.id, 'pod');
    assert.deepEqual(
      sighting?.endpoint.containers.map((container) => container.id),
      ['main'],
    );
    assert.deepEqual(
      sighting?.seen.map((one) => one.declared),
      [true, false],
    );
  });

  it('expands the node’s unspecified addresses by family', async () => {
    const host = hostOf(1, () => attached);
    const own = ['192.0.2.1', '127.0.0.1', '2001:db8::1', 'fe80::1'];
    const addresses = async () => own.map((address) => ({ ifindex: 1, address, prefix: 24 }));
    const published = ['0.0.0.0', '::', '192.0.2.1', 'nonsense'].map((address, i) => ({
      address,
      protocol: 'TCP' as const,
      port: 80 + i,
      targetPort: 8080,
    }));
    const surveyor = new Surveyor({ ...host, namespaces: { ...host.namespaces, addresses } }, 'test');
    const { frontends } = await surveyor.survey([candidate(child.pid, { published })]);
    assert.deepEqual(
      frontends.map(({ address, port }) => `${address} ${port}`),
      ['192.0.2.1 80', '127.0.0.1 80', '2001:db8::1 81', '192.0.2.1 82'],
    );
  });
});
