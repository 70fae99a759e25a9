/**
 * Servers that listened before the datapath knew their container: they answer with tags from the first SYN on. Two
 * datapaths in one namespace stand for two nodes; nobody holds, so what goes without a tag does not arrive.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Incident } from '../../../src/datapath/layouts.gen.ts';
import type { Between } from '../../../src/datapath/port.ts';
import { Cgroup } from '../../rig/cgroup.ts';
import { waitFor } from '../../rig/cleanup.ts';
import { uniqueName } from '../../rig/names.ts';
import type { Namespace } from '../../rig/netns.ts';
import type { Endpoint } from '../../rig/node.ts';
import type { Background } from '../../rig/process.ts';
import { type Attempt, buildTraffic, connect, serve } from '../../rig/traffic.ts';
import { isAtLeast } from '../libbpf/sampler.ts';
import { KEYS } from './tag-reader.ts';
import { CAN_ADOPT } from './tag-street.ts';
import { Town } from './town.ts';

const BETWEEN: Between = { tags: true, holdMark: 0x1000, holdRate: 1000, holdOpen: false, refusal: 'reset' };
const AT_ONCE = 300e6; // ns

/** Makes a socket in each of these cgroups listen, on ports one after the other, without a process staying in them. */
const LISTENERS = `import os, socket, sys, time
own = "/".join(sys.argv[2].split("/")[:-2])
kept = []
def move(path): open(path + "/cgroup.procs", "w").write("0")
for port, path in enumerate(sys.argv[2:], int(sys.argv[1])):
  move(path)
  s = socket.socket(); s.bind(("", port)); s.listen(); kept.append(s)
move(own)
print("listening", flush=True); time.sleep(600)`;

