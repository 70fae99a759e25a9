/** Programs at the doors: of each endpoint, and, where packets are held or tagged between nodes, of the node. */
import type { Endpoint } from '../model/endpoint.ts';
import type { Attachments } from './attachments.ts';
import type { EarlyListeners } from './early-listeners.ts';
import { expedited } from './grace-periods.ts';
import { GUARD, guardPlacesOf, type Place, placesOf, TAGGER, type TcPlace, tagPlacesOf } from './places.ts';

/** What stands at doors beside the judges. */
export interface Watchmen {
  /** Tags are written for the endpoints' containers. */
  readonly tags: boolean;
  /** What was to be held does not leave by an uplink. */
  readonly guard: boolean;
}

/** What could not be done for an endpoint. */
export interface Trouble {
  /** It is not judged, or not everywhere. */
  readonly judged?: string;
  /** Its connections have no tags. */
  readonly tagged?: string;
}

const NO_TROUBLE: Trouble = {};

export class Doors {
  readonly #attachments: Attachments;
  readonly #cgroupRoot: string;
  readonly #listeners: EarlyListeners | undefined;
  readonly #own: bigint | undefined;
  readonly #faults = new Map<string, string>();
  #watchmen: Watchmen = { tags: false, guard: false };

  /** @param own the agent's cgroup, which is not judged */
  constructor(attachments: Attachments, cgroupRoot: string, listeners?: EarlyListeners, own?: bigint) {
    this.#attachments = attachments;
    this.#cgroupRoot = cgroupRoot;
    this.#listeners = listeners;
    this.#own = own;
  }

  /** What is not there although it was asked for, and why, by interface, program or endpoint. */
  get faults(): ReadonlyMap<string, string> {
    return new Map([...this.#faults, ...(this.#listeners?.faults ?? [])]);
  }

  /** From the next `arrange` on; tags are not written any more at once. */
  set watchmen(watchmen: Watchmen) {
    this.#watchmen = watchmen;
    if (watchmen.tags) return;
    this.#attachments.removeTaggers();
    this.#listeners?.arrange([], true);
  }

  /** Puts the guards at these links, beside those where they are. */
  guard(uplinks: readonly number[]): void {
    this.#faults.clear();
    const places = guardPlacesOf(uplinks);
    if (this.#attachments.settled(byPin(places), false)) return;
    expedited(() => this.#guard(places));
  }

  /**
   * Attaches what is wanted, and, where these are all endpoints there are, detaches the rest.
   * @returns the endpoints with which something went wrong, by id
   */
  arrange(endpoints: readonly Endpoint[], uplinks: readonly number[], alone: boolean): ReadonlyMap<string, Trouble> {
    const { tags, guard } = this.#watchmen;
    this.#faults.clear();
    const guards = guard ? guardPlacesOf(uplinks) : [];
    const tagging = tags && this.#attachments.knows(TAGGER);
    const doors = endpoints.map((endpoint) => ({
      id: endpoint.id,
      mode: endpoint.mode,
      judges: placesOf(endpoint, this.#cgroupRoot, this.#own),
      taggers: tagging ? tagPlacesOf(endpoint, this.#cgroupRoot) : [],
    }));
    const all = byPin([...guards, ...doors.flatMap(({ judges, taggers }) => [...judges, ...taggers])]);
    const troubles = new Map<string, Trouble>();
    const work = () => {
      this.#guard(guards);
      for (const { id, judges, taggers } of doors) {
        const trouble = this.#settle(judges, taggers);
        if (trouble !== NO_TROUBLE) troubles.set(id, trouble);
      }
    };
    if (this.#attachments.settled(all, alone)) {
      // Nothing to attach, and no reason to hurry the whole system; a container's identity may be another.
      work();
    } else {
      expedited(() => {
        work();
        if (alone) this.#attachments.retain(new Set(all.keys()));
      });
    }
    // Last: whatever listens from now on asks by itself. At an interface answers that bear no tag get one.
    const tagged = doors
      .filter(({ mode }) => mode === 'cgroup')
      .flatMap(({ id, taggers }) =>
        taggers
          .filter((place) => this.#attachments.holds(place))
          .map(({ owner, pid, path }) => ({ endpoint: id, cgroup: owner.cgroup, pid, path })),
      );
    this.#listeners?.arrange(tagged, alone);
    return troubles;
  }

  #settle(judges: readonly Place[], taggers: readonly Place[]): Trouble {
    const judged = this.#ensure(judges);
    const tagged = this.#ensure(taggers);
    if (judged === undefined && tagged === undefined) return NO_TROUBLE;
    return { ...(judged === undefined ? {} : { judged }), ...(tagged === undefined ? {} : { tagged }) };
  }

  #guard(places: readonly TcPlace[]): void {
    if (places.length === 0) return;
    if (!this.#attachments.knows(GUARD)) {
      this.#faults.set(GUARD, 'the kernel objects have no such program');
      return;
    }
    for (const place of places) {
      const error = this.#ensure([place]);
      if (error !== undefined) this.#faults.set(`interface ${place.ifindex}`, error);
    }
  }

  /** What went wrong first; what comes after that is not tried. */
  #ensure(places: readonly Place[]): string | undefined {
    try {
      for (const place of places) this.#attachments.ensure(place);
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
    return undefined;
  }
}

function byPin(places: readonly Place[]): ReadonlyMap<string, Place> {
  return new Map(places.map((place) => [place.pin, place]));
}
