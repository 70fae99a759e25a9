import type { IdentityChange, IdentityIndex } from './identity-index.ts';
import type { KnownIdentity } from './input.ts';
import { type MapEdit, PatchedMap } from './patched-map.ts';
import { ENDLESS, exceeds, RowCount, rowsOfClass, type TableRows, timesRows } from './rows.ts';
import type { CompiledDirection } from './rules.ts';
import { SetBuilder, setKey } from './sets.ts';
import { beyondShares, type Demand, rememberedClasses, sizedClasses } from './shares.ts';
import type { Class, Closed, PolicySet } from './tables.ts';
import { reachable } from './tiers.ts';

type ClassList = readonly Class[];

interface Kept {
  readonly key: string;
  readonly builder: SetBuilder;
  users: number;
  /** As last built, in lists, some repeatedly; nothing before the first time. */
  classes: readonly ClassList[];
  /** As it is in the tables; undefined before the first time. */
  set?: PolicySet;
  /** What it would take, where there is no room for it. */
  wanted?: Wanted;
}

/** What a set takes or would take, beside its classes' own rows. */
type Wanted = Pick<Demand, 'peers' | 'networks' | 'classes'>;

/** The tables on their way to the next ones. */
interface Edit {
  readonly sets: MapEdit<bigint, PolicySet>;
  readonly classes: MapEdit<bigint, Class>;
  /** Made for these tables. */
  readonly built: Map<bigint, Class>;
  readonly store: (built: Class) => Class;
}

export interface SettleOptions {
  /** Rows that the tables may have. Default: any number. */
  readonly room?: TableRows;
  /** Whose share of the room each set counts for, by its key. Asked where there is too little. */
  readonly owners?: () => ReadonlyMap<string, string>;
  /** Called after each set: one takes two seconds at most, and there may be many. */
  readonly onBuilt?: () => void;
}

const NOBODYS: ReadonlyMap<string, string> = new Map();
/** While sets are built there may be this many times the room, before some that will not stay are closed. */
const WHILE_BUILDING = 2;

/** The sets that subjects use and the classes that those use, each once, for as long as somebody does. */
export class Shelf {
  readonly #index: IdentityIndex;
  readonly #kept = new Map<string, Kept>();
  readonly #fresh = new Set<Kept>();
  readonly #dropped = new Set<string>();
  /** Those there is no room for. */
  readonly #shut = new Set<Kept>();
  /** Who uses what has changed. */
  #moved = false;
  readonly #users = new Map<Class, number>();
  /** Lists that are one object are counted as one: sets share those of their networks, which may be thousands. */
  readonly #lists = new Map<ClassList, number>();
  readonly #rows = new RowCount();
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

  /** What sets and classes take together. */
  get rows(): TableRows {
    return this.#rows;
  }

  /** Ids of the rules of sets that deny everything. */
  closed(why: Closed): readonly number[] {
    return [...this.#kept.values()].flatMap(({ builder }) => (builder.closed === why ? builder.rules : []));
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
      kept = { key, builder, users: 0, classes: [] };
      this.#kept.set(key, kept);
      this.#fresh.add(kept);
    }
    kept.users++;
    this.#moved = true;
    this.#dropped.delete(key);
    return key;
  }

  giveBack(key: string): void {
    const kept = this.#kept.get(key);
    if (kept === undefined) return;
    this.#moved = true;
    if (--kept.users === 0) this.#dropped.add(key);
  }

