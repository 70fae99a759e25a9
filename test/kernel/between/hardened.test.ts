import assert from 'node:assert/strict';
import { connect, udpReceive, udpSend } from '../../rig/traffic.ts';
import { type Member, Region, servicePolicy } from './region.ts';

const POLICIES = [
  servicePolicy('db', 'db', '  ingress: [{name: from-web, action: Allow, from: [{workload: Service/web}]}]'),
  servicePolicy('web', 'web', '  egress: [{name: to-db, action: Allow, to: [{workload: Service/db}]}]'),
].join('---\n');

/** Own processes may talk to other agents and answer, and that is all; reverse paths are checked. */
async function harden({ node }: Member): Promise<void> {
  for (const tables of ['iptables-legacy', 'ip6tables-legacy']) {
    const rules = [
      '-A OUTPUT -o lo -j ACCEPT',
      '-A OUTPUT -p tcp --dport 7350 -j ACCEPT',
      '-A OUTPUT -p tcp --sport 7350 -j ACCEPT',
      tables.startsWith('ip6') ? '-A OUTPUT -p icmpv6 -j ACCEPT' : '-A OUTPUT -p icmp -j ACCEPT',
      '-A OUTPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT',
    ];
    await node.namespace.run([`${tables}-restore`, '--noflush'], {
      input: `*filter\n:OUTPUT DROP [0:0]\n${rules.join('\n')}\nCOMMIT\n`,
    });
  }
  await node.namespace.run(['sysctl', '-qw', 'net.ipv4.conf.all.rp_filter=1']);
}

for (const family of ['ipv4', 'ipv6'] as const) {
  describe(`two nodes whose hosts let nothing out, in a domain that covers the hosts too, over ${family}`, function () {
    this.timeout(180_000);
    let region: Region;

    before(async () => {
      region = await Region.create({
        nodes: { west: ['web'], east: ['db'] },
        // The agents' own connections lead into the domain, and to addresses that agents speak for.
        settings: (member, { segment, members }) => ({
          network: { prefixes: [segment.ipv4Network, segment.ipv6Network, '10.0.0.0/8', 'fd00::/8'] },
          handshake: {
            agents: [...members.values()]
              .filter((other) => other !== member)
              .map(({ name, node, uplink }) => ({
                name,
                address: `${uplink.ipv4}:7350`,
                cidrs: [node.ipv4Network, node.ipv6Network, `${uplink.ipv4}/32`, `${uplink.ipv6}/128`],
              })),
          },
        }),
      });
      for (const member of region.members.values()) await harden(member);
      await region.start();
      await region.apply(POLICIES);
    });
    after(() => region?.close());

    const target = (port: number) => ({ address: region.endpoint('east/db')[family], port });

    const first = (port: number) =>
      connect(region.endpoint('west/web'), { ...target(port), udp: true }, { timeoutMs: 2_500 });

    it('says why the first datagram cannot leave, and what would let it', async () => {
      assert.notEqual((await first(8080)).result, 'ok');
      const { stdout } = await region.station('west').cli(['status']);
      assert.match(stdout, /firewall of this host refuses it in OUTPUT; .*--src-type LOCAL/);
    });

    it('delivers it where that is done', async () => {
      for (const { node } of region.members.values()) {
        for (const tables of ['iptables-legacy', 'ip6tables-legacy']) {
          const rule = ['-I', 'OUTPUT', '-m', 'addrtype', '!', '--src-type', 'LOCAL', '-j', 'ACCEPT'];
          await node.namespace.run([tables, ...rule]);
        }
      }
      await region.station('west').cli(['peer', 'revoke', '--all', '--yes']);
      assert.equal((await first(80)).result, 'ok');
    });

    it('delivers a burst', async () => {
      await region.station('west').cli(['peer', 'revoke', '--all', '--yes']);
      const receiver = await udpReceive(region.endpoint('east/db'), { port: 9_000, durationMs: 4_000, count: 50 });
      await udpSend(region.endpoint('west/web'), target(9_000), { count: 50, rate: 20_000 });
      const { received, lost } = await receiver.result();
      assert.deepEqual([received, lost], [50, 0]);
    });

    it('opens TCP', async () => {
      assert.equal((await connect(region.endpoint('west/web'), target(80))).result, 'ok');
    });
  });
}
