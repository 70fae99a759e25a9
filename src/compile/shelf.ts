import type { IdentityChange, IdentityIndex } from './identity-index.ts';
import type { KnownIdentity } from './input.ts';
import { type MapEdit, PatchedMap } from './patched-map.ts';
import type { CompiledDirection } from './rules.ts';
import { SetBuilder, setKey } from './sets.ts';
import type { Class, PolicySet } from './tables.ts';
import { reachable } from './tiers.ts';

type ClassList = readonly Class[];

interface Kept {
  readonly builder: SetBuilder;
  users: number;
  /** As last built, in lists, some repeatedly; nothing before the first time. */
  classes: readonly ClassList[];
}

/** The sets that subjects use and the classes that those use, each once, for as long as somebody does. */
export class Shelf {
  readonly #index: IdentityIndex;
  readonly #kept = new Map<string, Kept>();
  readonly #fresh = new Set<Kept>();
  readonly #dropped = new Set<string>();
  readonly #users = new Map<Class, number>();
  /** Lists that are one object are counted as one: sets share those of their networks, which may be thousands. */
  readonly #lists = new Map<ClassList, number>();
  #sets = new PatchedMap<bigint, PolicySet>();
  #classes = new PatchedMap<bigint, Class>();

  constructor(index: IdentityIndex) {
    this.#index = index;
  }

  /** The same object until a set changes. */
  get sets(): ReadonlyMap<bigint, PolicySet> {
    return this.#sets;
  }

  get classes(): ReadonlyMap<bigint, Class> {
    return this.#classes;
  }

  /** Ids of the rules of sets that are too large, which deny everything. */
  get closed(): readonly number[] {
    return [...this.#kept.values()].flatMap(({ builder }) => builder.closed);
  }

  idOf(key: string): bigint {
    return key === '' ? 0n : (this.#kept.get(key)?.builder.id ?? 0n);
  }

  /**
   * Takes the set of these rules for one more user.
   * @param ownPorts the subject's, for ingress
   * @param before key of the set the user had until now
   * @returns its key; empty where there are no rules
   */
  take(parts: readonly CompiledDirection[], ownPorts: KnownIdentity['ports'] | undefined, before = ''): string {
    const asked = reachable(parts);
    if (asked.length === 0) return '';
    const key = setKey(asked, ownPorts);
    let kept = this.#kept.get(key);
    if (kept === undefined) {
      const builder = new SetBuilder(key, asked, ownPorts, this.#index, this.#kept.get(before)?.builder);
      kept = { builder, users: 0, classes: [] };
      this.#kept.set(key, kept);
      this.#fresh.add(kept);
    }
    kept.users++;
    this.#dropped.delete(key);
    return key;
  }

  giveBack(key: string): void {
    const kept = this.#kept.get(key);
    if (kept !== undefined && --kept.users === 0) this.#dropped.add(key);
  }

  /**
   * Builds what is new or meets other peers than before, and lets go of what has no user any more.
   * @param onBuilt called after each set: one takes two seconds at most, and there may be many
   */
  settle({ watches }: IdentityChange, onBuilt: () => void = () => {}): void {
    const stale =
      watches.size === 0 ? [...this.#fresh] : [...this.#kept.values()].filter((kept) => this.#isStale(kept, watches));
    if (stale.length === 0 && this.#dropped.size === 0) return;
    const sets = this.#sets.edit();
    const classes = this.#classes.edit();
    const built = new Map<bigint, Class>();
    const store = (one: Class): Class => {
      const known = classes.get(one.id) ?? built.get(one.id);
      if (known === undefined) built.set(one.id, one);
      return known ?? one;
    };
    for (const kept of stale) {
      if (kept.users === 0) continue;
      const before = kept.classes;
      const set = kept.builder.build(store);
      kept.classes = kept.builder.classes;
      for (const list of kept.classes) this.#useAll(list, classes);
      for (const list of before) this.#releaseAll(list, classes);
      sets.set(set.id, set);
      onBuilt();
    }
    for (const key of this.#dropped) {
      const kept = this.#kept.get(key);
      if (kept === undefined) continue;
      for (const list of kept.classes) this.#releaseAll(list, classes);
      kept.builder.close();
      this.#kept.delete(key);
      sets.delete(kept.builder.id);
    }
    this.#fresh.clear();
    this.#dropped.clear();
    this.#sets = sets.done();
    this.#classes = classes.done();
  }

  #isStale(kept: Kept, watches: IdentityChange['watches']): boolean {
    return this.#fresh.has(kept) || kept.builder.watches.some((watch) => watches.has(watch));
  }

  #useAll(list: ClassList, classes: MapEdit<bigint, Class>): void {
    const users = this.#lists.get(list) ?? 0;
    this.#lists.set(list, users + 1);
    if (users === 0) for (const one of list) this.#use(one, classes);
  }

  #releaseAll(list: ClassList, classes: MapEdit<bigint, Class>): void {
    const users = this.#lists.get(list) ?? 0;
    if (users > 1) {
      this.#lists.set(list, users - 1);
      return;
    }
    this.#lists.delete(list);
    for (const one of list) this.#release(one, classes);
  }

  #use(one: Class, classes: MapEdit<bigint, Class>): void {
    const users = this.#users.get(one) ?? 0;
    this.#users.set(one, users + 1);
    if (users === 0) classes.set(one.id, one);
  }

  #release(one: Class, classes: MapEdit<bigint, Class>): void {
    const users = this.#users.get(one) ?? 0;
    if (users > 1) {
      this.#users.set(one, users - 1);
      return;
    }
    this.#users.delete(one);
    classes.delete(one.id);
  }
}
