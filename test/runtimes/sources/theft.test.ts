import assert from 'node:assert/strict';
import { openHost } from '../../../src/agent/host.ts';
import type { Endpoint } from '../../../src/model/endpoint.ts';
import { Discovery } from '../../../src/sources/discovery.ts';
import { DockerSource } from '../../../src/sources/docker/source.ts';
import { waitFor } from '../../rig/cleanup.ts';
import type { Container, Docker } from '../../rig/docker.ts';
import { startDocker } from '../../rig/docker.ts';
import { Namespace } from '../../rig/netns.ts';
import { findInterface } from '../../rig/node.ts';
import { run } from '../../rig/process.ts';

/** A container that may administer its network namespace tries to be another one. */
describe('an identity', function () {
  this.timeout(120_000);
  let docker: Docker;
  let world: Discovery;
  let web: Container;
  let thief: Container;
  let address: string;

  const discover = async (): Promise<Discovery> => {
    const host = openHost({ netns: docker.namespace.path });
    const source = new DockerSource({ host, domain: 'test', socket: docker.socket, resyncMs: 200 });
    const discovery = new Discovery({ host, domain: 'test', sources: [source] });
    await discovery.start(new AbortController().signal);
    return discovery;
  };

  const find = (id: string): Endpoint | undefined => world.snapshot().endpoints.find((endpoint) => endpoint.id === id);
  const addressesOf = (container: Container): readonly string[] => find(container.id)?.addresses ?? [];

  before(async () => {
    docker = await startDocker();
    world = await discover();
    thief = await docker.run({ name: 'thief', args: ['--cap-add', 'NET_ADMIN'] });
    web = await docker.run({ name: 'web' });
    await waitFor('both are seen', () => addressesOf(web).length > 0 && addressesOf(thief).length > 0);
    address = await web.ipv4();
  });

  after(async () => {
    await world.close();
    docker.close();
  });

  it('is not had by adding another’s address, neither seen by us nor before we look', async () => {
    await thief.exec(['ip', 'addr', 'add', `${address}/16`, 'dev', 'eth0']);
    await waitFor('the attempt is noticed', () =>
      world.snapshot().warnings.some(({ code, subject }) => code === 'ADDRESS_TAKEN' && subject === thief.id),
    );
    assert.ok(addressesOf(web).includes(address));
    assert.ok(!addressesOf(thief).includes(address));
    await world.close();
    world = await discover();
    assert.ok(addressesOf(web).includes(address));
    assert.ok(!addressesOf(thief).includes(address));
    await thief.exec(['ip', 'addr', 'del', `${address}/16`, 'dev', 'eth0']);
    await waitFor('the warning ends', () => world.snapshot().warnings.length === 0);
  });

  it('is not had by the node’s address, nor by one of another network, but one may add free ones beside one’s own', async () => {
    const gateway = (await thief.exec(['ip', 'route'])).split(' ')[2]!;
    const free = address.replace(/\.\d+$/, '.77');
    for (const one of [gateway, '192.0.2.7', free]) await thief.exec(['ip', 'addr', 'add', `${one}/8`, 'dev', 'eth0']);
    await waitFor('the free one is accepted', () => addressesOf(thief).includes(free));
    assert.ok(!addressesOf(thief).includes(gateway));
    assert.ok(!addressesOf(thief).includes('192.0.2.7'));
    assert.deepEqual(
      world
        .snapshot()
        .warnings.map(({ code }) => code)
        .sort(),
      ['ADDRESS_OUTSIDE', 'ADDRESS_TAKEN'],
    );
    // Whom the engine gives it to has it, however long another had it.
    await docker.cli(['network', 'disconnect', 'bridge', web.id]);
    await docker.cli(['network', 'create', '--subnet', '10.77.0.0/24', 'other']);
    await docker.cli(['network', 'connect', '--ip', '10.77.0.9', 'other', web.id]);
    await waitFor('web moved', () => addressesOf(web).includes('10.77.0.9'));
    assert.ok(!addressesOf(web).includes(address));
  });

  it('is not had by interfaces whose numbers are another’s', async () => {
    const [victim] = find(web.id)!.interfaces;
    const inside = (await web.exec(['/bin/sh', '-c', 'cat /sys/class/net/eth*/ifindex'])).trim();
    // Younger than its victim: where nothing else tells, the younger has it.
    const forger = await docker.run({ name: 'forger', args: ['--cap-add', 'NET_ADMIN'] });
    const nested = await Namespace.create('nested');
    try {
      const { Pid } = (await forger.inspect()).State;
      const pair = `type veth peer name back index ${victim!.ifindex} netns ${nested.name}`;
      const forge = `link add fake index ${inside} ${pair}`;
      await run(['nsenter', `--net=/proc/${Pid}/ns/net`, 'ip', ...forge.split(' ')]);
      assert.equal((await findInterface(nested, 'back')).ifindex, victim!.ifindex);
      await world.close();
      world = await discover();
      assert.deepEqual(find(web.id)?.interfaces, [victim]);
      assert.deepEqual(
        find(forger.id)?.interfaces.map((one) => one.ifindex === victim?.ifindex),
        [false],
      );
    } finally {
      nested.close();
    }
  });
});
