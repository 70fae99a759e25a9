import assert from 'node:assert/strict';
import { waitFor } from '../../rig/cleanup.ts';
import { connect, udpReceive, udpSend } from '../../rig/traffic.ts';
import { Region, seenAt, servicePolicy } from './region.ts';

const POLICIES = [
  servicePolicy(
    'db',
    'db',
    `  ingress:
    - name: from-web
      action: Allow
      from: [{workload: Service/web}]`,
  ),
  servicePolicy(
    'web',
    'web',
    `  egress:
    - name: to-db
      action: Allow
      to: [{workload: Service/db}]`,
  ),
].join('---\n');

for (const family of ['ipv4', 'ipv6'] as const) {
  describe(`two nodes behind two layers of NAT each, over ${family}`, function () {
    this.timeout(180_000);
    let region: Region;

    before(async () => {
      region = await Region.create({
        nodes: { west: ['web', 'api'], east: ['db'] },
        behind: {
          west: { layers: 2 },
          east: { layers: 2, forwards: { 18080: ['db', 8080], 19000: ['db', 9000] } },
        },
      });
      await region.start();
      await region.apply(POLICIES);
    });
    after(() => region?.close());

    const attempt = (from: string, udp: boolean, sourcePort?: number) => {
      const address = seenAt(region.member('east'))[family];
      const target = { address, port: 18_080, udp, ...(sourcePort === undefined ? {} : { sourcePort }) };
      return connect(region.endpoint(from), target, { timeoutMs: 2_500 });
    };

    it('carries the identity of a TCP connection through all of it', async () => {
      const outcome = await attempt('west/web', false);
      assert.equal(outcome.result, 'ok');
      assert.ok(outcome.elapsedNs < 900e6, `${outcome.elapsedNs / 1e6} ms`);
      assert.equal((await attempt('west/api', false)).result, 'refused');
    });

    it('delivers the first datagram, and asks again for another port', async () => {
      for (const port of [21_000, 21_001]) assert.equal((await attempt('west/web', true, port)).result, 'ok');
      assert.notEqual((await attempt('west/api', true)).result, 'ok');
    });

    it('delivers a burst on one port whole, in order, through one mapping', async () => {
      const [west, east] = [region.station('west'), region.station('east')];
      const held = () => west.metric('sallyport_hold_packets_total{result="received"}');
      const before = await held();
      const receiver = await udpReceive(region.endpoint('east/db'), { port: 9_000, durationMs: 15_000, count: 50 });
      const address = seenAt(region.member('east'))[family];
      // All of it waits before anybody answers: what is sent while held packets leave may overtake the last of them.
      east.agent.kill('SIGSTOP');
      try {
        await udpSend(region.endpoint('west/web'), { address, port: 19_000 }, { count: 50, rate: 50_000 });
        await waitFor('all of it waits', async () => (await held()) === before + 50);
      } finally {
        east.agent.kill('SIGCONT');
      }
      const { received, lost, reordered, duplicates } = await receiver.result();
      assert.deepEqual(
        { received, lost, reordered, duplicates },
        { received: 50, lost: 0, reordered: 0, duplicates: 0 },
      );
    });
  });
}
