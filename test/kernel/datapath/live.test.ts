import assert from 'node:assert/strict';
import type { Endpoint } from '../../rig/node.ts';
import type { Background } from '../../rig/process.ts';
import { buildTraffic, connect, holdOpen, serve } from '../../rig/traffic.ts';
import { shopPolicy, Town } from './town.ts';

const API_POLICY = shopPolicy(
  'api',
  'api',
  '  ingress: [{name: from-web, from: [{workload: Service/web}], ports: [{protocol: TCP, port: 8080}, {protocol: UDP, port: 5353}]}]',
);

for (const attach of ['routed', 'bridged'] as const) {
  describe(`containers of a ${attach} node`, () => {
    let town: Town;
    let web: Endpoint;
    let api: Endpoint;
    let db: Endpoint;
    let server: Background;

    before(async () => {
      await buildTraffic();
      town = await Town.create(attach);
      web = await town.node.createEndpoint('web');
      api = await town.node.createEndpoint('api');
      db = await town.node.createEndpoint('db');
      for (const endpoint of [web, api, db]) town.settle(endpoint.name, endpoint);
      server = await serve(api, { tcp: '8080-8081', udp: '5353' });
    });

    after(() => {
      server.close();
      town.close();
    });

    const reach = async (from: Endpoint, address: string, port: number, udp = false) =>
      (await connect(from, { address, port, udp }, { timeoutMs: 300, exchange: true })).result;

    it('talk freely without a policy', async () => {
      await town.enforce('');
      assert.equal(await reach(web, api.ipv4, 8080), 'ok');
      assert.equal(await reach(db, api.ipv6, 8081), 'ok');
      assert.equal(await reach(web, api.ipv4, 5353, true), 'ok');
    });

    it('are told apart by name when there is one', async () => {
      await town.enforce(API_POLICY);
      for (const address of [api.ipv4, api.ipv6]) {
        assert.equal(await reach(web, address, 8080), 'ok');
        assert.equal(await reach(web, address, 5353, true), 'ok');
        assert.equal(await reach(web, address, 8081), 'timeout', 'another port');
        assert.equal(await reach(db, address, 8080), 'timeout', 'another name');
        assert.equal(await reach(db, address, 5353, true), 'timeout', 'another name');
      }
      const host = await connect(town.node.host, { address: api.ipv4, port: 8080 }, { timeoutMs: 300 });
      assert.equal(host.result, 'timeout', 'the host');
    });

    it('lose an open connection with the policy that allowed it, and only that one', async () => {
      await town.enforce(API_POLICY);
      const cut = await holdOpen(
        web,
        { address: api.ipv4, port: 8080 },
        { durationMs: 2000, interval: 10, timeoutMs: 500 },
      );
      const kept = await holdOpen(
        web,
        { address: api.ipv4, port: 5353, udp: true },
        { durationMs: 1500, interval: 10, timeoutMs: 500 },
      );
      await town.enforce(API_POLICY.replace('{protocol: TCP, port: 8080}, ', ''));
      assert.equal((await cut.result()).result, 'timeout');
      const conversation = await kept.result();
      assert.equal(conversation.result, 'ok');
      assert.equal(conversation.lost, 0);
    });

    it('stay judged while the agent is dead, and the next agent takes over what is there', async () => {
      await town.enforce(API_POLICY);
      assert.equal(await reach(web, api.ipv4, 8080), 'ok');
      const hits = sum(town);
      const open = await holdOpen(
        web,
        { address: api.ipv4, port: 8080 },
        { durationMs: 2500, interval: 5, timeoutMs: 500 },
      );
      town.die();
      assert.equal(await reach(web, api.ipv6, 8080), 'ok');
      assert.equal(await reach(db, api.ipv4, 8080), 'timeout');
      town.restart();
      assert.equal(town.datapath.adopted, true);
      // The kernel does not know what rules are called; all else is there.
      assert.deepEqual(await town.enforce(API_POLICY), ['write-rules']);
      assert.ok(sum(town) > hits, 'counters go on from where they were');
      assert.equal(await reach(db, api.ipv4, 8080), 'timeout');
      const conversation = await open.result();
      assert.deepEqual({ result: conversation.result, lost: conversation.lost }, { result: 'ok', lost: 0 });
      assert.deepEqual(town.datapath.drift(), []);
    });

    it('do not inherit the trust of an address', async () => {
      const first = await town.node.createEndpoint('guest');
      town.settle('web2', first);
      const policy = API_POLICY.replace('Service/web', 'Service/web2');
      await town.enforce(policy);
      assert.equal(await reach(first, api.ipv4, 5353, true), 'ok');
      const address = first.ipv4;
      first.close();
      town.leave('web2');
      const second = await town.node.createEndpoint('stranger', { ipv4: address });
      town.settle('stranger', second);
      await town.enforce(policy);
      assert.equal(await reach(second, api.ipv4, 5353, true), 'timeout');
      town.leave('stranger');
      await town.enforce('');
      second.close();
    });

    it('are known by name on the host network too, in both directions', async () => {
      const exporter = town.node.createHostContainer('exporter');
      assert.ok(exporter.cgroup !== undefined);
      town.settleHost('exporter', exporter.cgroup);
      const from = (name: string) => API_POLICY.replace('Service/web', `Service/${name}`);
      const own = shopPolicy(
        'exporter',
        'exporter',
        '  ingress: [{from: [{workload: Service/web}]}]\n  egress: [{to: [{workload: Service/api}]}]',
      );
      await town.enforce(from('exporter') + own);
      const attempt = async (port: number) =>
        (await connect(exporter, { address: api.ipv4, port }, { timeoutMs: 300, exchange: true })).result;
      assert.equal(await attempt(8080), 'ok');
      const other = await connect(town.node.host, { address: api.ipv4, port: 8080 }, { timeoutMs: 300 });
      assert.equal(other.result, 'timeout', 'another process of the host');
      const listening = await serve(exporter, { tcp: '9100', address: town.node.ipv4 });
      assert.equal(await reach(web, town.node.ipv4, 9100), 'ok');
      assert.equal(await reach(db, town.node.ipv4, 9100), 'timeout');
      listening.close();
      await town.enforce(from('web') + own);
      assert.equal(await attempt(8080), 'timeout', 'a policy that does not name it');
      town.leave('exporter');
      await town.enforce('');
      exporter.cgroup.close();
    });

    it('are told apart inside a pod, as senders and as receivers', async () => {
      const pod = await town.node.createEndpoint('pod');
      const app = pod.createContainer('app');
      const sidecar = pod.createContainer('sidecar');
      assert.ok(app.cgroup !== undefined && sidecar.cgroup !== undefined);
      town.settle('pod', pod, { app: app.cgroup, sidecar: sidecar.cgroup });
      const toApi = API_POLICY.replace('{workload: Service/web}', '{workload: Service/pod, container: app}');
      const fromWeb = shopPolicy('pod', 'pod', '  ingress: [{from: [{workload: Service/web}]}]').replace(
        'Service/pod}',
        'Service/pod, container: sidecar}',
      );
      await town.enforce(toApi + fromWeb);
      const attempt = async (where: typeof app) =>
        (await connect(where, { address: api.ipv4, port: 8080 }, { timeoutMs: 300, exchange: true })).result;
      assert.equal(await attempt(app), 'ok');
      assert.equal(await attempt(sidecar), 'timeout');
      const appServer = await serve(app, { tcp: '7000', udp: '7000' });
      const sidecarServer = await serve(sidecar, { tcp: '7001', udp: '7001' });
      assert.equal(await reach(db, pod.ipv4, 7000), 'ok', 'no policy selects app');
      assert.equal(await reach(db, pod.ipv4, 7000, true), 'ok');
      assert.equal(await reach(db, pod.ipv4, 7001), 'timeout');
      assert.equal(await reach(db, pod.ipv4, 7001, true), 'timeout');
      assert.equal(await reach(web, pod.ipv4, 7001), 'ok');
      assert.equal(await reach(web, pod.ipv6, 7001, true), 'ok');
      appServer.close();
      sidecarServer.close();
      town.leave('pod');
      await town.enforce('');
      pod.close();
    });
  });
}

function sum(town: Town): bigint {
  let packets = 0n;
  for (const counter of town.datapath.ruleCounters().values()) packets += counter.packets;
  return packets;
}
