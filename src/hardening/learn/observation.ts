import type { FileAccess, MountOperation, Operation } from '../../model/hardening.ts';

/** One thing a container was seen to do. Values only. */
export type Observation =
  | {
      readonly type: 'path';
      readonly access: FileAccess;
      /** Canonical; of an abstract UNIX socket `@` and its name. */
      readonly path: string;
      /** The path's beginning is missing. */
      readonly cut: boolean;
    }
  | { readonly type: 'capability'; readonly capability: number; readonly within: 'container' | 'user-namespace' }
  | { readonly type: 'operation'; readonly operation: Operation }
  | { readonly type: 'socket'; readonly family: number; readonly kind: number; readonly protocol: number }
  | { readonly type: 'mount'; readonly operation: MountOperation }
  | {
      readonly type: 'network';
      /** IP protocol. */
      readonly protocol: number;
      readonly port: number;
      /** Canonical text. */
      readonly address: string;
    };

export type PathObservation = Extract<Observation, { readonly type: 'path' }>;

/** Different things that are remembered; 100 bytes each, or so. */
const DIFFERENT_MOST = 200_000;

/** Different observations, in the order in which they came. */
export class Recording {
  readonly #seen = new Map<string, Observation>();
  #dropped = 0;

  /** @returns whether it is new */
  add(observation: Observation): boolean {
    const key = JSON.stringify(observation);
    if (this.#seen.has(key)) return false;
    if (this.#seen.size >= DIFFERENT_MOST) {
      this.#dropped += 1;
      return false;
    }
    this.#seen.set(key, observation);
    return true;
  }

  get observations(): Observation[] {
    return [...this.#seen.values()];
  }

  get size(): number {
    return this.#seen.size;
  }

  /** Observations that found no room. */
  get dropped(): number {
    return this.#dropped;
  }
}
