/** IP protocols that have names in policies, by their IANA numbers. */
export const PROTOCOLS = { ICMP: 1, TCP: 6, UDP: 17, ICMPv6: 58, SCTP: 132, UDPLite: 136 } as const;

type ProtocolName = keyof typeof PROTOCOLS;

const NAMES: ReadonlyMap<number, string> = new Map(Object.entries(PROTOCOLS).map(([name, number]) => [number, name]));

/** The number of a protocol given by name (as written in {@link PROTOCOLS}) or number 0–255; undefined for others. */
export function parseProtocol(protocol: string | number): number | undefined {
  if (typeof protocol === 'string') {
    return Object.hasOwn(PROTOCOLS, protocol) ? PROTOCOLS[protocol as ProtocolName] : undefined;
  }
  return Number.isInteger(protocol) && protocol >= 0 && protocol <= 255 ? protocol : undefined;
}

/** The name, or the number as text. */
export function protocolName(protocol: number): string {
  return NAMES.get(protocol) ?? String(protocol);
}

/** Whether its packets carry port numbers. */
export function hasPorts(protocol: number): boolean {
  return (
    protocol === PROTOCOLS.TCP ||
    protocol === PROTOCOLS.UDP ||
    protocol === PROTOCOLS.SCTP ||
    protocol === PROTOCOLS.UDPLite
  );
}

/** Whether its packets carry a type, which takes the port's place in the tables. */
export function hasTypes(protocol: number): boolean {
  return protocol === PROTOCOLS.ICMP || protocol === PROTOCOLS.ICMPv6;
}
