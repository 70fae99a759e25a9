import { randomBytes } from 'node:crypto';
import type { KubernetesClient } from '../sources/kubernetes/client.ts';
import { KubernetesError } from '../sources/kubernetes/error.ts';
import type { LooseObject, ResourceType } from '../sources/kubernetes/resource.ts';
import type { Applier } from './applier.ts';
import { FIELD_MANAGER, MANAGED } from './names.ts';

const EVENTS: ResourceType<LooseObject> = {
  group: 'events.k8s.io',
  version: 'v1',
  plural: 'events',
  kind: 'Event',
  namespaced: true,
};

/** What an event is about. */
export interface Regarding {
  readonly apiVersion: string;
  readonly kind: string;
  /** Empty for what belongs to none. */
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export interface PolicyEvent {
  readonly type: 'Normal' | 'Warning';
  /** One word. */
  readonly reason: string;
  /** What was done, in one word. */
  readonly action: string;
  readonly note: string;
}

interface Series {
  /** Namespace of what it is about; empty for what is of the whole cluster. */
  readonly party: string;
  readonly namespace: string;
  readonly name: string;
  count: number;
  last: number;
}

/** Series kept at once; the oldest are forgotten, and begin anew. */
const MOST_SERIES = 1_000;
/** The same thing said again within this time is counted, not said: milliseconds. */
const SERIES_MS = 600_000;
/** Events of one object in that time, however different; more are left out, and counted. */
const MOST_PER_OBJECT = 20;
const LONGEST_NOTE = 1_000;

/** Tells what happens to policies, as events of theirs. What repeats becomes a series; what floods is left out. */
export class Events {
  readonly #client: KubernetesClient;
  readonly #applier: Applier;
  readonly #instance: string;
  readonly #now: () => number;
  readonly #series = new Map<string, Series>();
  readonly #perObject = new Map<string, { since: number; told: number }>();
  #dropped = 0;

  constructor(options: {
    readonly client: KubernetesClient;
    readonly applier: Applier;
    /** Of this replica. */
    readonly instance: string;
    readonly now: () => number;
  }) {
    this.#client = options.client;
    this.#applier = options.applier;
    this.#instance = options.instance;
    this.#now = options.now;
  }

  /** Events left out because their object had too many. */
  get dropped(): number {
    return this.#dropped;
  }

  tell(regarding: Regarding, event: PolicyEvent): void {
    const now = this.#now();
    const key = `${regarding.uid} ${event.reason} ${event.note}`;
    const known = this.#series.get(key);
    if (known !== undefined && now - known.last < SERIES_MS) {
      known.count += 1;
      known.last = now;
      this.#again(known);
      return;
    }
    if (!this.#hasRoom(regarding.uid, now)) {
      this.#dropped += 1;
      return;
    }
    const party = regarding.namespace;
    const namespace = party === '' ? 'default' : party;
    const name = `${regarding.name.slice(0, 200)}.${randomBytes(8).toString('hex')}`;
    remember(this.#series, key, { party, namespace, name, count: 1, last: now }, MOST_SERIES);
    this.#add(party, `events/${namespace}/${name}`, async (signal) => {
      await this.#client.create(EVENTS, this.#object(namespace, name, regarding, event, now), { signal });
    });
  }

  #again(series: Series): void {
    const { party, namespace, name } = series;
    // Several of one moment are one write.
    this.#add(party, `events/${namespace}/${name}#series`, async (signal) => {
      const change = { series: { count: series.count, lastObservedTime: microTime(series.last) } };
      try {
        await this.#client.patch(EVENTS, { namespace, name }, change, { signal });
      } catch (thrown) {
        // Events end after an hour; the next one is a new one.
        if (!(thrown instanceof KubernetesError) || thrown.code !== 'NOT_FOUND') throw thrown;
        for (const [key, one] of this.#series) if (one === series) this.#series.delete(key);
      }
    });
  }

  /** An event is told once or not at all: it is not worth a second attempt that could fail for ever. */
  #add(party: string, key: string, write: (signal: AbortSignal) => Promise<void>): void {
    this.#applier.add({
      party,
      key,
      run: async (signal) => {
        try {
          await write(signal);
        } catch (thrown) {
          if (!(thrown instanceof KubernetesError) || thrown.code === 'UNREACHABLE') throw thrown;
          this.#dropped += 1;
        }
      },
    });
  }

  #hasRoom(uid: string, now: number): boolean {
    const known = this.#perObject.get(uid);
    const current = known === undefined || now - known.since >= SERIES_MS ? { since: now, told: 0 } : known;
    if (current.told >= MOST_PER_OBJECT) return false;
    current.told += 1;
    remember(this.#perObject, uid, current, MOST_SERIES);
    return true;
  }

  #object(namespace: string, name: string, about: Regarding, event: PolicyEvent, now: number): LooseObject {
    const { namespace: own, ...rest } = about;
    const note = event.note.length > LONGEST_NOTE ? `${event.note.slice(0, LONGEST_NOTE - 3)}...` : event.note;
    return {
      metadata: { namespace, name, labels: { ...MANAGED } },
      ...{
        eventTime: microTime(now),
        reportingController: `sallyport.dev/${FIELD_MANAGER}`,
        reportingInstance: this.#instance,
        action: event.action,
        reason: event.reason,
        type: event.type,
        note,
        regarding: own === '' ? rest : { ...rest, namespace: own },
      },
    } as LooseObject;
  }
}

function remember<V>(map: Map<string, V>, key: string, value: V, most: number): void {
  map.delete(key);
  map.set(key, value);
  const oldest = map.size > most ? map.keys().next() : undefined;
  if (oldest?.done === false) map.delete(oldest.value);
}

function microTime(now: number): string {
  return new Date(now).toISOString().replace('Z', '000Z');
}
