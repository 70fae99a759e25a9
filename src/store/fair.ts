import type { HandshakeRecord } from '../handshake/port.ts';

/** Records of one culprit: so many at once, and so many a second after that. */
export interface Share {
  readonly burst: number;
  readonly perSecond: number;
}

/** Culprits that are remembered; then all of them begin anew. */
const CULPRITS_MOST = 4_096;

/**
 * Only so many records are kept, and each pushes out an older one: whoever can make as many as he likes could push out
 * what is on record of him. So each culprit has a share.
 */
export class Fair {
  readonly #share: Share;
  readonly #left = new Map<string, { left: number; at: number }>();

  constructor(share: Share) {
    this.#share = share;
  }

  /** False: too many of this one's. */
  take(record: HandshakeRecord, now: number): boolean {
    const { burst, perSecond } = this.#share;
    const key = culpritOf(record);
    let account = this.#left.get(key);
    if (account === undefined) {
      if (this.#left.size >= CULPRITS_MOST) this.#left.clear();
      account = { left: burst, at: now };
      this.#left.set(key, account);
    }
    account.left = Math.min(burst, account.left + (Math.max(0, now - account.at) * perSecond) / 1_000);
    account.at = now;
    if (account.left < 1) return false;
    account.left -= 1;
    return true;
  }
}

/** Who can cause such records at will: a container of this node, or another node's agent, whoever it names. */
function culpritOf({ end, source }: HandshakeRecord): string {
  return end === 'source' ? `container ${source.identity ?? ''}` : `node ${source.node ?? ''}`;
}
