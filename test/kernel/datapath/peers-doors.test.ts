/** What is attached for peers of other nodes: who writes tags, and who guards the uplinks. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import type { Attachments } from '../../../src/datapath/attachments.ts';
import { Doors } from '../../../src/datapath/doors.ts';
import { mapDirectory } from '../../../src/datapath/maps.ts';
import type { Between } from '../../../src/datapath/port.ts';
import { BpfLink } from '../../../src/libbpf/index.ts';
import { deriveIdentity } from '../../../src/model/identity.ts';
import { Namespace } from '../../rig/netns.ts';
import { type Endpoint, findInterface } from '../../rig/node.ts';
import { buildTraffic, connect, sniff } from '../../rig/traffic.ts';
import { NAMESPACE, Town } from './town.ts';

const [MAJOR = 0, MINOR = 0] = release().split('.').map(Number);
/** Since 6.6. */
const HAS_TCX = MAJOR > 6 || (MAJOR === 6 && MINOR >= 6);

const BETWEEN: Between = { tags: true, holdMark: 0, holdRate: 0, holdOpen: false, refusal: 'silence' };
const KEYS = { keys: [{ epoch: 1, key: Buffer.alloc(16, 1) }], signing: 1, window: 30 };

const SYN = 2;
const TAG_KIND = 254;

/** The identity in the tag of a TCP SYN; undefined where it has none, null where the frame is no SYN. */
function tagOf(frame: Buffer): bigint | undefined | null {
  const ip = frame.subarray(14);
  if (frame.readUInt16BE(12) !== 0x0800 || ip[9] !== 6) return null;
  const tcp = ip.subarray(((ip[0] ?? 0) & 15) * 4);
  if (((tcp[13] ?? 0) & 0x17) !== SYN) return null;
  const options = tcp.subarray(20, ((tcp[12] ?? 0) >> 4) * 4);
  for (let at = 0; at < options.length && options[at] !== 0; at += options[at] === 1 ? 1 : (options[at + 1] ?? 2)) {
    if (options[at] === TAG_KIND) return options.readBigUInt64BE(at + 4);
  }
  return undefined;
}

const identity = (name: string): bigint =>
  deriveIdentity('test', { workload: { namespace: NAMESPACE, kind: 'Service', name }, container: name, labels: {} }).id;

/** A link out of the node, with a network behind it; whatever the machine has of its own, it may have none. */
async function createUplink(node: Namespace): Promise<{ name: string; ifindex: number; close(): void }> {
  const outside = await Namespace.create('outside');
  const name = `sp${process.pid}u`;
  // Of this process alone: others test in the same namespace.
  const network = `198.18.${process.pid % 256}`;
  await node.ip([`link add ${name} type veth peer name eth0 netns ${outside.name}`]);
  await node.ip([`link set ${name} up`, `addr add ${network}.1/30 dev ${name}`]);
  await outside.ip(['link set eth0 up', `addr add ${network}.2/30 dev eth0`]);
  await node.ip([`route add ${network}.128/30 via ${network}.2`]);
  const { ifindex } = await findInterface(node, name);
  return { name, ifindex, close: () => outside.close() };
}

