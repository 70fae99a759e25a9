import assert from 'node:assert/strict';
import type { Place } from '../../rig/netns.ts';
import type { Endpoint } from '../../rig/node.ts';
import type { Background } from '../../rig/process.ts';
import { buildTraffic, connect, serve } from '../../rig/traffic.ts';
import { shopPolicy, Town } from './town.ts';

/** What kube-proxy makes of a Service, at its shortest. */
const ADDRESS = '10.96.0.9';
const COMMENT = ['-m', 'comment', '--comment', 'sallyport-test'];

const onlyTo = (name: string, more = '') =>
  shopPolicy(
    'web',
    'web',
    `${more}  egress: [{name: to-${name}, to: [{workload: Service/${name}}], ports: [{protocol: TCP, port: 8080}, {protocol: UDP, port: 5353}]}]`,
  );

describe("a Service's address, which is rewritten after it has left", () => {
  let town: Town;
  let web: Endpoint;
  let api: Endpoint;
  let db: Endpoint;
  const servers: Background[] = [];
  let undo: string[][] = [];

  before(async () => {
    await buildTraffic();
    town = await Town.create('routed');
    web = await town.node.createEndpoint('web');
    api = await town.node.createEndpoint('api');
    db = await town.node.createEndpoint('db');
    for (const endpoint of [web, api, db]) town.settle(endpoint.name, endpoint);
    town.serve(
      { address: ADDRESS, protocol: 'TCP', port: 80, targetPort: 8080 },
      { address: ADDRESS, protocol: 'TCP', port: 81, targetPort: 0 },
      { address: ADDRESS, protocol: 'UDP', port: 53, targetPort: 5353 },
    );
    for (const endpoint of [api, db]) servers.push(await serve(endpoint, { tcp: '8080', udp: '5353' }));
  });

  after(async () => {
    for (const server of servers) server.close();
    await lead();
    town.close();
  });

  /** Leads the Service to one of them; nobody: nowhere. */
  async function lead(to?: Pick<Endpoint, 'ipv4'>): Promise<void> {
    for (const rule of undo) await town.node.host.run(['iptables-legacy', '-w', '-t', 'nat', '-D', ...rule]);
    undo = [];
    if (to === undefined) return;
    for (const [protocol, port, target] of [
      ['tcp', '80', '8080'],
      ['tcp', '81', '8080'],
      ['udp', '53', '5353'],
    ] as const) {
      const what = ['-d', ADDRESS, '-p', protocol, '--dport', port, ...COMMENT];
      const rule = ['PREROUTING', ...what, '-j', 'DNAT', '--to-destination', `${to.ipv4}:${target}`];
      await town.node.host.run(['iptables-legacy', '-w', '-t', 'nat', '-A', ...rule]);
      undo.push(rule);
    }
  }

  const reach = async (port: number, udp = false) =>
    (await connect(web, { address: ADDRESS, port, udp }, { timeoutMs: 500, exchange: true })).result;

  it('is free for whom nothing restricts', async () => {
    await lead(api);
    await town.enforce('');
    for (const port of [80, 81]) assert.equal(await reach(port), 'ok');
    assert.equal(await reach(53, true), 'ok');
  });

  it('is whoever receives it: one who may be asked, at the port he is asked at', async () => {
    await lead(api);
    await town.enforce(onlyTo('api'));
    for (const port of [80, 81]) assert.equal(await reach(port), 'ok');
    for (let i = 0; i < 3; i++) assert.equal(await reach(53, true), 'ok');
  });

  it('is nobody who may be asked where it leads to another, from the first packet on', async () => {
    await lead(db);
    await town.enforce(onlyTo('api'));
    for (const port of [80, 81]) assert.notEqual(await reach(port), 'ok');
    for (let i = 0; i < 3; i++) assert.notEqual(await reach(53, true), 'ok');
  });

  it('opens no way to whom a rule denies, also where all the world is allowed', async () => {
    await lead(db);
    const rules =
      '  egress: [{name: not-db, action: Deny, to: [{workload: Service/db}]}, {name: world, to: [{entity: world}]}]';
    await town.enforce(shopPolicy('web', 'web', `  defaults: {egress: Allow}\n${rules}`));
    assert.notEqual(await reach(80), 'ok');
    assert.notEqual(await reach(53, true), 'ok');
    await lead(api);
    assert.equal(await reach(80), 'ok');
    assert.equal(await reach(53, true), 'ok');
  });

  it('is refused where it leaves if nobody could be asked at that port', async () => {
    await lead(api);
    await town.enforce(
      shopPolicy('web', 'web', '  egress: [{to: [{workload: Service/api}], ports: [{protocol: TCP, port: 9999}]}]'),
    );
    assert.notEqual(await reach(80), 'ok');
    assert.notEqual(await reach(53, true), 'ok');
  });

  it('is allowed by rules for addresses: the one that is written, and the one that is meant', async () => {
    await lead(api);
    for (const cidr of [`${ADDRESS}/32`, `${api.ipv4}/32`]) {
      await town.enforce(shopPolicy('web', 'web', `  egress: [{to: [{cidr: ${cidr}}]}]`));
      assert.equal(await reach(80), 'ok', cidr);
      assert.equal(await reach(53, true), 'ok', cidr);
    }
    const denied = `{action: Deny, to: [{cidr: ${api.ipv4}/32}]}, {to: [{cidr: ${ADDRESS}/32}]}`;
    await town.enforce(shopPolicy('web', 'web', `  egress: [${denied}]`));
    assert.notEqual(await reach(80), 'ok');
  });

  it('leads to the node and to the world for whom those are allowed, and nobody else', async () => {
    const server = await serve(town.node.host, { tcp: '8080', udp: '5353' });
    try {
      await lead(town.node);
      for (const [entity, outcome] of [
        ['host', true],
        ['world', false],
      ] as const) {
        await town.enforce(shopPolicy('web', 'web', `  egress: [{to: [{entity: ${entity}}]}]`));
        assert.equal((await reach(80)) === 'ok', outcome, entity);
      }
    } finally {
      server.close();
    }
  });

  it('leads to pods of several containers no otherwise', async () => {
    const pod = await town.node.createEndpoint('pod');
    const [main, side] = [pod.createContainer('main'), pod.createContainer('side')];
    assert.ok(main.cgroup !== undefined && side.cgroup !== undefined);
    const server = await serve(main, { tcp: '8080', udp: '5353' });
    try {
      town.settle('pod', pod, { main: main.cgroup, side: side.cgroup });
      await lead(pod);
      await town.enforce(onlyTo('api'));
      assert.notEqual(await reach(80), 'ok');
      assert.notEqual(await reach(53, true), 'ok');
      await town.enforce(onlyTo('pod'));
      assert.equal(await reach(80), 'ok');
      assert.equal(await reach(53, true), 'ok');

      // As the sender: what is said of one container is not said of the other.
      const asks = async (from: Place, port: number, udp = false) =>
        (await connect(from, { address: ADDRESS, port, udp }, { timeoutMs: 500, exchange: true })).result === 'ok';
      const ofMain = onlyTo('api').replace('Service/web}', 'Service/pod, container: main}');
      for (const [to, reached] of [
        [db, false],
        [api, true],
      ] as const) {
        await lead(to);
        await town.enforce(ofMain);
        for (const udp of [false, true]) {
          assert.equal(await asks(main, udp ? 53 : 80, udp), reached);
          assert.equal(await asks(side, udp ? 53 : 80, udp), true);
        }
      }
    } finally {
      server.close();
      town.leave('pod');
      await town.enforce('');
      pod.close();
    }
  });
});
