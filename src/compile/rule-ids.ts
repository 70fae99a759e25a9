import { contentId32 } from './hash.ts';

/** What a rule's number is made from: policy kind, namespace, name, direction, and its name, index or `default`. */
export type RuleKey = readonly [kind: string, namespace: string, policy: string, direction: string, rule: string];

/** The number a rule has unless another one prefers the same. No part can hold the separator. */
export function preferredRuleId(key: RuleKey): number {
  return contentId32(key.join('\0'));
}

/** A rule that wants a number, and whoever must hear when it gets another one. */
export interface Claim<T> {
  readonly key: string;
  readonly preferredId: number;
  readonly owner: T;
}

/**
 * Gives every rule a number that is not 0 and no other rule's, the same whatever order the rules came in: its
 * preferred one, unless a rule with a lower key prefers that too; then the next one nobody prefers or has.
 */
export class RuleNumbers<T> {
  readonly #claims = new Map<number, Claim<T>>();
  /** Numbers several rules prefer: about one among 100,000 rules. */
  readonly #crowded = new Map<number, Claim<T>[]>();
  #moved: ReadonlyMap<string, { readonly id: number; readonly owner: T }> = new Map();

  claim(claim: Claim<T>): void {
    const id = claim.preferredId;
    const first = this.#claims.get(id);
    if (first === undefined) {
      this.#claims.set(id, claim);
      return;
    }
    const crowd = this.#crowded.get(id) ?? [first];
    this.#crowded.set(id, [...crowd, claim]);
  }

  release({ key, preferredId }: Claim<T>): void {
    const crowd = this.#crowded.get(preferredId)?.filter((claim) => claim.key !== key);
    const [first, second] = crowd ?? [];
    if (crowd === undefined || first === undefined) this.#claims.delete(preferredId);
    else this.#claims.set(preferredId, first);
    if (crowd !== undefined && second !== undefined) this.#crowded.set(preferredId, crowd);
    else this.#crowded.delete(preferredId);
  }

  /** Settles all claims and releases made so far; returns the owners of rules whose number became another one. */
  settle(): ReadonlySet<T> {
    const before = this.#moved;
    const after = new Map<string, { readonly id: number; readonly owner: T }>();
    const taken = new Set<number>();
    for (const id of [...this.#crowded.keys()].sort((a, b) => a - b)) {
      const crowd = [...(this.#crowded.get(id) ?? [])].sort((a, b) => (a.key < b.key ? -1 : 1));
      for (const { key, owner } of crowd.slice(1)) {
        let free = id;
        while (free === 0 || taken.has(free) || this.#claims.has(free)) free = (free + 1) >>> 0;
        taken.add(free);
        after.set(key, { id: free, owner });
      }
    }
    this.#moved = after;
    const owners = new Set<T>();
    for (const [key, { id, owner }] of before) if (after.get(key)?.id !== id) owners.add(owner);
    for (const [key, { id, owner }] of after) if (before.get(key)?.id !== id) owners.add(owner);
    return owners;
  }

  numberOf({ key, preferredId }: { readonly key: string; readonly preferredId: number }): number {
    return this.#moved.get(key)?.id ?? preferredId;
  }
}
