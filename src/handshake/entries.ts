/** Which entries of the kernel's table of verified peers an outcome stands for, at either end. */
import type { Conversation } from '../model/conversation.ts';
import type { VerifiedPeer } from './kernel.ts';

/** Both ends of what is written, as this node sees them. */
export interface Pair {
  readonly end: 'source' | 'destination';
  readonly endpoint: string;
  /** Of this node. */
  readonly local: bigint;
  readonly peer: bigint;
  /** As it is seen here. */
  readonly conversation: Conversation;
  /** All conversations between the two, in both directions. */
  readonly direct: boolean;
}

/** The entries of a verified pair; the first is the one by which it is known. */
export function verifiedEntries(pair: Pair, expiresAt: number): readonly VerifiedPeer[] {
  const { end, endpoint, local, peer, conversation, direct } = pair;
  const remote = remoteSide(pair).address;
  const entry = { endpoint, remote, identity: peer, kind: 'verified', expiresAt, usedAt: 0 } as const;
  if (direct) {
    const [opens, reached] = [{ ...entry, local }, entry];
    return end === 'source' ? [opens, reached] : [reached, opens];
  }
  const exact = { ...entry, conversation: portsOf(end, conversation) };
  return [end === 'source' ? { ...exact, local } : exact];
}

/**
 * What the source writes of a conversation that was refused, whose other end is nobody of the domain, or is known behind
 * another address. Never wider than
 * the conversation: what is said of one port of an address must not decide about another.
 */
export function outcomeEntry(
  pair: Omit<Pair, 'peer' | 'direct' | 'end'>,
  kind: VerifiedPeer['kind'],
  expiresAt: number,
  identity = 0n,
): VerifiedPeer {
  return {
    endpoint: pair.endpoint,
    local: pair.local,
    remote: pair.conversation.destination.address,
    conversation: portsOf('source', pair.conversation),
    identity,
    kind,
    expiresAt,
    usedAt: 0,
  };
}

/** By what the kernel tells entries apart. */
export function entryKey({ endpoint, local, remote, conversation }: VerifiedPeer): string {
  const ports =
    conversation === undefined ? '' : `${conversation.protocol} ${conversation.remotePort} ${conversation.localPort}`;
  return `${endpoint}\0${local ?? ''}\0${remote}\0${ports}`;
}

/** The side of the conversation that is at the other node. */
export function remoteSide({ end, conversation }: Pick<Pair, 'end' | 'conversation'>): Conversation['source'] {
  return end === 'source' ? conversation.destination : conversation.source;
}

export function sameConversation(a: Conversation, b: Conversation): boolean {
  return (
    a.protocol === b.protocol &&
    a.source.address === b.source.address &&
    a.source.port === b.source.port &&
    a.destination.address === b.destination.address &&
    a.destination.port === b.destination.port
  );
}

function portsOf(
  end: Pair['end'],
  { protocol, source, destination }: Conversation,
): NonNullable<VerifiedPeer['conversation']> {
  const [remote, local] = end === 'source' ? [destination, source] : [source, destination];
  return { protocol, remotePort: remote.port, localPort: local.port };
}