describe('tags at the doors of containers', () => {
  let town: Town;
  let web: Endpoint;
  let api: Endpoint;

  before(buildTraffic);

  beforeEach(async () => {
    town = await Town.create('routed', BETWEEN);
    web = await town.node.createEndpoint('web');
    api = await town.node.createEndpoint('api');
    town.settle('web', web);
    await town.enforce('');
    town.datapath.peers.setDomains([{ cidr: `${api.ipv4}/32`, hold: false }]);
    town.datapath.peers.setTagKeys(KEYS);
    town.datapath.peers.setClock();
  });

  afterEach(() => town.close());

  /** Of the first SYN that `web` sends to `api`, which is no endpoint and refuses it. */
  async function tag(): Promise<bigint | undefined> {
    const sniffer = await sniff(town.node.host, web.outside.name);
    await connect(web, { address: api.ipv4, port: 9 }, { timeoutMs: 200 });
    await sniffer.seen((frame) => tagOf(frame) !== null);
    return (await sniffer.frames()).map(tagOf).find((found) => found !== null);
  }

  const pin = () => join(town.options.pins, 'links', `cgroup_sock_ops-${web.cgroup.id}`);

  function linkOf(path = pin()): { id: number; program: number } {
    const link = BpfLink.openPinned(path);
    const { id, programId } = link.info();
    link.close();
    return { id, program: programId };
  }

  it('bear the identity of the container', async () => {
    assert.equal(await tag(), identity('web'));
    assert.deepEqual(town.datapath.endpointStatus()[0]?.error, undefined);
  });

  it('bear another when the container is known as another', async () => {
    town.leave('web');
    town.settle('shop', web);
    await town.enforce();
    assert.equal(await tag(), identity('shop'));
  });

  it('go on while there is no agent, and under the next one without a gap', async () => {
    const before = linkOf();
    town.die();
    assert.equal(await tag(), identity('web'));
    town.restart();
    assert.equal(await tag(), identity('web'), 'before the endpoints are known again');
    await town.enforce();
    assert.equal(await tag(), identity('web'));
    const after = linkOf();
    assert.equal(after.id, before.id, 'the link is the same');
    assert.notEqual(after.program, before.program, 'with the program of the new agent');
  });

  it('go on where the new program has another table of owners', async () => {
    const before = linkOf();
    town.die();
    rmSync(join(mapDirectory(town.options.pins), 'tag_owners'));
    town.restart();
    await town.enforce();
    assert.notEqual(linkOf().id, before.id);
    assert.equal(await tag(), identity('web'));
    assert.equal(readdirSync(join(town.options.pins, 'links')).filter((name) => name.includes('sock_ops')).length, 1);
  });

  it('go on under an agent that has not said yet what it wants, and end when it wants none', async function () {
    // Filters have no owner: of two datapaths in one namespace each would take the other's for its own of an earlier life.
    if (!HAS_TCX) this.skip();
    const silent = await Town.create('routed');
    const uplink = await createUplink(silent.node.namespace);
    try {
      const shop = await silent.node.createEndpoint('shop');
      silent.settle('shop', shop);
      await silent.enforce('');
      const path = join(silent.options.pins, 'links', `cgroup_sock_ops-${shop.cgroup.id}`);
      assert.equal(existsSync(path), false, 'nobody has asked for any');
      silent.datapath.setBetween({ ...BETWEEN, holdMark: 0x1000, holdRate: 5 });
      const before = linkOf(path).id;
      silent.restart();
      await silent.enforce();
      assert.equal(linkOf(path).id, before);
      const guards = silent.datapath.programs().find(({ name }) => name === 'to_uplink')?.attachments;
      assert.ok(guards?.includes(`egress of interface ${uplink.ifindex}`), 'and so do the guards');
      silent.datapath.setBetween({ ...BETWEEN, tags: false });
      assert.equal(existsSync(path), false);
    } finally {
      uplink.close();
      silent.close();
    }
  });

  it('are switched off and on while the endpoint stays', async () => {
    town.datapath.setBetween({ ...BETWEEN, tags: false });
    assert.equal(await tag(), undefined);
    assert.equal(existsSync(pin()), false);
    town.datapath.setBetween(BETWEEN);
    assert.equal(await tag(), identity('web'));
  });

  it('end with an agent that wants none, and with the endpoint', async () => {
    town.leave('web');
    await town.enforce();
    assert.equal(existsSync(pin()), false);
    town.settle('web', web);
    await town.enforce();
    assert.equal(existsSync(pin()), true);
    assert.equal(await tag(), identity('web'));
  });
});

describe('guards at the doors of the node', () => {
  const HOLDING: Between = { ...BETWEEN, tags: false, holdMark: 0x1000, holdRate: 10 };

  it('stand at every uplink while something is held, and at no other link', async () => {
    const town = await Town.create('routed', HOLDING);
    const uplink = await createUplink(town.node.namespace);
    try {
      const guards = () => town.datapath.programs().find(({ name }) => name === 'to_uplink')?.attachments ?? [];
      const at = `egress of interface ${uplink.ifindex}`;
      const web = await town.node.createEndpoint('web');
      town.settle('web', web);
      await town.enforce('');
      assert.ok(guards().includes(at), `${at}: ${guards().join()} ${JSON.stringify([...town.datapath.missing])}`);
      assert.ok(!guards().includes(`egress of interface ${web.outside.ifindex}`));
      assert.deepEqual(
        [...town.datapath.missing.keys()].filter((key) => key.startsWith('tc-')),
        [],
      );
      town.datapath.setBetween({ ...HOLDING, holdMark: 0 });
      assert.deepEqual(guards(), []);
      town.datapath.setBetween(HOLDING);
      assert.ok(guards().includes(at), 'at once');
      town.restart();
      assert.ok(guards().includes(at), 'before the first round');
      await town.node.namespace.ip([`link del ${uplink.name}`]);
      await town.enforce('');
      assert.ok(!guards().includes(at));
    } finally {
      uplink.close();
      town.close();
    }
  });
});

describe('grace periods', () => {
  it('are left alone by a round that attaches nothing', () => {
    const seen: string[] = [];
    const attachments = (settled: boolean) =>
      ({
        ensure: () => seen.push(readFileSync('/sys/kernel/rcu_expedited', 'utf8').trim()),
        retain: () => seen.push('retained'),
        settled: () => settled,
        knows: () => true,
      }) as unknown as Attachments;
    const before = readFileSync('/sys/kernel/rcu_expedited', 'utf8').trim();
    const workload = { namespace: NAMESPACE, kind: 'Service', name: 'web' };
    const endpoint = {
      id: 'web',
      mode: 'interface' as const,
      identity: deriveIdentity('test', { workload, container: '', labels: {} }),
      containers: [],
      netns: 1,
      interfaces: [{ name: 'eth0', ifindex: 901 }],
      addresses: [],
      ports: [],
    };
    new Doors(attachments(true), '/').arrange([endpoint], [], true);
    assert.deepEqual(seen, [before, before]);
    seen.length = 0;
    new Doors(attachments(false), '/').arrange([endpoint], [], true);
    assert.deepEqual(seen, ['1', '1', 'retained']);
    assert.equal(readFileSync('/sys/kernel/rcu_expedited', 'utf8').trim(), before);
  });
});