describe('servers that listened before tags were written for them', function () {
  this.timeout(120_000);
  let here: Town;
  let there: Town;
  let web: Endpoint;
  const servers: Background[] = [];

  before(async function () {
    // Filters have no owner: of two datapaths in one namespace each would take the other's for its own of an earlier life.
    if (!isAtLeast('6.6')) this.skip();
    await buildTraffic();
    here = await Town.create('routed', BETWEEN);
    there = await Town.create('routed', BETWEEN);
    web = await here.node.createEndpoint('web');
    await there.node.createEndpoint('neighbour'); // gives the host its address
    here.settle('web', web);
    there.know('web');
    for (const town of [here, there]) {
      await town.enforce('');
      connectTowns(town);
    }
  });
  afterEach(() => {
    for (const server of servers.splice(0)) server.close();
  });
  after(() => {
    here?.close();
    there?.close();
  });

  const connectTowns = (town: Town): void => {
    const other = town === here ? there : here;
    town.datapath.peers.setTagKeys({ keys: [{ epoch: 1, key: KEYS[1]! }], signing: 1, window: 30 });
    town.datapath.peers.setClock();
    town.datapath.peers.setDomains([
      { cidr: other.node.ipv4Network, hold: true },
      { cidr: other.node.ipv6Network, hold: true },
    ]);
  };
  const written = (): bigint => there.datapath.incidents().get(Incident.TagWritten) ?? 0n;
  const restart = async (enforcing = true): Promise<void> => {
    there.restart();
    connectTowns(there);
    if (enforcing) await there.enforce();
  };
  const reach = (address: string, port: number): Promise<Attempt> =>
    connect(web, { address, port }, { timeoutMs: 600 });
  /** Looking after them is on nobody's way, and leaves no other sign than their answers. */
  const tagged = async (address: string, port: number): Promise<void> => {
    const before = written();
    await waitFor(`${address}:${port} answers with a tag`, async () => {
      await reach(address, port);
      return written() > before;
    });
  };
  /** The first SYN is answered, with a tag. */
  const assertTagged = async (address: string, port: number): Promise<void> => {
    const before = written();
    const { result, elapsedNs } = await reach(address, port);
    assert.equal(result, 'ok');
    assert.ok(elapsedNs < AT_ONCE, `${elapsedNs} ns`);
    assert.equal(written(), before + 1n);
  };

  it('answer with tags from the first SYN on, on every port and address', async () => {
    const api = await there.node.createEndpoint('api');
    here.know('api');
    servers.push(await serve(api, { tcp: '8080,8081' }));
    there.settle('api', api);
    await here.enforce();
    await there.enforce();
    for (const port of [8080, 8081]) {
      for (const address of [api.ipv4, api.ipv6]) await assertTagged(address, port);
    }
    servers.push(await serve(api, { tcp: '8082' }));
    await assertTagged(api.ipv4, 8082);
  });

  it('answer so with checksums that are finished by the socket, or by the kernel on the way', async () => {
    const sum = await there.node.createEndpoint('sum');
    here.know('sum');
    servers.push(await serve(sum, { tcp: '8080' }));
    there.settle('sum', sum);
    await here.enforce();
    await there.enforce();
    const finish = async (where: Namespace, name: string, device: 'on' | 'off'): Promise<void> => {
      await where.run(['ethtool', '-K', name, 'tx', device]);
    };
    for (const [where, name] of [
      [web.node.namespace, web.outside.name],
      [sum.namespace, 'eth0'],
    ] as const) {
      await finish(where, name, 'off');
      for (const address of [sum.ipv4, sum.ipv6]) await assertTagged(address, 8080);
      await finish(where, name, 'on');
    }
  });

  it('answer so while no agent runs, and after the next has come', async () => {
    const late = await there.node.createEndpoint('late');
    here.know('late');
    servers.push(await serve(late, { tcp: '8080' }));
    there.settle('late', late);
    await here.enforce();
    await there.enforce();
    there.die();
    const { result, elapsedNs } = await reach(late.ipv4, 8080);
    assert.equal(result, 'ok');
    assert.ok(elapsedNs < AT_ONCE, `${elapsedNs} ns`);
    await restart();
    await assertTagged(late.ipv4, 8080);
  });

  it('answer so when they began while no tags were written', async () => {
    const calm = await there.node.createEndpoint('calm');
    here.know('calm');
    there.settle('calm', calm);
    await here.enforce();
    await there.enforce();
    there.datapath.setBetween({ ...BETWEEN, tags: false });
    servers.push(await serve(calm, { tcp: '8080' }));
    there.datapath.setBetween(BETWEEN);
    await assertTagged(calm.ipv4, 8080);
  });

  it('answer for the container they are of, in a pod', async () => {
    const pod = await there.node.createEndpoint('pod');
    const [main, other] = [pod.createContainer('main'), pod.createContainer('other')];
    const known = ['main', 'other'].map((name) => here.know('pod', name));
    servers.push(await serve(main, { tcp: '7000' }), await serve(other, { tcp: '7001' }));
    there.settle('pod', pod, { main: main.cgroup!, other: other.cgroup! });
    await here.enforce();
    await there.enforce();
    for (const [i, port] of [7000, 7001].entries()) {
      await assertTagged(pod.ipv4, port);
      const flow = [...here.datapath.flows()].find(({ remote }) => remote.port === port);
      assert.equal(flow?.identity, known[i]);
    }
  });

  it('on the host network answer when the next agent has come, where the one before did not get to it', async function () {
    if (!CAN_ADOPT) this.skip(); // Linux 6.12
    const host = there.node.createHostContainer('exporter');
    const server = await serve(host, { tcp: '7100' });
    servers.push(server);
    there.settleHost('exporter', host.cgroup!, server.pid);
    await there.enforce();
    there.die();
    await restart(false);
    const before = written();
    assert.equal((await reach(there.node.ipv4, 7100)).result, 'ok');
    assert.equal(written(), before, 'the one before had no time, and this one knows nobody yet');
    await there.enforce();
    await tagged(there.node.ipv4, 7100);
    await assertTagged(there.node.ipv4, 7100);
    there.leave('exporter');
    await there.enforce();
    host.cgroup!.close();
  });

  it('on the host network answer, every one of many groups, and nobody beside them', async function () {
    if (!CAN_ADOPT) this.skip(); // Linux 6.12
    const count = 150;
    const base = 20_000;
    const groups = Array.from({ length: count }, (_, i) => new Cgroup(`${there.node.cgroup.name}/group${i}`));
    const stranger = new Cgroup(uniqueName('stranger'));
    const paths = [...groups, stranger].map(({ path }) => path);
    const server = there.node.host.start(['python3', '-c', LISTENERS, String(base), ...paths]);
    servers.push(server);
    try {
      await server.output(/listening/);
      for (const [i, group] of groups.entries()) there.settleHost(`group${i}`, group, server.pid);
      await there.enforce();
      await tagged(there.node.ipv4, base + count - 1);
      for (let i = 0; i < count; i += 15) await assertTagged(there.node.ipv4, base + i);
      const before = written();
      assert.equal((await reach(there.node.ipv4, base + count)).result, 'ok');
      assert.equal(written(), before, 'of nobody whom the datapath knows');
    } finally {
      for (let i = 0; i < count; i++) there.leave(`group${i}`);
      await there.enforce();
      server.close();
      for (const group of [...groups, stranger]) group.close();
    }
  });
});

describe('a datapath that finds servers listening on the host network', () => {
  it('says so where the kernel cannot make them write tags, and works all the same', async function () {
    this.timeout(60_000);
    await buildTraffic();
    const town = await Town.create('routed', BETWEEN);
    let server: Background | undefined;
    try {
      const missing = () => town.datapath.missing.get('adopt_listeners');
      const client = await town.node.createEndpoint('client');
      const host = town.node.createHostContainer('exporter');
      server = await serve(host, { tcp: '7200' });
      town.settle('client', client);
      town.settleHost('exporter', host.cgroup!, server.pid);
      await town.enforce('');
      if (CAN_ADOPT) {
        await sleep(200);
        assert.equal(missing(), undefined);
      } else {
        await waitFor('it is known', () => missing() !== undefined);
        assert.match(missing()!, /Linux 6\.12/);
        await town.enforce();
        assert.match(missing()!, /Linux 6\.12/, 'and stays known');
      }
      assert.equal((await connect(client, { address: town.node.ipv4, port: 7200 }, { exchange: true })).result, 'ok');
    } finally {
      server?.close();
      town.close();
    }
  });
});
