import assert from 'node:assert/strict';
import { waitFor } from '../../rig/cleanup.ts';
import { connect, udpReceive, udpSend } from '../../rig/traffic.ts';
import { Region, servicePolicy } from './region.ts';

/** `web` and `api` run on west, `db` on east. Only `web` may open to `db`, TCP and UDP 8080. */
const POLICIES = [
  servicePolicy(
    'db',
    'db',
    `  ingress:
    - name: from-web
      action: Allow
      from: [{workload: Service/web}]
      ports: [{protocol: TCP, port: 8080}, {protocol: UDP, port: 8080}]`,
  ),
  servicePolicy(
    'web',
    'web',
    `  egress:
    - name: to-db
      action: Allow
      to: [{workload: Service/db}]`,
  ),
  servicePolicy(
    'shy',
    'shy',
    `  egress:
    - name: to-api
      action: Allow
      to: [{workload: Service/api}]`,
  ),
].join('---\n');

interface RecordView {
  readonly end: string;
  readonly result: string;
  readonly reason: string;
  readonly rule: string;
  readonly source: { readonly workload?: string };
  readonly destination: { readonly workload?: string };
}

for (const family of ['ipv4', 'ipv6'] as const) {
  describe(`two nodes, over ${family}`, function () {
    this.timeout(180_000);
    let region: Region;

    before(async () => {
      region = await Region.create({ nodes: { west: ['web', 'api', 'shy'], east: ['db', 'api2'] } });
      await region.start();
      await region.apply(POLICIES);
    });
    after(() => region?.close());

    const attempt = async (from: string, to: string, port: number, udp = false) => {
      const target = { address: region.endpoint(to)[family], port, udp };
      return await connect(region.endpoint(from), target, { timeoutMs: 2_500 });
    };
    const records = (node: string, ...args: string[]) =>
      region.station(node).json<RecordView[]>(['handshake', 'records', ...args]);

    it('lets a TCP connection through that both ends allow, by its tags alone', async () => {
      const before = await region
        .station('west')
        .metric('sallyport_handshakes_total{result="verified",step="confirm"}');
      const outcome = await attempt('west/web', 'east/db', 8080);
      assert.equal(outcome.result, 'ok');
      // The first SYN went through: no second one a second later.
      assert.ok(outcome.elapsedNs < 900e6, `${outcome.elapsedNs / 1e6} ms`);
      const after = await region.station('west').metric('sallyport_handshakes_total{result="verified",step="confirm"}');
      assert.equal(after, before);
    });

    it('ends a connection at once that the destination refuses, and records both identities at both ends', async () => {
      assert.equal((await attempt('west/web', 'east/db', 80)).result, 'refused');
      assert.equal((await attempt('west/api', 'east/db', 8080)).result, 'refused');
      for (const [node, end] of [
        ['east', 'destination'],
        ['west', 'source'],
      ] as const) {
        await waitFor(`a record at ${node}`, async () =>
          (await records(node)).some(
            (record) =>
              record.end === end &&
              record.result === 'refused' &&
              record.source.workload === 'shop/Service/api' &&
              record.destination.workload === 'shop/Service/db',
          ),
        );
      }
    });

    it('ends a connection at once that the source refuses when the SYN-ACK tells who answers', async () => {
      assert.equal((await attempt('west/shy', 'east/api2', 8080)).result, 'refused');
      await waitFor('a record', async () =>
        (await records('west')).some(
          ({ source, destination, result }) =>
            source.workload === 'shop/Service/shy' &&
            destination.workload === 'shop/Service/api2' &&
            result === 'refused',
        ),
      );
    });

    it('delivers the first datagram of an allowed pair', async () => {
      const outcome = await attempt('west/web', 'east/db', 8080, true);
      assert.equal(outcome.result, 'ok');
    });

    it('needs no user space for a verified pair, also from new ports', async () => {
      await attempt('west/web', 'east/db', 8080, true);
      const held = await region.station('west').metric('sallyport_hold_packets_total{result="received"}');
      for (let port = 20_000; port < 20_050; port++) {
        const target = { address: region.endpoint('east/db')[family], port: 8080, udp: true, sourcePort: port };
        assert.equal((await connect(region.endpoint('west/web'), target)).result, 'ok');
      }
      assert.equal(await region.station('west').metric('sallyport_hold_packets_total{result="received"}'), held);
    });

    it('refuses datagrams of a pair the destination does not allow, with a record at both ends', async () => {
      assert.notEqual((await attempt('west/api', 'east/db', 8080, true)).result, 'ok');
      for (const node of ['west', 'east']) {
        await waitFor(`a record at ${node}`, async () =>
          (await records(node, '--result', 'refused')).some(
            ({ source, destination, reason }) =>
              source.workload === 'shop/Service/api' &&
              destination.workload === 'shop/Service/db' &&
              reason === 'policy',
          ),
        );
      }
    });

    it('binds the next datagram when the destination turns against a verified peer', async () => {
      await attempt('west/web', 'east/db', 8080, true);
      await region.station('east').apply(servicePolicy('db', 'db', '  ingress: []'));
      assert.notEqual((await attempt('west/web', 'east/db', 8080, true)).result, 'ok');
      await region.apply(POLICIES);
      await waitFor(
        'it is allowed again',
        async () => (await attempt('west/web', 'east/db', 8080, true)).result === 'ok',
      );
    });

    it('sends numbered datagrams without a loss from the first on', async () => {
      const receiver = await udpReceive(region.endpoint('east/api2'), { port: 9_000, durationMs: 4_000, count: 500 });
      const target = { address: region.endpoint('east/api2')[family], port: 9_000 };
      const sent = await udpSend(region.endpoint('west/api'), target, { count: 500, rate: 2_000 });
      const received = await receiver.result();
      assert.equal(sent.sent, 500);
      // What comes while the held ones leave may overtake the last of them.
      assert.deepEqual([received.received, received.lost, received.duplicates], [500, 0, 0]);
    });
  });
}
