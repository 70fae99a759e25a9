import { type Network, parseAddress } from '../../model/address.ts';
import type { Target } from '../../model/hardening.ts';
import { hasPorts, protocolName } from '../../model/protocol.ts';
import type { Observation } from './observation.ts';

/** Whom a container talked to, as rules: pure. */

interface Talk {
  readonly protocol: number;
  /** 0: any. */
  readonly port: number;
  readonly addresses: ReadonlySet<string>;
}

/** A profile has room for 64 networks, those of other policies among them. */
const NETWORKS_MOST = 48;

const ANY = {
  4: { family: 4, address: Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0), prefix: 96 },
  6: { family: 6, address: new Uint8Array(16), prefix: 0 },
} as const satisfies Record<4 | 6, Network>;

/**
 * One target for each protocol and port, with the addresses in it; where there are too many, any address, and where
 * there are too many ports, any port.
 */
export function networkRules(
  observations: readonly Extract<Observation, { type: 'network' }>[],
  most: number,
): { readonly name: string; readonly target: Target }[] {
  let addresses = most;
  const seen = observations.map((one) => ({ ...one, port: hasPorts(one.protocol) ? one.port : 0 }));
  let talks = gather(seen);
  const needed = (): number => talks.reduce((sum, talk) => sum + networksOf(talk, addresses).length, 0);
  while (addresses > 0 && needed() > NETWORKS_MOST) addresses -= 1;
  if (needed() > NETWORKS_MOST) talks = gather(seen.map((one) => ({ ...one, port: 0 })));
  return talks.map((talk) => {
    const { protocol, port } = talk;
    const word = protocolName(protocol).toLowerCase();
    return {
      name: `network-${/^[a-z]/.test(word) ? word : `protocol-${word}`}${port === 0 ? '' : `-${port}`}`,
      target: {
        type: 'network',
        networks: networksOf(talk, addresses),
        ...(protocol === 0 ? {} : { protocol }),
        ...(port === 0 ? {} : { port }),
      },
    };
  });
}

function gather(observations: readonly { protocol: number; port: number; address: string }[]): Talk[] {
  const talks = new Map<string, Talk & { readonly addresses: Set<string> }>();
  for (const { protocol, port, address } of observations) {
    const key = `${protocol} ${port}`;
    const talk = talks.get(key) ?? { protocol, port, addresses: new Set() };
    talk.addresses.add(address);
    talks.set(key, talk);
  }
  return [...talks.values()].sort((a, b) => a.protocol - b.protocol || a.port - b.port);
}

function networksOf({ addresses }: Talk, most: number): Network[] {
  return ([4, 6] as const).flatMap((family) => {
    const own = [...addresses].filter((text) => (family === 6) === text.includes(':')).sort();
    if (own.length > most) return [ANY[family]];
    return own.flatMap((text) => {
      const address = parseAddress(text);
      return address === undefined ? [] : [{ family, address, prefix: 128 }];
    });
  });
}
