import { otherSource, type Subject, timed } from '../subject.ts';
import { PORTS, type Topology } from '../topology.ts';

/**
 * iptables-legacy as it is written by hand and by orchestrators: established connections pass at once, new ones walk
 * the chain to the rule that lets them pass, which is the last of them.
 */
export function iptables(rules: number): Subject {
  let topology: Topology;
  const run = (args: readonly string[]) => topology.node.host.run(['iptables-legacy', '-w', ...args]);
  return {
    name: 'iptables',
    rules,
    async setUp(given) {
      topology = given;
      const input = ruleset(given, rules);
      return timed(() => given.node.host.run(['iptables-legacy-restore', '-w'], { input, timeout: 120_000 }));
    },
    async setBlocked(blocked) {
      const rule = ['-p', 'udp', '--dport', String(PORTS.probe), '-j', 'DROP'];
      await run(blocked ? ['-I', 'FORWARD', '1', ...rule] : ['-D', 'FORWARD', ...rule]);
    },
    tearDown: () => {},
  };
}

function ruleset({ client, server }: Topology, rules: number): string {
  const lines = ['*filter', ':INPUT ACCEPT [0:0]', ':FORWARD DROP [0:0]', ':OUTPUT ACCEPT [0:0]'];
  lines.push('-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT');
  for (let k = 0; k < rules - 1; k += 1) {
    const { address, port } = otherSource(k);
    lines.push(`-A FORWARD -s ${address}/32 -d ${server.ipv4}/32 -p tcp -m tcp --dport ${port} -j ACCEPT`);
  }
  lines.push(`-A FORWARD -s ${client.ipv4}/32 -d ${server.ipv4}/32 -j ACCEPT`, 'COMMIT', '');
  return lines.join('\n');
}
