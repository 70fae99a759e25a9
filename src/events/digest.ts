import { type Event, isTraffic, isViolation } from './event.ts';

/** Events that are the same but for when and how often. */
export interface DigestEntry {
  readonly key: string;
  /** The endpoint or other thing it is about; the unit of fairness. */
  readonly owner: string;
  readonly first: Event;
  last: Event;
  count: number;
  /** Of `count`, those since the last `takeRepeats`. */
  repeats: number;
}

/** What makes two events the same: everything but time, size, the client's port and the process. */
function digestKey(event: Event): string {
  if (isViolation(event)) {
    const { containerId, verdict, action, object = '', executable = '', rule, staged } = event;
    const rules = [rule?.id ?? 0, staged?.verdict ?? '', staged?.rule?.id ?? 0];
    return [event.type, containerId, verdict, event.class, action, object, executable, ...rules].join('\0');
  }
  if (!isTraffic(event)) return [event.type, event.action, event.subject, event.message].join('\0');
  const { source, destination } = event;
  const ends = [source, destination].map((party) => party.identity ?? `${party.kind} ${party.address}`);
  const rules = [event.rule?.id ?? 0, event.staged?.verdict ?? '', event.staged?.rule?.id ?? 0];
  const packet = [event.type, event.verdict, event.reason ?? '', event.direction, event.protocol, destination.port];
  return [event.endpoint, ...packet, ...ends, ...rules].join('\0');
}

function ownerOf(event: Event): string {
  if (isViolation(event)) return event.containerId;
  return isTraffic(event) ? event.endpoint : event.type;
}

/**
 * Counts repeats of an event instead of keeping each. Holds at most `limit` entries; when full, the entry that
 * was quiet longest among those of the *busiest* owner goes. So an endpoint that makes thousands of different
 * events (a port scan) pushes out its own, never the first sight of another's.
 */
export class Digest {
  /** Owner → key → entry, each in the order of last use. */
  readonly #owners = new Map<string, Map<string, DigestEntry>>();
  #size = 0;
  #forgotten = 0;
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Entries that were dropped because the digest was full. */
  get forgotten(): number {
    return this.#forgotten;
  }

  /** @returns the entry; its `count` is 1 when the event was not seen before */
  add(event: Event): DigestEntry {
    const owner = ownerOf(event);
    const key = digestKey(event);
    const mine = this.#owners.get(owner);
    const known = mine?.get(key);
    if (mine !== undefined && known !== undefined) {
      known.last = event;
      known.count += 1;
      known.repeats += 1;
      mine.delete(key);
      mine.set(key, known);
      return known;
    }
    const entry: DigestEntry = { key, owner, first: event, last: event, count: 1, repeats: 0 };
    if (mine === undefined) this.#owners.set(owner, new Map([[key, entry]]));
    else mine.set(key, entry);
    this.#size += 1;
    if (this.#size > this.#limit) this.#evict();
    return entry;
  }

  /** All entries, the longest quiet ones first. */
  list(): DigestEntry[] {
    const all = [...this.#owners.values()].flatMap((entries) => [...entries.values()]);
    return all.sort((a, b) => a.last.sequence - b.last.sequence);
  }

  /** Entries that repeated since the last call, with their `repeats`, which then start anew. */
  takeRepeats(): { entry: DigestEntry; repeats: number }[] {
    const taken: { entry: DigestEntry; repeats: number }[] = [];
    for (const entries of this.#owners.values()) {
      for (const entry of entries.values()) {
        if (entry.repeats === 0) continue;
        taken.push({ entry, repeats: entry.repeats });
        entry.repeats = 0;
      }
    }
    return taken;
  }

  #evict(): void {
    let busiest: [string, Map<string, DigestEntry>] | undefined;
    for (const candidate of this.#owners) {
      if (busiest === undefined || candidate[1].size > busiest[1].size) busiest = candidate;
    }
    const key = busiest?.[1].keys().next().value;
    if (busiest === undefined || key === undefined) return;
    busiest[1].delete(key);
    if (busiest[1].size === 0) this.#owners.delete(busiest[0]);
    this.#size -= 1;
    this.#forgotten += 1;
  }
}
