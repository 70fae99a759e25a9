import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { listAddresses, listLinks, listRoutes, type NetworkChange, watchLinks } from '../../../src/libbpf/index.ts';
import { waitFor } from '../../rig/cleanup.ts';
import { Namespace } from '../../rig/netns.ts';

interface IpLink {
  readonly ifindex: number;
  readonly ifname: string;
  readonly mtu: number;
}

describe('Links, addresses and routes', () => {
  let outside: Namespace;
  let inside: Namespace;

  before(async () => {
    outside = await Namespace.create('outside');
    inside = await Namespace.create('inside');
    await outside.ip([
      'link add br0 type bridge',
      `link add web0 mtu 1400 type veth peer name eth0 netns ${inside.name}`,
      'link set web0 master br0 up',
      'addr add 10.9.0.1/24 dev br0',
      'link set br0 up',
    ]);
    await inside.ip([
      'link set eth0 address 02:00:00:00:00:07 up',
      'addr add 10.9.0.2/24 dev eth0',
      'addr add fd09::2/64 dev eth0 nodad',
      'route add default via 10.9.0.1',
      'route add blackhole 192.0.2.0/24 metric 77',
      'route add 198.51.100.0/24 nexthop via 10.9.0.1 nexthop via 10.9.0.3',
    ]);
  });

  after(() => {
    inside.close();
    outside.close();
  });

  it('are read in another network namespace without leaving our own', async () => {
    const ours = listLinks();
    const [eth0] = listLinks({ netns: inside.path }).filter((link) => link.name === 'eth0');
    const [web0] = listLinks({ netns: outside.path }).filter((link) => link.name === 'web0');
    assert.deepEqual(
      { ...eth0, mtu: undefined },
      {
        ifindex: eth0?.ifindex,
        name: 'eth0',
        kind: 'veth',
        peerIfindex: web0?.ifindex,
        linkNetnsid: 0,
        master: undefined,
        up: true,
        mac: '02:00:00:00:00:07',
        mtu: undefined,
      },
    );
    const bridge = listLinks({ netns: outside.path }).find((link) => link.name === 'br0');
    assert.deepEqual([web0?.master, web0?.mtu, bridge?.kind], [bridge?.ifindex, 1400, 'bridge']);
    assert.deepEqual(listLinks(), ours);
  });

  it('are what ip(8) says they are', async () => {
    for (const namespace of [inside, outside, Namespace.current()]) {
      const expected = (await namespace.ipJson(['link', 'show'])) as IpLink[];
      const found = listLinks(namespace.name === undefined ? {} : { netns: namespace.path });
      assert.deepEqual(
        found.map(({ ifindex, name, mtu }) => ({ ifindex, ifname: name, mtu })),
        expected.map(({ ifindex, ifname, mtu }) => ({ ifindex, ifname, mtu })),
      );
    }
  });

  it('have addresses with their prefixes and scopes', () => {
    const addresses = listAddresses({ netns: inside.path });
    const found = addresses
      .filter(({ scope }) => scope === 'global')
      .map(({ family, address, prefix }) => `${family} ${address}/${prefix}`);
    assert.deepEqual(found.sort(), ['4 10.9.0.2/24', '6 fd09::2/64']);
    assert.ok(addresses.some(({ address, scope }) => address === '127.0.0.1' && scope === 'host'));
    assert.ok(addresses.some(({ address, scope }) => address.startsWith('fe80::') && scope === 'link'));
  });

  it('have routes with gateways, types and the first of several hops', () => {
    const main = listRoutes({ netns: inside.path }).filter(({ family, table }) => family === 4 && table === 254);
    const byDestination = new Map(main.map((route) => [route.destination ?? 'default', route]));
    assert.equal(byDestination.get('default')?.gateway, '10.9.0.1');
    assert.deepEqual(
      [byDestination.get('192.0.2.0')?.type, byDestination.get('192.0.2.0')?.priority],
      ['blackhole', 77],
    );
    assert.equal(byDestination.get('198.51.100.0')?.gateway, '10.9.0.1');
    assert.equal(byDestination.get('10.9.0.0')?.preferredSource, '10.9.0.2');
  });

  it('are complete in a namespace with many links', async function () {
    this.timeout(60_000);
    const crowded = await Namespace.create('crowded');
    try {
      await crowded.ip(Array.from({ length: 300 }, (_, i) => `link add crowd${i} type veth peer name droves${i}`));
      const names = listLinks({ netns: crowded.path }).map((link) => link.name);
      assert.equal(names.filter((name) => name.startsWith('crowd')).length, 300);
      assert.equal(new Set(names).size, names.length);
    } finally {
      crowded.close();
    }
  });

  it('are refused where there is no such namespace, or something else', () => {
    const directory = mkdtempSync(join(tmpdir(), 'netns-'));
    try {
      const file = join(directory, 'file');
      const fifo = join(directory, 'fifo');
      writeFileSync(file, '');
      execFileSync('mkfifo', [fifo]);
      assert.throws(() => listLinks({ netns: '/run/netns/none' }), {
        code: 'NOT_FOUND',
        message: /"\/run\/netns\/none"/,
      });
      for (const netns of [file, fifo, '/proc/self/ns/uts', directory]) {
        assert.throws(() => listLinks({ netns }), { code: 'NETLINK', errno: 'EINVAL' }, netns);
      }
      for (const netns of ['', 'a\0b', 7, {}, null])
        assert.throws(() => listLinks({ netns: netns as string }), { code: 'ARGUMENT' });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('are watched as they come, change and go', async () => {
    const changes: NetworkChange[] = [];
    const watcher = watchLinks({
      netns: inside.path,
      kinds: ['link', 'address'],
      onChange: (some) => changes.push(...some),
    });
    try {
      const seen = (test: (change: NetworkChange) => boolean) => waitFor('the change', () => changes.some(test));
      await inside.ip(['link add seen0 type veth peer name seen1']);
      await seen((change) => change.kind === 'link' && !change.gone && change.link.name === 'seen0');
      await inside.ip(['addr add 10.8.0.1/32 dev seen0']);
      await seen((change) => change.kind === 'address' && !change.gone && change.address.address === '10.8.0.1');
      await inside.ip(['link del seen0']);
      await seen((change) => change.kind === 'link' && change.gone && change.link.name === 'seen0');
      assert.ok(
        !changes.some((change) => change.kind === 'link' && change.link.name === 'br0'),
        'not of other namespaces',
      );
    } finally {
      watcher.close();
      watcher.close();
    }
    const count = changes.length;
    await inside.ip(['link add late0 type veth peer name late1', 'link del late0']);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(changes.length, count);
  });

  it('are to be read anew when the kernel could not tell everything', async function () {
    this.timeout(60_000);
    const changes: NetworkChange[] = [];
    const controller = new AbortController();
    watchLinks({ netns: inside.path, signal: controller.signal, onChange: (some) => changes.push(...some) });
    try {
      // Synchronous, so that nobody reads meanwhile: more messages than a socket's buffer holds.
      const flaps = Array.from({ length: 1500 }, (_, i) => `link set eth0 mtu ${1300 + (i % 100)}`).join('\n');
      execFileSync('ip', ['-n', inside.name!, '-batch', '-'], { input: flaps });
      await waitFor('the loss', () => changes.some((change) => change.kind === 'resync'));
    } finally {
      controller.abort();
    }
  });
});
