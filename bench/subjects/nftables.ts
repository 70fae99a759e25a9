import { otherSource, type Subject, timed } from '../subject.ts';
import { PORTS, type Topology } from '../topology.ts';

/** nftables as its manual advises: established connections pass at once, the rest is one look-up in a set. */
export function nftables(rules: number): Subject {
  let topology: Topology;
  const run = (input: string) => topology.node.host.run(['nft', '-f', '-'], { input, timeout: 120_000 });
  return {
    name: 'nftables',
    rules,
    async setUp(given) {
      topology = given;
      return timed(() => run(ruleset(given, rules)));
    },
    async setBlocked(blocked) {
      await run(`${blocked ? 'add' : 'delete'} element inet bench blocked { ${PORTS.probe} }`);
    },
    tearDown: () => {},
  };
}

function ruleset({ client, server }: Topology, rules: number): string {
  const elements = Array.from({ length: rules - 1 }, (_, k) => {
    const { address, port } = otherSource(k);
    return `${address} . ${server.ipv4} . ${port}`;
  });
  // One element a line: nft reads long lines slowly.
  return `table inet bench {
  set blocked { type inet_service; }
  set allowed { type ipv4_addr . ipv4_addr . inet_service; ${elements.length > 0 ? `elements = {\n${elements.join(',\n')}\n};` : ''} }
  chain forward {
    type filter hook forward priority filter; policy drop;
    udp dport @blocked drop
    ct state established,related accept
    ip saddr . ip daddr . tcp dport @allowed accept
    ip saddr ${client.ipv4} ip daddr ${server.ipv4} accept
  }
}
`;
}
