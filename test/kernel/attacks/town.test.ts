/** What containers of a node could try on each other, for real. Each test is an attack, and says that it fails. */
import assert from 'node:assert/strict';
import type { Endpoint } from '../../rig/node.ts';
import { ethernet, ipv4 } from '../../rig/packets.ts';
import type { Background } from '../../rig/process.ts';
import { buildTraffic, connect, sendRaw, serve, sniff } from '../../rig/traffic.ts';
import { tcp, udp } from '../../rig/transports.ts';
import { shopPolicy, Town } from '../datapath/town.ts';

describe('attacks between containers of a bridge', () => {
  let town: Town;
  let web: Endpoint;
  let api: Endpoint;
  let thief: Endpoint;
  let server: Background;

  before(async () => {
    await buildTraffic();
    town = await Town.create('bridged');
    web = await town.node.createEndpoint('web');
    api = await town.node.createEndpoint('api');
    thief = await town.node.createEndpoint('thief');
    for (const endpoint of [web, api, thief]) town.settle(endpoint.name, endpoint);
    server = await serve(api, { tcp: '8080', udp: '5353' });
  });

  after(() => {
    server.close();
    town.close();
  });

  beforeEach(() => town.enforce(''));

  it('a stolen hardware address brings the thief nothing to read and no name to answer in', async () => {
    const bait = ethernet(
      { source: web.inside.mac, destination: 'ff:ff:ff:ff:ff:ff' },
      ipv4({ source: thief.ipv4, destination: '255.255.255.255' }, udp({ sourcePort: 1, destinationPort: 9 })),
    );
    await connect(api, { address: web.ipv4, port: 9 }, { timeoutMs: 300 });
    const ear = await sniff(thief, 'eth0');
    await sendRaw(thief, [bait], { interface: 'eth0' });
    const question = ethernet(
      { source: api.inside.mac, destination: web.inside.mac },
      ipv4(
        { source: api.ipv4, destination: web.ipv4 },
        udp({ sourcePort: 7, destinationPort: 99 }, Buffer.from('secret!!')),
      ),
    );
    await sendRaw(api, [question], { interface: 'eth0' });
    const answer = ethernet(
      { source: thief.inside.mac, destination: api.inside.mac },
      ipv4(
        { source: web.ipv4, destination: api.ipv4 },
        udp({ sourcePort: 99, destinationPort: 7 }, Buffer.from('forged!!')),
      ),
    );
    const victim = await sniff(api, 'eth0');
    await sendRaw(thief, [answer], { interface: 'eth0' });
    await new Promise((done) => setTimeout(done, 200));
    assert.equal(
      (await ear.frames()).some((frame) => frame.includes('secret!!')),
      false,
      'read',
    );
    assert.equal(
      (await victim.frames()).some((frame) => frame.includes('forged!!')),
      false,
      'answered',
    );
  });

  it('a frame for a neighbour with the address of somebody allowed inside does not arrive', async () => {
    await town.enforce(shopPolicy('thief', 'thief', '  egress: [{to: [{workload: Service/web}]}]'));
    const ear = await sniff(api, 'eth0');
    const smuggled = ethernet(
      { source: thief.inside.mac, destination: api.inside.mac },
      ipv4(
        { source: thief.ipv4, destination: web.ipv4 },
        udp({ sourcePort: 5, destinationPort: 5 }, Buffer.from('smuggled')),
      ),
    );
    await sendRaw(thief, [smuggled], { interface: 'eth0' });
    await new Promise((done) => setTimeout(done, 200));
    assert.equal(
      (await ear.frames()).some((frame) => frame.includes('smuggled')),
      false,
    );
  });

  it('a stranger that sends resets with a forged address does not get them through', async () => {
    const ear = await sniff(api, 'eth0');
    const reset = ipv4(
      { source: web.ipv4, destination: api.ipv4 },
      tcp({ sourcePort: 4000, destinationPort: 8080, flags: ['RST'], sequence: 77 }),
    );
    await sendRaw(thief, [ethernet({ source: thief.inside.mac, destination: api.inside.mac }, reset)], {
      interface: 'eth0',
    });
    await new Promise((done) => setTimeout(done, 200));
    assert.deepEqual(
      (await ear.frames()).filter((frame) => frame.includes(Buffer.from([0, 0, 0, 77]))),
      [],
    );
  });

  describe('in a pod', () => {
    let pod: Endpoint;

    beforeEach(async () => {
      pod = await town.node.createEndpoint('pod');
    });

    afterEach(async () => {
      town.leave('pod');
      await town.enforce('');
      pod.close();
    });

    it('a container that accepts nothing still gets the answers to what it asks', async () => {
      const app = pod.createContainer('app');
      const sidecar = pod.createContainer('sidecar');
      assert.ok(app.cgroup !== undefined && sidecar.cgroup !== undefined);
      town.settle('pod', pod, { app: app.cgroup, sidecar: sidecar.cgroup });
      await town.enforce(
        shopPolicy('pod', 'pod', '  ingress: []\n  egress: [{to: [{workload: Service/api}]}]').replace(
          'Service/pod}',
          'Service/pod, container: app}',
        ),
      );
      const ask = async (udpToo: boolean, options = {}) =>
        (
          await connect(
            app,
            { address: api.ipv4, port: udpToo ? 5353 : 8080, udp: udpToo, ...options },
            { timeoutMs: 300, exchange: true },
          )
        ).result;
      assert.equal(await ask(false), 'ok');
      assert.equal(await ask(true), 'ok');
    });

    it('what one container asks does not let answers in to another', async () => {
      const app = pod.createContainer('app');
      const sidecar = pod.createContainer('sidecar');
      assert.ok(app.cgroup !== undefined && sidecar.cgroup !== undefined);
      town.settle('pod', pod, { app: app.cgroup, sidecar: sidecar.cgroup });
      await town.enforce(
        shopPolicy('pod', 'pod', '  ingress: []\n').replace('Service/pod}', 'Service/pod, container: app}'),
      );
      const listening = await serve(app, { udp: '7000' });
      const knock = ipv4({ source: pod.ipv4, destination: web.ipv4 }, udp({ sourcePort: 7000, destinationPort: 6000 }));
      const attempt = async () =>
        (
          await connect(
            web,
            { address: pod.ipv4, port: 7000, udp: true, sourcePort: 6000 },
            { timeoutMs: 300, exchange: true },
          )
        ).result;
      await sendRaw(sidecar, [knock.bytes]);
      assert.equal(await attempt(), 'timeout');
      listening.close();
    });

    it('one container does not take over the conversation of another by using its port', async () => {
      const app = pod.createContainer('app');
      const sidecar = pod.createContainer('sidecar');
      assert.ok(app.cgroup !== undefined && sidecar.cgroup !== undefined);
      town.settle('pod', pod, { app: app.cgroup, sidecar: sidecar.cgroup });
      await town.enforce(
        shopPolicy(
          'api',
          'api',
          '  ingress: [{from: [{workload: Service/pod, container: app}], ports: [{protocol: UDP, port: 5353}]}]',
        ),
      );
      const target = { address: api.ipv4, port: 5353, udp: true, sourcePort: 6001 };
      const attempt = async (where: typeof app) =>
        (await connect(where, target, { timeoutMs: 300, exchange: true })).result;
      assert.equal(await attempt(app), 'ok');
      assert.equal(await attempt(sidecar), 'timeout');
      assert.equal(await attempt(app), 'ok', 'and does not spoil it');
    });
  });
});
