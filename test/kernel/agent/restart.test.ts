import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EndpointView } from '../../../src/agent/api/contract.ts';
import { waitFor } from '../../rig/cleanup.ts';
import { connect, probe } from '../../rig/traffic.ts';
import { Station, unitPolicy } from './station.ts';

const POLICY = unitPolicy(
  'api',
  'api',
  '  ingress: [{name: web, action: Allow, from: [{workload: Unit/web}], ports: [{protocol: UDP, port: 8080}]}]',
);

describe('an agent that ends', function () {
  this.timeout(120_000);
  let station: Station;

  beforeEach(async () => {
    station = await Station.create(['web', 'api', 'db']);
    await station.start();
    await station.apply(POLICY);
  });
  afterEach(() => station.close());

  const talk = (from: string) => {
    const target = { address: station.endpoint('api').ipv4, port: 8080, udp: true };
    return probe(station.endpoint(from), target, { rate: 500, timeoutMs: 1_000 });
  };

  it('killed under load and started anew, loses no packet of an allowed flow and lets none of a denied one through', async () => {
    const [allowed, denied] = [talk('web'), talk('db')];
    assert.equal((await allowed.change(0)).passes, true);
    assert.equal((await denied.change(0)).passes, false);
    const before = await station.metric('sallyport_drop_packets_total{reason="Policy"}');
    await station.kill();
    assert.equal((await station.cli(['status'])).status, 4);
    await station.start();
    assert.equal((await station.status()).datapath.adopted, true);
    const after = await station.metric('sallyport_drop_packets_total{reason="Policy"}');
    assert.ok(after > before, `counters go on: ${before}, then ${after}`);
    const endpoints = await station.json<EndpointView[]>(['endpoint', 'list']);
    assert.ok(endpoints.every(({ enforced }) => enforced));
    // Longer than it takes to call a datagram lost.
    await sleep(1_500);
    for (const running of [allowed, denied]) {
      await assert.rejects(running.change(1, 0), /did not say/);
      running.close();
    }
  });

  it('stopped with SIGTERM, exits 0 and leaves everything enforced', async () => {
    assert.equal(await station.stop(), 0);
    assert.equal(existsSync(station.socket), false);
    const target = { address: station.endpoint('api').ipv4, port: 8080, udp: true };
    assert.equal((await connect(station.endpoint('web'), target)).result, 'ok');
    assert.equal((await connect(station.endpoint('db'), target, { timeoutMs: 300 })).result, 'timeout');
  });

  it('notices the containers that came and went while it was away', async () => {
    await station.stop();
    station.endpoint('db').close();
    await station.start();
    await waitFor('db is gone', async () => (await station.json<EndpointView[]>(['endpoint', 'list'])).length === 2);
    const late = await station.node.createEndpoint('late');
    const server = late.start(['sleep', '60']);
    await waitFor('late is enforced', async () => {
      const endpoints = await station.json<EndpointView[]>(['endpoint', 'list']);
      return endpoints.some(({ name, enforced }) => name === 'late' && enforced);
    });
    const target = { address: station.endpoint('api').ipv4, port: 8080, udp: true };
    assert.equal((await connect(late, target, { timeoutMs: 300 })).result, 'timeout');
    server.close();
  });

  it('refuses to start beside one that runs, and to remove what that one enforces', async () => {
    const first = station.agent;
    station.launch();
    const second = await station.agent.exited;
    assert.equal(second.status, 1);
    assert.match(second.stderr, /An agent runs on .*\nhint: stop it first/);
    const removed = await station.remove();
    assert.equal(removed.status, 1);
    assert.match(removed.stderr, /An agent runs on/);
    assert.equal((await station.status()).ready, true);
    first.close();
  });

  it('removed, leaves no program, no link and no pin', async () => {
    await station.stop();
    const { status, stderr } = await station.remove();
    assert.equal(status, 0, stderr);
    assert.equal(existsSync(station.pins) ? readdirSync(station.pins).length : 0, 0);
    const target = { address: station.endpoint('api').ipv4, port: 8080, udp: true };
    assert.equal((await connect(station.endpoint('db'), target)).result, 'ok');
  });
});