  /** Builds what is new or meets other peers than before, lets go of what has no user any more, and keeps to the room. */
  settle(
    { watches }: IdentityChange,
    { room = ENDLESS, owners = () => NOBODYS, onBuilt = () => {} }: SettleOptions = {},
  ): void {
    const stale =
      watches.size === 0 ? [...this.#fresh] : [...this.#kept.values()].filter((kept) => this.#isStale(kept, watches));
    // Whose a set is, and so whom there is room for, follows from who uses it.
    const again = this.#moved && this.#shut.size > 0;
    if (stale.length === 0 && this.#dropped.size === 0 && !again) return;
    const edit = this.#edit();
    const most = timesRows(room, WHILE_BUILDING);
    for (const kept of stale) {
      if (kept.users === 0) continue;
      this.#build(kept, edit);
      onBuilt();
      if (exceeds(this.#rows, most)) this.#shutAll(this.#beyond(room, owners()), edit);
    }
    for (const key of this.#dropped) this.#drop(key, edit);
    this.#fresh.clear();
    this.#dropped.clear();
    this.#moved = false;
    if (this.#shut.size > 0 || exceeds(this.#rows, room)) {
      const beyond = this.#beyond(room, owners());
      const opening = [...this.#shut].filter(({ key }) => !beyond.has(key));
      this.#shutAll(beyond, edit);
      // Only now there is room for them.
      for (const kept of opening) {
        this.#build(kept, edit);
        onBuilt();
      }
    }
    this.#sets = edit.sets.done();
    this.#classes = edit.classes.done();
  }

  #edit(): Edit {
    const classes = this.#classes.edit();
    const built = new Map<bigint, Class>();
    const store = (one: Class): Class => {
      const found = classes.get(one.id) ?? built.get(one.id);
      if (found === undefined) built.set(one.id, one);
      return found ?? one;
    };
    return { sets: this.#sets.edit(), classes, built, store };
  }

  #build(kept: Kept, edit: Edit): void {
    this.#shut.delete(kept);
    delete kept.wanted;
    this.#put(kept, kept.builder.build(edit.store), edit);
  }

  /** Closes those of them that are open. */
  #shutAll(keys: ReadonlySet<string>, edit: Edit): void {
    for (const key of keys) {
      const kept = this.#kept.get(key);
      if (kept === undefined || this.#shut.has(kept)) continue;
      const { peers, networks, classes } = wantedOf(kept);
      kept.wanted = { peers, networks, classes: rememberedClasses(kept.builder.id, classes) };
      this.#shut.add(kept);
      this.#put(kept, kept.builder.shut(edit.store), edit);
    }
  }

  /** The sets there is no room for, of those that have been built and are still used. */
  #beyond(room: TableRows, owners: ReadonlyMap<string, string>): ReadonlySet<string> {
    const demands: Demand[] = [];
    for (const kept of this.#kept.values()) {
      if (kept.set === undefined || kept.users === 0) continue;
      const { key, builder } = kept;
      const closedPeers = builder.reserved.length;
      demands.push({ key, owner: owners.get(key) ?? '', closedPeers, ...(kept.wanted ?? wantedOf(kept)) });
    }
    return beyondShares(demands, room);
  }

  #put(kept: Kept, set: PolicySet, edit: Edit): void {
    const before = kept.classes;
    kept.classes = kept.builder.classes;
    for (const list of kept.classes) this.#useAll(list, edit);
    for (const list of before) this.#releaseAll(list, edit);
    this.#count(kept.set, -1);
    this.#count(set, 1);
    kept.set = set;
    edit.sets.set(set.id, set);
  }

  #drop(key: string, edit: Edit): void {
    const kept = this.#kept.get(key);
    if (kept === undefined) return;
    for (const list of kept.classes) this.#releaseAll(list, edit);
    this.#count(kept.set, -1);
    kept.builder.close();
    this.#kept.delete(key);
    this.#shut.delete(kept);
    edit.sets.delete(kept.builder.id);
  }

  #count(set: PolicySet | undefined, times: number): void {
    if (set !== undefined) this.#rows.add({ peers: set.peers.size, networks: set.networks.length }, times);
  }

  #isStale(kept: Kept, watches: IdentityChange['watches']): boolean {
    return this.#fresh.has(kept) || kept.builder.watches.some((watch) => watches.has(watch));
  }

  #useAll(list: ClassList, edit: Edit): void {
    const users = this.#lists.get(list) ?? 0;
    this.#lists.set(list, users + 1);
    if (users === 0) for (const one of list) this.#use(one, edit);
  }

  #releaseAll(list: ClassList, edit: Edit): void {
    const users = this.#lists.get(list) ?? 0;
    if (users > 1) {
      this.#lists.set(list, users - 1);
      return;
    }
    this.#lists.delete(list);
    for (const one of list) this.#release(one, edit);
  }

  #use(one: Class, edit: Edit): void {
    const users = this.#users.get(one) ?? 0;
    this.#users.set(one, users + 1);
    if (users > 0) return;
    edit.classes.set(one.id, one);
    this.#rows.add(rowsOfClass(one));
  }

  #release(one: Class, edit: Edit): void {
    const users = this.#users.get(one) ?? 0;
    if (users > 1) {
      this.#users.set(one, users - 1);
      return;
    }
    this.#users.delete(one);
    edit.classes.delete(one.id);
    edit.built.delete(one.id);
    this.#rows.add(rowsOfClass(one), -1);
  }
}

/** What a set that is open takes. */
function wantedOf({ set, classes }: Kept): Wanted {
  const lists = classes.map(sizedClasses);
  return { peers: set?.peers.size ?? 0, networks: set?.networks.length ?? 0, classes: lists };
}
