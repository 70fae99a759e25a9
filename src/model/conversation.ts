/** One side of a conversation. */
export interface Side {
  /** Canonical text, IPv4 or IPv6. */
  readonly address: string;
  /** ICMP echo: the identifier. */
  readonly port: number;
}

/** A transport 5-tuple in the direction it was opened, as it is seen at one place. */
export interface Conversation {
  /** IP protocol number. */
  readonly protocol: number;
  readonly source: Side;
  readonly destination: Side;
}

/** `udp 10.1.0.2:4000 -> 10.2.0.3:53`, for logs and records. */
export function formatConversation({ protocol, source, destination }: Conversation, protocolName: string): string {
  const side = ({ address, port }: Side): string =>
    address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
  return `${protocolName || protocol} ${side(source)} -> ${side(destination)}`;
}
