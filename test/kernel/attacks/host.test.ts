/** What hides behind the host's address. Each test is an attack, and says that it fails. */
import assert from 'node:assert/strict';
import type { Place } from '../../rig/netns.ts';
import type { Endpoint } from '../../rig/node.ts';
import type { Background } from '../../rig/process.ts';
import { buildTraffic, connect, serve } from '../../rig/traffic.ts';
import { shopPolicy, Town } from '../datapath/town.ts';

const FROM_EXPORTER = shopPolicy(
  'api',
  'api',
  '  ingress: [{from: [{workload: Service/exporter}], ports: [{protocol: UDP, port: 5353, endPort: 5354}]}]',
);

describe("attacks from behind the host's address", () => {
  let town: Town;
  let web: Endpoint;
  let api: Endpoint;
  let exporter: Place;
  let evil: Place;
  let server: Background;

  before(async () => {
    await buildTraffic();
    town = await Town.create('routed');
    web = await town.node.createEndpoint('web');
    api = await town.node.createEndpoint('api');
    exporter = town.node.createHostContainer('exporter');
    evil = town.node.createHostContainer('evil');
    assert.ok(exporter.cgroup !== undefined && evil.cgroup !== undefined);
    for (const endpoint of [web, api]) town.settle(endpoint.name, endpoint);
    town.settleHost('exporter', exporter.cgroup);
    town.settleHost('evil', evil.cgroup);
    server = await serve(api, { udp: '5353-5354' });
    await town.enforce(FROM_EXPORTER);
  });

  after(() => {
    server.close();
    exporter.cgroup?.close();
    evil.cgroup?.close();
    town.close();
  });

  const attempt = async (where: Place, port: number, sourcePort: number) =>
    (await connect(where, { address: api.ipv4, port, udp: true, sourcePort }, { timeoutMs: 200, exchange: true }))
      .result;

  it('a container whose source is rewritten does not become the one that used its port on the host', async () => {
    const rule = ['POSTROUTING', '-s', web.ipv4, '-d', api.ipv4, '-j', 'MASQUERADE'];
    await town.node.host.run(['iptables-legacy', '-w', '-t', 'nat', '-A', ...rule]);
    try {
      assert.equal(await attempt(exporter, 5353, 6100), 'ok');
      assert.equal(await attempt(web, 5354, 6100), 'timeout');
    } finally {
      await town.node.host.run(['iptables-legacy', '-w', '-t', 'nat', '-D', ...rule]);
    }
  });

  it('a container on the host network does not take over the conversation of another by using its port', async () => {
    assert.equal(await attempt(exporter, 5353, 6200), 'ok');
    assert.equal(await attempt(evil, 5353, 6200), 'timeout');
    assert.equal(await attempt(exporter, 5353, 6200), 'ok', 'and does not spoil it');
  });
});
