/** Containers on the network of their node: they have its addresses, and no interface of their own. */
import assert from 'node:assert/strict';
import { waitFor } from '../../rig/cleanup.ts';
import { type Attempt, connect, serve, udpReceive, udpSend } from '../../rig/traffic.ts';
import { type Member, Region, servicePolicy } from './region.ts';

/** `probe`, on the network of west, may open to `db` and `meter` only, `meter` on east's only `probe` and `web` to it. */
const POLICIES = [
  servicePolicy('probe', 'probe', '  egress: [{name: out, to: [{workload: Service/db}, {workload: Service/meter}]}]'),
  servicePolicy('db', 'db', '  ingress: [{name: in, from: [{workload: Service/probe}]}]'),
  servicePolicy(
    'meter',
    'meter',
    '  ingress: [{name: in, from: [{workload: Service/probe}, {workload: Service/web}]}]',
  ),
].join('---\n');

const METER = 7100;
const STRANGER = 7200;
const PROBE = 7300;
const IDLE = 7400;

for (const family of ['ipv4', 'ipv6'] as const) {
  describe(`containers on the host’s network, over ${family}`, function () {
    this.timeout(180_000);
    let region: Region;

    before(async () => {
      region = await Region.create({
        nodes: { west: ['web', 'shop'], east: ['db', 'open'] },
        onHost: { west: ['probe', 'idle'], east: ['meter'] },
      });
      await serve(region.onHost('east/meter'), { tcp: `${METER}`, udp: `${METER}` });
      await serve(region.onHost('west/probe'), { udp: `${PROBE}` });
      await serve(region.onHost('west/idle'), { udp: `${IDLE}` });
      // Somebody of east's whom nobody protects.
      await serve(region.member('east').node.host, { udp: `${STRANGER}` });
      await region.start();
      await region.apply(POLICIES);
    });
    after(() => region?.close());

    const eastern = () => region.member('east').uplink[family];
    const from = (path: string) =>
      path === 'west/probe' || path === 'west/idle' ? region.onHost(path) : region.endpoint(path);
    const ask = (
      path: string,
      address: string,
      port: number,
      sourcePort?: number,
      timeoutMs = 2_500,
    ): Promise<Attempt> =>
      connect(
        from(path),
        { address, port, udp: true, ...(sourcePort === undefined ? {} : { sourcePort }) },
        { timeoutMs },
      );
    /** An answer would have come long before. */
    const refused = async (path: string, address: string, port: number, sourcePort?: number): Promise<void> =>
      assert.notEqual((await ask(path, address, port, sourcePort, 700)).result, 'ok');
    const held = () => region.station('west').metric('sallyport_hold_packets_total{result="received"}');

    it('are asked for when they send their first datagram, and it arrives', async () => {
      assert.equal((await ask('west/probe', region.endpoint('east/db')[family], 8080)).result, 'ok');
    });

    it('lose none of what they send, from the first on', async () => {
      const to = region.endpoint('east/db');
      const receiver = await udpReceive(to, { port: 9_000, durationMs: 4_000, count: 300 });
      const sent = await udpSend(
        region.onHost('west/probe'),
        { address: to[family], port: 9_000 },
        { count: 300, rate: 2_000 },
      );
      const { received, lost, duplicates } = await receiver.result();
      assert.deepEqual([sent.sent, received, lost, duplicates], [300, 300, 0, 0]);
    });

    it('need nobody once a conversation is verified, and are asked for again in another', async () => {
      const address = region.endpoint('east/db')[family];
      assert.equal((await ask('west/probe', address, 8080, 20_001)).result, 'ok');
      const before = await held();
      for (let n = 0; n < 5; n++) assert.equal((await ask('west/probe', address, 8080, 20_001)).result, 'ok');
      assert.equal(await held(), before);
      assert.equal((await ask('west/probe', address, 8080, 20_002)).result, 'ok');
      assert.equal(await held(), (before ?? 0) + 1);
    });

    it('are told from each other, and from all else on their node', async () => {
      const address = region.endpoint('east/db')[family];
      await refused('west/idle', address, 8080);
      // A port that another was verified with names nobody.
      await refused('west/idle', address, 8080, 20_001);
      const other = await connect(
        region.member('west').node.host,
        { address, port: 8080, udp: true },
        { timeoutMs: 500 },
      );
      assert.notEqual(other.result, 'ok');
      await refused('west/probe', region.endpoint('east/open')[family], 8080);
    });

    it('are reached by those they let in, from containers of either kind', async () => {
      assert.equal((await ask('west/web', eastern(), METER)).result, 'ok');
      assert.equal((await ask('west/probe', eastern(), METER)).result, 'ok');
      await refused('west/shop', eastern(), METER);
      await waitFor('a record of both ends', async () => {
        const records = await region
          .station('east')
          .json<{ source: { workload?: string }; destination: { workload?: string } }[]>([
            'handshake',
            'records',
            '--result',
            'refused',
          ]);
        return records.some(
          ({ source, destination }) =>
            source.workload === 'shop/Service/shop' && destination.workload === 'shop/Service/meter',
        );
      });
    });

    it('answer whom they let in, and open to nobody by that', async () => {
      // probe lets in whoever asks; what it answers is no conversation of its own.
      const target = { address: region.member('west').uplink[family], port: PROBE, udp: true };
      assert.equal((await connect(region.endpoint('east/open'), target, { timeoutMs: 2_500 })).result, 'ok');
      await refused('west/probe', region.endpoint('east/open')[family], 8080);
    });

    it('do not stand in the way of what else listens on their node', async () => {
      const started = process.hrtime.bigint();
      assert.equal((await ask('west/web', eastern(), STRANGER)).result, 'ok');
      assert.ok(process.hrtime.bigint() - started < 2_000_000_000n, 'nobody waited for a token that cannot come');
    });

    it('lose what was verified when policy turns against them', async () => {
      const address = region.endpoint('east/db')[family];
      assert.equal((await ask('west/probe', address, 8080, 20_001)).result, 'ok');
      await region.station('east').apply(servicePolicy('db', 'db', '  ingress: []'));
      await refused('west/probe', address, 8080, 20_001);
      await region.apply(POLICIES);
    });
  });
}

