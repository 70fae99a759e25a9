import type { VerifiedPeer } from '../../datapath/peer-port.ts';
import type { SavedKey, Verified } from '../../handshake/index.ts';
import { formatIdentity } from '../../model/identity.ts';

/** Which handshakes stand behind what the kernel believes of peers. Several may, and an entry lasts as long as one does. */
export class Vouchers {
  readonly #byPair = new Map<string, Verified[]>();

  constructor(verified: Iterable<Verified>) {
    for (const one of verified) {
      const key = pairKey(one.endpoint, one.peer);
      const known = this.#byPair.get(key);
      if (known === undefined) this.#byPair.set(key, [one]);
      else known.push(one);
    }
  }

  /** In the order they came. */
  of(peer: VerifiedPeer): readonly Verified[] {
    const candidates = this.#byPair.get(pairKey(peer.endpoint, peer.identity)) ?? [];
    return candidates.filter((one) => vouchesFor(one, peer));
  }
}

/**
 * Entries by which this node opens conversations and for which nobody stands: an earlier agent ended between writing and
 * saving them. The other end may have taken them back meanwhile, and cannot say so to anybody who knows what of: what is
 * sent would be dropped there until they end. Those by which this node is reached do no more than let in who has
 * proven himself.
 */
export function orphans(peers: readonly VerifiedPeer[], verified: Iterable<Verified>): readonly VerifiedPeer[] {
  const vouchers = new Vouchers(verified);
  return peers.filter((peer) => peer.kind === 'verified' && peer.local !== undefined && vouchers.of(peer).length === 0);
}

/** Under which a handshake is stored. Begins with the time, so that what is written at one time lies in few pages of the database. */
export function storedKey({ since, end, agent, handshake }: SavedKey): string {
  return `${since.toString(36).padStart(9, '0')} ${end} ${agent} ${handshake}`;
}

function pairKey(endpoint: string, identity: bigint): string {
  return `${endpoint} ${formatIdentity(identity)}`;
}

/** Of the two they name, whether this entry was written for that handshake. */
function vouchesFor({ end, direct, conversation }: Verified, { remote, conversation: ports }: VerifiedPeer): boolean {
  const { source, destination, protocol } = conversation;
  const [far, near] = end === 'source' ? [destination, source] : [source, destination];
  if (far.address !== remote || direct !== (ports === undefined)) return false;
  if (ports === undefined) return true;
  return ports.protocol === protocol && ports.remotePort === far.port && ports.localPort === near.port;
}
