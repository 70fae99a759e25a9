import type { Claim, VerifiedPeer } from './kernel.ts';
import type { KernelPeers } from './port.ts';
import type { Counters } from './statistics.ts';

/**
 * The kernel's tables, which may be full or not to be written: that ends the one handshake it happens to, not the agent. What
 * could not be written is never relied on.
 */
export class GuardedKernel {
  readonly #kernel: KernelPeers;
  readonly #counters: Counters;
  readonly #onFault: (error: Error) => void;

  constructor(kernel: KernelPeers, counters: Counters, onFault: (error: Error) => void) {
    this.#kernel = kernel;
    this.#counters = counters;
    this.#onFault = onFault;
  }

  /** False: it is not written. */
  verify(peers: readonly VerifiedPeer[]): boolean {
    return this.#try(() => this.#kernel.verify(peers));
  }

  forget(peers: readonly VerifiedPeer[]): boolean {
    return this.#try(() => this.#kernel.forget(peers));
  }

  /** False: it is not written. */
  claim(claims: readonly Claim[]): boolean {
    return this.#try(() => this.#kernel.claim(claims));
  }

  unclaim(tokens: readonly Uint8Array[]): boolean {
    return this.#try(() => this.#kernel.unclaim(tokens));
  }

  /** Zeros where it cannot be asked. */
  usedAt(peers: readonly VerifiedPeer[]): readonly number[] {
    let found: readonly number[] | undefined;
    this.#try(() => {
      found = this.#kernel.usedAt(peers);
    });
    return found ?? peers.map(() => 0);
  }

  #try(attempt: () => void): boolean {
    try {
      attempt();
      return true;
    } catch (thrown) {
      this.#counters.limit('kernel');
      this.#onFault(thrown instanceof Error ? thrown : new Error(String(thrown)));
      return false;
    }
  }
}