/** As in a cluster: TCP toward the nodes bears tags, and nobody speaks for what else is there. */
describe('containers on the host’s network that are opened to by TCP', function () {
  this.timeout(180_000);
  let region: Region;

  before(async () => {
    region = await Region.create({
      nodes: { west: ['web', 'shop', 'idle', 'guest'], east: ['db'] },
      onHost: { west: ['probe'], east: ['meter'] },
      settings: (member, all) => {
        const others = [...all.members.values()].filter((other) => other !== member);
        const { agents } = all.settingsOf(member).handshake as { agents: object[] };
        const own = ({ uplink }: Member) => [`${uplink.ipv4}/32`, `${uplink.ipv6}/128`];
        return {
          network: { prefixes: others.flatMap((one) => [one.node.ipv4Network, one.node.ipv6Network, ...own(one)]) },
          handshake: { agents: agents.map((agent) => ({ ...agent, cidrs: [] })) },
        };
      },
    });
    const east = region.member('east');
    await serve(region.onHost('east/meter'), { tcp: `${METER}` });
    await serve(region.onHost('west/probe'), { tcp: `${PROBE}` });
    await serve(east.node.host, { tcp: `${STRANGER}` });
    await region.start();
    await region.apply(
      [
        servicePolicy(
          'meter',
          'meter',
          '  ingress: [{name: in, from: [{workload: Service/web}, {workload: Service/probe}, {workload: Service/guest}]}]',
        ),
        servicePolicy('shop', 'shop', '  egress: [{name: out, to: [{workload: Service/meter}]}]'),
        servicePolicy('web', 'web', '  egress: [{name: out, to: [{workload: Service/meter}]}]'),
        servicePolicy(
          'guest',
          'guest',
          `  egress: [{name: out, to: [{cidr: ${east.uplink.ipv4}/32}, {cidr: ${east.uplink.ipv6}/128}]}]`,
        ),
        servicePolicy('db', 'db', '  ingress: [{name: in, from: [{workload: Service/probe}]}]'),
      ].join('---\n'),
    );
  });
  after(() => region?.close());

  for (const family of ['ipv4', 'ipv6'] as const) {
    const from = (path: string) => (path === 'west/probe' ? region.onHost(path) : region.endpoint(path));
    const open = async (path: string, port: number) => {
      const address = region.member('east').uplink[family];
      return (await connect(from(path), { address, port }, { timeoutMs: 1_500 })).result;
    };

    it(`are reached over ${family} by those they let in, and by nobody else`, async () => {
      assert.equal(await open('west/web', METER), 'ok');
      assert.equal(await open('west/probe', METER), 'ok');
      assert.notEqual(await open('west/shop', METER), 'ok', 'whom they do not let in');
      assert.notEqual(await open('west/idle', METER), 'ok');
      await waitFor('east has a record of both, by name', async () => {
        const { stdout } = await region.station('east').cli(['event', 'list', '--verdict', 'Deny']);
        return ['shop', 'idle'].every((name) => stdout.includes(`Deny TCP ingress shop/Service/${name} (`));
      });
    });

    it(`are told over ${family} from what else listens on their node, which answers at once who may open to it`, async () => {
      const started = process.hrtime.bigint();
      assert.equal(await open('west/idle', STRANGER), 'ok');
      assert.ok(process.hrtime.bigint() - started < 900_000_000n, 'no SYN was sent twice');
      assert.notEqual(await open('west/web', STRANGER), 'ok', 'which has shown no tag');
    });

    it(`are reached over ${family} as all else on their node by whom a policy lets open to its address`, async () => {
      assert.equal(await open('west/guest', METER), 'ok');
      assert.equal(await open('west/guest', STRANGER), 'ok');
    });

    it(`have their name over ${family} where they open, too, and the rest of their node has not`, async () => {
      const target = { address: region.endpoint('east/db')[family], port: 8080 };
      assert.equal((await connect(region.onHost('west/probe'), target, { timeoutMs: 2_500 })).result, 'ok');
      const other = await connect(region.member('west').node.host, target, { timeoutMs: 1_500 });
      assert.notEqual(other.result, 'ok');
    });
  }
});
