import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EndpointView } from '../../../src/agent/api/contract.ts';
import { waitFor } from '../../rig/cleanup.ts';
import type { Endpoint } from '../../rig/node.ts';
import { connect, holdOpen, serve } from '../../rig/traffic.ts';
import { Region, servicePolicy } from './region.ts';
import { ask, Ear, forgetAll, peers, records } from './watch.ts';

const DB = servicePolicy(
  'db',
  'db',
  `  ingress:
    - name: web
      action: Allow
      from: [{workload: Service/web}, {workload: Service/other}]`,
);
const WEB = servicePolicy(
  'web',
  'web',
  `  egress:
    - name: db
      action: Allow
      to: [{workload: Service/db}]`,
);
const PORT = 8080;

describe('trust between nodes that is taken back', function () {
  this.timeout(120_000);
  let region: Region;

  before(async () => {
    region = await Region.create({ nodes: { west: ['web', 'other'], east: ['db'] } });
    await region.start();
    await region.apply(`${DB}---\n${WEB}`);
  });
  after(() => region?.close());
  beforeEach(async () => {
    await region.apply(`${DB}---\n${WEB}`);
    await forgetAll(...stations());
  });

  const stations = () => [region.station('west'), region.station('east')];
  const target = (family: 'ipv4' | 'ipv6' = 'ipv4', udp = true) => ({
    address: region.endpoint('east/db')[family],
    port: PORT,
    udp,
  });
  const send = (from = 'west/web', to = target()) => connect(region.endpoint(from), to, { timeoutMs: 4_000 });

  /** Waits until nothing at a node says anything good of an address. */
  const unknown = (node: string, address: string) =>
    waitFor(`${node} trusts ${address} no longer`, async () =>
      (await peers(region.station(node))).every((peer) => peer.address !== address || peer.kind !== 'verified'),
    );

  const enforced = (node: string, name: string) =>
    waitFor(`${name} is enforced`, async () =>
      (await ask<readonly EndpointView[]>(region.station(node), '/v1/endpoints')).some(
        ({ id, enforced }) => id.endsWith(`/${name}`) && enforced,
      ),
    );

  for (const family of ['ipv4', 'ipv6'] as const) {
    for (const [node, other] of [
      ['west', 'east'],
      ['east', 'west'],
    ] as const) {
      it(`by hand at ${node} is taken back at both ends, and asked for anew by the next datagram (${family})`, async () => {
        assert.equal((await send('west/web', target(family))).result, 'ok');
        const address = region.endpoint(node === 'west' ? 'east/db' : 'west/web')[family];
        const { status, stdout, stderr } = await region.station(node).cli(['peer', 'revoke', address]);
        assert.equal(status, 0, stderr + stdout);
        await unknown(node, address);
        await unknown(other, region.endpoint(node === 'west' ? 'west/web' : 'east/db')[family]);
        const verified = 'sallyport_handshakes_total{result="verified",step="confirm"}';
        const before = await region.station('west').metric(verified);
        assert.equal((await send('west/web', target(family))).result, 'ok');
        assert.equal(await region.station('west').metric(verified), before + 1);
      });
    }

    for (const [node, policy] of [
      ['west', servicePolicy('web', 'web', '  egress: []')],
      ['east', servicePolicy('db', 'db', '  ingress: []')],
    ] as const) {
      it(`by a policy at ${node} ends datagrams and connections that are under way (${family})`, async () => {
        const from = region.endpoint('west/web');
        const options = { durationMs: 30_000, timeoutMs: 800, interval: 20 };
        const stream = await holdOpen(from, target(family, false), options);
        assert.equal((await send('west/web', target(family))).result, 'ok');
        const ear = await Ear.at(region.endpoint('east/db'));
        try {
          await region.station(node).apply(policy);
          assert.notEqual((await stream.result()).result, 'ok');
          await unknown('west', region.endpoint('east/db')[family]);
          await unknown('east', from[family]);
          const already = ear.heard(from[family]).length;
          assert.notEqual((await connect(from, target(family), { timeoutMs: 400 })).result, 'ok');
          assert.equal(ear.heard(from[family]).length, already);
          for (const station of stations()) {
            await waitFor('it is on record', async () =>
              (await records(station, '&result=revoked')).some(({ source }) => source.workload === 'shop/Service/web'),
            );
          }
        } finally {
          ear.close();
          stream.process.close();
        }
      });
    }
  }

  /** Another container with the address of one that has ended. */
  async function replace(path: string, name: string): Promise<Endpoint> {
    const [node = ''] = path.split('/');
    const { ipv4: address } = region.endpoint(path);
    region.endpoint(path).close();
    const successor = await region.member(node).node.createEndpoint(name, { ipv4: address });
    await serve(successor, { tcp: '80,8080', udp: '80,8080' });
    return successor;
  }

  it('is not inherited by a container with the address of one that was trusted, on the side that opens', async () => {
    assert.equal((await send('west/other')).result, 'ok');
    const thief = await replace('west/other', 'thief');
    await enforced('west', 'thief');
    const ear = await Ear.at(region.endpoint('east/db'));
    assert.notEqual((await connect(thief, target(), { timeoutMs: 500 })).result, 'ok');
    assert.notEqual((await connect(thief, { ...target(), udp: false }, { timeoutMs: 2_500 })).result, 'ok');
    assert.deepEqual(ear.heard(thief.ipv4).filter(({ payload }) => payload.length > 0).length, 0);
    ear.close();
    await unknown('east', thief.ipv4);
  });

  it('is not inherited while the agent is away either', async () => {
    // `thief` is as good as anybody now, for one test.
    await region.apply(DB.replace('Service/other', 'Service/thief'));
    await waitFor('it is allowed', async () => (await send('west/thief')).result === 'ok');
    await sleep(1_500); // what is verified is saved
    await region.station('west').kill();
    const second = await replace('west/thief', 'second');
    await region.station('west').start();
    await enforced('west', 'second');
    await region.connected();
    const ear = await Ear.at(region.endpoint('east/db'));
    assert.notEqual((await connect(second, target(), { timeoutMs: 500 })).result, 'ok');
    assert.deepEqual(ear.heard(second.ipv4).length, 0);
    ear.close();
    await unknown('east', second.ipv4);
  });

  it('is not inherited on the side that is reached, and nothing is known of an identity that has gone', async () => {
    const from = region.endpoint('west/web');
    assert.equal((await send()).result, 'ok');
    const { ipv4 } = region.endpoint('east/db');
    region.endpoint('east/db').close();
    await unknown('west', ipv4);
    const heir = await region.member('east').node.createEndpoint('heir', { ipv4 });
    await serve(heir, { tcp: '80,8080', udp: '80,8080' });
    await enforced('east', 'heir');
    const ear = await Ear.at(heir);
    for (const udp of [true, false]) {
      const outcome = await connect(from, { address: ipv4, port: PORT, udp }, { timeoutMs: 1_500, exchange: true });
      assert.notEqual(outcome.result, 'ok', udp ? 'UDP' : 'TCP');
    }
    assert.deepEqual(
      ear
        .heard(from.ipv4)
        .filter(({ payload }) => payload.length > 0)
        .map(({ payload }) => payload.toString('hex')),
      [],
    );
    ear.close();
    const { identities } = (
      await ask<readonly { identities: number }[]>(region.station('west'), '/v1/peers/agents')
    )[0]!;
    assert.equal(identities, 1, 'heir, and db no longer');
  });
});
