/**
 * Two nodes whose containers tag their connections: two datapaths in one namespace, neither of which knows the other's
 * addresses. Nobody holds: what waits is dropped where it would arrive.
 */
import assert from 'node:assert/strict';
import { release } from 'node:os';
import type { Between } from '../../../src/datapath/port.ts';
import type { Endpoint } from '../../rig/node.ts';
import type { Background } from '../../rig/process.ts';
import { type Attempt, buildTraffic, connect, holdOpen, serve } from '../../rig/traffic.ts';
import { KEYS } from './tag-reader.ts';
import { shopPolicy, Town } from './town.ts';

const [MAJOR = 0, MINOR = 0] = release().split('.').map(Number);
/** Since 6.6. */
const HAS_TCX = MAJOR > 6 || (MAJOR === 6 && MINOR >= 6);
const HOLD_MARK = 0x1000;
const BETWEEN: Between = { tags: true, holdMark: HOLD_MARK, holdRate: 1000, holdOpen: false, refusal: 'reset' };
const AT_ONCE = 300e6; // ns
const PORTS = 'ports: [{protocol: TCP, port: 8080}, {protocol: UDP, port: 5353}]';
const to = (name: string): string =>
  shopPolicy('web', 'web', `  egress: [{to: [{workload: Service/${name}}], ${PORTS}}]`);
const FROM_WEB = shopPolicy('api', 'api', `  ingress: [{from: [{workload: Service/web}], ${PORTS}}]`);

/** Sends a marked datagram. */
const MARKED = `import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.4)
s.setsockopt(socket.SOL_SOCKET, 36, int(sys.argv[2])); s.sendto(b"x" * 8, (sys.argv[1], 5353))
try: s.recv(9); print("answered")
except TimeoutError: print("silence")`;

