import assert from 'node:assert/strict';
import { readdirSync, readlinkSync } from 'node:fs';
import type { BpfLink } from '../../../src/libbpf/index.ts';
import { Namespace } from '../../rig/netns.ts';
import type { Background } from '../../rig/process.ts';
import { compileBefore, keep, loadSampler, SAMPLER } from './sampler.ts';

const LISTEN = `import socket, sys, time
kept = [socket.create_server(("127.0.0.1", port)) for port in range(int(sys.argv[1]), int(sys.argv[2]))]
print("listening", flush=True); time.sleep(600)`;

const descriptors = (): number => readdirSync('/proc/self/fd').length;

describe('Iterators', function () {
  this.timeout(60_000);
  compileBefore(SAMPLER);
  let link: BpfLink;
  let near: Namespace;
  let far: Namespace;
  const servers: Background[] = [];

  before(async () => {
    near = await Namespace.create('near');
    far = await Namespace.create('far');
    for (const [namespace, first, end] of [
      [near, 9000, 9003],
      [far, 10_000, 12_000],
    ] as const) {
      const server = namespace.start(['python3', '-c', LISTEN, String(first), String(end)]);
      servers.push(server);
      await server.output(/listening/);
    }
  });
  beforeEach(() => {
    link = keep(keep(loadSampler('print_listeners')).program('print_listeners').attach());
  });
  after(() => {
    for (const server of servers) server.close();
    near?.close();
    far?.close();
  });

  const portsIn = async (namespace: Namespace): Promise<number[]> =>
    (await link.iterate({ netns: namespace.path })).split('\n').filter(Boolean).map(Number).sort();

  it('go over the network namespace they are told, and no thread of the process moves', async () => {
    assert.deepEqual(await portsIn(near), [9000, 9001, 9002]);
    const own = readlinkSync('/proc/self/ns/net');
    for (const thread of readdirSync('/proc/self/task')) {
      assert.equal(readlinkSync(`/proc/self/task/${thread}/ns/net`), own);
    }
    const ports = (await link.iterate()).split('\n').filter(Boolean).map(Number);
    assert.ok(!ports.includes(9001), 'our own by default');
  });

  it('print more than the kernel gives at once, and as much as they may', async () => {
    const ports = await portsIn(far);
    assert.deepEqual(
      ports,
      Array.from({ length: 2000 }, (_, i) => 10_000 + i),
    );
    const enough = 2000 * 6;
    assert.equal((await link.iterate({ netns: far.path, most: enough })).length, enough);
    await assert.rejects(link.iterate({ netns: far.path, most: enough - 1 }), { code: 'LINK', errno: 'EOVERFLOW' });
  });

  it('go over several namespaces at once, none into another’s result', async () => {
    const results = await Promise.all(Array.from({ length: 40 }, (_, i) => portsIn(i % 2 ? near : far)));
    for (const [i, ports] of results.entries()) assert.equal(ports.length, i % 2 ? 3 : 2000);
  });

  it('go on when their link is closed or their namespace goes meanwhile', async () => {
    const brief = await Namespace.create('brief');
    const gone = link.iterate({ netns: brief.path });
    brief.close();
    const going = link.iterate({ netns: far.path });
    link.close();
    assert.equal((await going).length, 2000 * 6);
    assert.equal(await gone, '');
    await assert.rejects(link.iterate(), { code: 'CLOSED' });
  });

  it('refuse what is no namespace or no iterator', async () => {
    await assert.rejects(link.iterate({ netns: '/no/such/namespace' }), { code: 'NOT_FOUND', errno: 'ENOENT' });
    for (const netns of ['/', '/proc/self/status', '/proc/self/ns/mnt']) {
      await assert.rejects(link.iterate({ netns }), { code: 'LINK', errno: 'EINVAL' }, netns);
    }
    for (const most of [0, -1, 0.5, 2 ** 32]) await assert.rejects(link.iterate({ most }), { code: 'ARGUMENT' });
    for (const netns of ['', 'a\0b']) await assert.rejects(link.iterate({ netns }), { code: 'ARGUMENT' });
    const other = keep(keep(loadSampler('count_exec')).program('count_exec').attach());
    await assert.rejects(other.iterate(), { code: 'LINK', errno: 'EINVAL' });
  });

  it('keep no descriptor, whether they are read or refused', async () => {
    const before = descriptors();
    for (let i = 0; i < 100; i++) {
      await portsIn(near);
      await assert.rejects(link.iterate({ netns: near.path, most: 1 }), { errno: 'EOVERFLOW' });
      await assert.rejects(link.iterate({ netns: '/proc/self/ns/mnt' }), { errno: 'EINVAL' });
    }
    // What earlier tests have forgotten may be collected meanwhile.
    assert.ok(descriptors() < before + 50, `${descriptors() - before} more`);
  });
});
