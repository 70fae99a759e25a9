/** Attacks by policies that would fill the kernel's tables, with packets of those who are to be kept from being judged. */
import assert from 'node:assert/strict';
import { ENDLESS } from '../../../src/compile/rows.ts';
import type { Endpoint } from '../../rig/node.ts';
import type { Background } from '../../rig/process.ts';
import { buildTraffic, connect, serve } from '../../rig/traffic.ts';
import { SIZES } from './laboratory.ts';
import { shopPolicy, Town } from './town.ts';

const SMALL = { ...SIZES, peers: 128, ports: 128, networks: 64 };
const ROOM = SMALL.networks / 2;

/** A policy that lets web send to the ports, and so many networks beside. */
const api = (port: number, many = 1): string =>
  shopPolicy(
    'api',
    'api',
    `  ingress:\n    - {from: [{workload: Service/web}], ports: [{protocol: TCP, port: ${port}}]}\n${networks('from', many)}`,
  );

/** Rules for so many networks, no two next to each other. */
function networks(side: 'from' | 'to', many: number): string {
  const rule = (_: unknown, i: number): string =>
    `    - {${side}: [{cidr: 198.18.${i >> 7}.${(i & 127) * 2}/32}], ports: [{protocol: UDP, port: 53}]}\n`;
  return Array.from({ length: many }, rule).join('');
}

const greedy = (name: string, many: number): string =>
  shopPolicy(name, name, `  egress:\n    - {to: [{workload: "*/Service/api"}]}\n${networks('to', many)}`, 'evil');

describe('one namespace whose policies would fill the tables', () => {
  let town: Town;
  let web: Endpoint;
  let shop: Endpoint;
  let evil: Endpoint;
  let server: Background;

  before(async () => {
    await buildTraffic();
    town = await Town.create('routed', undefined, SMALL);
    web = await town.node.createEndpoint('web');
    shop = await town.node.createEndpoint('api');
    evil = await town.node.createEndpoint('evil');
    town.settle('web', web);
    town.settle('api', shop);
    town.settle('evil/a', evil);
    for (const name of ['b', 'c', 'd']) town.know(`evil/${name}`);
    server = await serve(shop, { tcp: '8080-8082' });
  });

  after(() => {
    server.close();
    town.close();
  });

  const reach = async (from: Endpoint, port: number): Promise<string> =>
    (await connect(from, { address: shop.ipv4, port }, { timeoutMs: 300, exchange: true })).result;
  const networkRows = (): number => town.datapath.mapFill().find(({ name }) => name === 'networks')?.entries ?? 0;

  it('keeps nobody from changing his, and no newcomer from having any', async () => {
    const crowd = ['b', 'c', 'd'].map((name) => greedy(name, 30)).join('');
    await town.enforce(api(8080) + greedy('a', 50) + crowd);
    assert.equal(await reach(web, 8080), 'ok');
    assert.equal(await reach(web, 8081), 'timeout');
    assert.ok(networkRows() <= ROOM);

    await town.enforce(api(8081, 12) + greedy('a', 50) + crowd);
    assert.equal(await reach(web, 8080), 'timeout');
    assert.equal(await reach(web, 8081), 'ok');
    assert.deepEqual(town.datapath.drift(), []);

    const late = await town.node.createEndpoint('late');
    town.settle('late', late);
    await town.enforce(api(8081, 12).replace('Service/web', 'Service/late') + greedy('a', 50) + crowd);
    assert.equal(await reach(late, 8081), 'ok');
    assert.equal(await reach(web, 8081), 'timeout');
  });

  it('has its own closed, the largest first, until there is room again', async () => {
    await town.enforce(greedy('a', 50) + greedy('b', 15));
    assert.equal(await reach(evil, 8080), 'timeout');
    await town.enforce(greedy('a', 25) + greedy('b', 5));
    assert.equal(await reach(evil, 8080), 'ok');
    assert.deepEqual(town.datapath.drift(), []);
  });

  it('may have left tables that are too full for a change: what is in its way goes first', async () => {
    await town.enforce(api(8080) + greedy('a', 50) + greedy('b', 10), ENDLESS);
    assert.ok(networkRows() > ROOM);
    town.restart();
    const took = await town.enforce(api(8081, 15) + greedy('a', 50) + greedy('b', 10));
    assert.ok(took.includes('write-sets'));
    assert.ok(networkRows() <= ROOM);
    assert.equal(await reach(web, 8081), 'ok');
    assert.equal(await reach(web, 8080), 'timeout');
    assert.equal(await reach(evil, 8080), 'timeout');
    assert.deepEqual(town.datapath.drift(), []);
  });

  it('does not keep rules from being enforced that are more than there are counters', async () => {
    const many = Array.from({ length: 150 }, (_, i) => `    - {ports: [{protocol: UDP, port: ${i + 1}}]}\n`).join('');
    await town.enforce(api(8080) + shopPolicy('x', 'nobody', `  ingress:\n${many}`, 'evil'));
    assert.equal(await reach(web, 8080), 'ok');
    assert.equal(town.datapath.uncountedRules, 150 + 1 + 3 - SMALL.ports);
    await town.enforce(api(8081));
    assert.equal(await reach(web, 8081), 'ok');
    assert.equal(town.datapath.uncountedRules, 0);
    assert.equal(town.datapath.ruleCounters().size, town.datapath.currentTables().rules.size);
  });
});