describe('containers of two nodes', function () {
  this.timeout(120_000);
  let here: Town;
  let there: Town;
  let web: Endpoint;
  let evil: Endpoint;
  let api: Endpoint;
  let server: Background;
  let webIdentity: bigint;
  let apiIdentity: bigint;

  before(async function () {
    // Filters have no owner: of two datapaths in one namespace each would take the other's for its own of an earlier life.
    if (!HAS_TCX) this.skip();
    await buildTraffic();
    here = await Town.create('routed', BETWEEN);
    there = await Town.create('routed', BETWEEN);
    web = await here.node.createEndpoint('web');
    evil = await here.node.createEndpoint('evil');
    api = await there.node.createEndpoint('api');
    for (const endpoint of [web, evil]) here.settle(endpoint.name, endpoint);
    there.settle('api', api);
    [apiIdentity] = [here.know('api'), here.know('db')] as [bigint, bigint];
    webIdentity = there.know('web');
    there.know('evil');
    for (const [town, other] of [
      [here, there],
      [there, here],
    ] as const) {
      await town.enforce('');
      town.datapath.peers.setTagKeys({ keys: [{ epoch: 1, key: KEYS[1]! }], signing: 1, window: 30 });
      town.datapath.peers.setClock();
      town.datapath.peers.setDomains([
        { cidr: other.node.ipv4Network, hold: true },
        { cidr: other.node.ipv6Network, hold: true },
      ]);
    }
    server = await serve(api, { tcp: '8080', udp: '5353' });
  });

  after(() => {
    server?.close();
    here?.close();
    there?.close();
  });

  const reach = (from: Endpoint, address: string, udp = false): Promise<Attempt> =>
    connect(from, { address, port: udp ? 5353 : 8080, udp }, { timeoutMs: 600, exchange: true });
  const enforce = async (source: string, destination: string): Promise<void> => {
    await here.enforce(source);
    await there.enforce(destination);
  };

  for (const family of ['ipv4', 'ipv6'] as const) {
    it(`find each other by the tags of their connections over ${family}`, async () => {
      await enforce(to('api'), FROM_WEB);
      assert.equal((await reach(web, api[family])).result, 'ok');
      const flows = [...here.datapath.flows(), ...there.datapath.flows()];
      const known = flows
        .filter(({ remote, local }) => [remote.port, local.port].includes(8080))
        .map(({ identity }) => identity);
      assert.ok(known.includes(apiIdentity) && known.includes(webIdentity));
    });

    it(`are refused at once by the one they come to over ${family}`, async () => {
      await enforce('', FROM_WEB);
      const { error, elapsedNs } = await reach(evil, api[family]);
      assert.equal(error, 'ECONNREFUSED');
      assert.ok(elapsedNs < AT_ONCE, `${elapsedNs} ns`);
    });

    it(`are refused at once by their own node when it hears who is there over ${family}`, async () => {
      await enforce(to('db'), '');
      const { error, elapsedNs } = await reach(web, api[family]);
      assert.equal(error, 'ECONNREFUSED');
      assert.ok(elapsedNs < AT_ONCE, `${elapsedNs} ns`);
      const waiting = await api.run(['ss', '-Htn', 'state', 'syn-recv']);
      assert.equal(waiting.trim(), '', 'and the other end knows it too');
    });

    it(`send no datagram before somebody has said who is there over ${family}`, async () => {
      await enforce(to('api'), FROM_WEB);
      assert.equal((await reach(web, api[family], true)).result, 'timeout');
      const expiresAt = Date.now() + 60_000;
      const common = { kind: 'verified', expiresAt, usedAt: 0 } as const;
      here.datapath.peers.verify([
        { ...common, endpoint: 'web', local: webIdentity, remote: api[family], identity: apiIdentity },
      ]);
      assert.equal((await reach(web, api[family], true)).result, 'timeout', 'one end knows');
      there.datapath.peers.verify([{ ...common, endpoint: 'api', remote: web[family], identity: webIdentity }]);
      assert.equal((await reach(web, api[family], true)).result, 'ok', 'both know');
      here.datapath.peers.forget(here.datapath.peers.verified());
      there.datapath.peers.forget(there.datapath.peers.verified());
      assert.equal((await reach(web, api[family], true)).result, 'timeout', 'nobody knows any more');
    });
  }

  it('go on with what they have when policy changes, and lose what is not allowed any more', async () => {
    await enforce(to('api'), FROM_WEB);
    const target = { address: api.ipv4, port: 8080 };
    const kept = await holdOpen(web, target, { durationMs: 1000, interval: 10, timeoutMs: 500 });
    await enforce(to('api').replace('port: 5353', 'port: 5354'), FROM_WEB.replace('port: 5353', 'port: 5354'));
    const conversation = await kept.result();
    assert.deepEqual([conversation.result, conversation.lost], ['ok', 0]);
    const cut = await holdOpen(web, target, { durationMs: 2000, interval: 10, timeoutMs: 500 });
    await there.enforce(FROM_WEB.replace('Service/web', 'Service/db'));
    assert.equal((await cut.result()).result, 'timeout');
  });

  it('are told apart inside pods on both nodes', async () => {
    const left = await here.node.createEndpoint('left');
    const right = await there.node.createEndpoint('right');
    const [app, sidecar] = [left.createContainer('app'), left.createContainer('sidecar')];
    const [main, other] = [right.createContainer('main'), right.createContainer('other')];
    here.settle('left', left, { app: app.cgroup!, sidecar: sidecar.cgroup! });
    there.settle('right', right, { main: main.cgroup!, other: other.cgroup! });
    for (const name of ['main', 'other']) here.know('right', name);
    for (const name of ['app', 'sidecar']) there.know('left', name);
    const attempt = async (from: typeof app, port: number) =>
      (await connect(from, { address: right.ipv4, port }, { timeoutMs: 600, exchange: true })).result;
    await enforce('', '');
    const servers = [await serve(main, { tcp: '7000' }), await serve(other, { tcp: '7001' })];
    assert.equal(await attempt(app, 7000), 'ok');
    assert.equal(await attempt(sidecar, 7001), 'ok');
    const fromApp = shopPolicy(
      'right',
      'right',
      '  ingress: [{from: [{workload: Service/left, container: app}]}]',
    ).replace('Service/right}', 'Service/right, container: main}');
    await there.enforce(fromApp);
    assert.equal(await attempt(app, 7000), 'ok');
    assert.notEqual(await attempt(sidecar, 7000), 'ok');
    assert.equal(await attempt(sidecar, 7001), 'ok', 'no policy selects it');
    const toOther = shopPolicy(
      'left',
      'left',
      '  egress: [{to: [{workload: Service/right, container: other}]}]',
    ).replace('Service/left}', 'Service/left, container: sidecar}');
    await enforce(toOther, '');
    assert.equal(await attempt(sidecar, 7001), 'ok');
    assert.notEqual(await attempt(sidecar, 7000), 'ok');
    assert.equal(await attempt(app, 7000), 'ok');
    for (const one of servers) one.close();
    here.leave('left');
    there.leave('right');
    await enforce('', '');
    left.close();
    right.close();
  });

  it('on the host network find each other by tags too; what has to wait is taken from them', async () => {
    const exporter = here.node.createHostContainer('exporter');
    assert.ok(exporter.cgroup !== undefined);
    here.settleHost('exporter', exporter.cgroup);
    let taken = 0;
    here.datapath.taken.onPackets((packets) => {
      taken += packets.length;
    });
    const policy = (name: string): string => to(name).replaceAll('web', 'exporter');
    const attempt = (udp: boolean): Promise<Attempt> =>
      connect(exporter, { address: api.ipv4, port: udp ? 5353 : 8080, udp }, { timeoutMs: 600, exchange: true });
    await enforce(policy('api'), '');
    assert.equal((await attempt(false)).result, 'ok');
    here.datapath.taken.drain();
    assert.equal(taken, 0, 'a connection with a tag waits for nothing');
    assert.equal((await attempt(true)).result, 'timeout', 'which is no error to the sender');
    here.datapath.taken.drain();
    assert.equal(taken, 1);
    await here.enforce(policy('db'));
    assert.notEqual((await attempt(false)).result, 'ok', 'whoever answers is not the one');
    await here.enforce('');
    const listening = await serve(evil, { udp: '5353' });
    const outcome = await exporter.run(['python3', '-c', MARKED, evil.ipv4, String(HOLD_MARK)]);
    assert.equal(outcome.trim(), 'answered', 'a mark of its own is no mark');
    listening.close();
    here.leave('exporter');
    await here.enforce('');
    exporter.cgroup.close();
  });

  it('cannot let packets through by marks', async () => {
    await enforce(to('api'), FROM_WEB);
    for (const mark of [HOLD_MARK, 1, 0xffffffff >>> 1]) {
      const outcome = await web.run(['python3', '-c', MARKED, api.ipv4, String(mark)]);
      assert.equal(outcome.trim(), 'silence', `mark ${mark}`);
    }
  });
});
