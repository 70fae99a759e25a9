import { decodePacket, type NameBook, type PacketRecord } from './decode.ts';
import { Digest, type DigestEntry } from './digest.ts';
import { type Event, isObservation, isTraffic, isViolation, type NoticeEvent } from './event.ts';
import { Subscription } from './subscription.ts';
import { decodeViolation, type ViolationNames, type ViolationRecord } from './violation.ts';

/** Gets every event but observations, with its digest entry; `entry.count` is 1 at the first sight. */
export type EventSink = (event: Event, entry: DigestEntry) => void;

export interface JournalOptions {
  readonly names: NameBook & ViolationNames;
  readonly now: () => number;
  /** Events kept, and different events counted. */
  readonly keep: number;
  /** Events that may wait for one follower. */
  readonly queue: number;
  readonly followers: number;
  readonly sinks: readonly EventSink[];
  /** Called when the first follower of allowed flows comes and when the last one goes. */
  readonly observe: (on: boolean) => void;
}

export type Notice = Omit<NoticeEvent, 'sequence' | 'time'>;

/** Which events a follower or a list wants. */
export interface EventFilter {
  readonly types?: readonly Event['type'][];
  /** Allowed packets too; a list has none. */
  readonly observations?: boolean;
  /** Only events about this endpoint or container id, workload or policy. */
  readonly about?: string;
  readonly verdicts?: readonly string[];
}

/** Whether the filter lets the event through. */
export function wants(filter: EventFilter, event: Event): boolean {
  if (isObservation(event) && filter.observations !== true) return false;
  if (filter.types !== undefined && !filter.types.includes(event.type)) return false;
  if (filter.verdicts !== undefined && !('verdict' in event && filter.verdicts.includes(event.verdict))) return false;
  if (filter.about === undefined) return true;
  if (isViolation(event)) {
    const subjects = [event.containerId, event.workload, event.rule?.policy, event.staged?.rule?.policy];
    return subjects.includes(filter.about);
  }
  if (!isTraffic(event)) return event.subject === filter.about;
  const subjects = [event.endpoint, event.source.name, event.destination.name, event.rule?.policy];
  return subjects.includes(filter.about) || event.staged?.rule?.policy === filter.about;
}

/**
 * Where every event passes: numbered, kept, counted, handed to the sinks and to whoever follows. Observations
 * (allowed packets, reported only while somebody follows flows) go to followers alone, so that watching never
 * pushes a refusal out of what is kept.
 */
export class EventJournal {
  readonly digest: Digest;
  #sequence = 0;
  #lostToFollowers = 0;
  /** A ring: the event with sequence s stands at s modulo its size, while it is kept. */
  readonly #kept: Event[] = [];
  #next = 0;
  readonly #followers = new Map<Subscription, EventFilter>();
  readonly #options: JournalOptions;

  constructor(options: JournalOptions) {
    this.#options = options;
    this.digest = new Digest(options.keep);
  }

  get followers(): number {
    return this.#followers.size;
  }

  /** Events that some follower missed because it was too slow; once for each follower. */
  get lostToFollowers(): number {
    return this.#lostToFollowers;
  }

  addRecords(records: readonly PacketRecord[]): void {
    for (const record of records) this.#add(decodePacket(record, this.#options.names, this.#take()));
  }

  addViolations(records: readonly ViolationRecord[]): void {
    for (const record of records) this.#add(decodeViolation(record, this.#options.names, this.#take()));
  }

  addNotice(notice: Notice): void {
    this.#add({ sequence: this.#take(), time: new Date(this.#options.now()).toISOString(), ...notice });
  }

  /** Kept events that pass the filter, oldest first, at most the `limit` newest of them. */
  list(filter: EventFilter, limit: number): Event[] {
    const ordered = [...this.#kept.slice(this.#next), ...this.#kept.slice(0, this.#next)];
    return limit === 0 ? [] : ordered.filter((event) => wants(filter, event)).slice(-limit);
  }

  /** @returns undefined when there are as many followers as may be */
  follow(filter: EventFilter): Subscription | undefined {
    if (this.#followers.size >= this.#options.followers) return undefined;
    const subscription = new Subscription(
      this.#options.queue,
      (event) => wants(filter, event),
      (closed) => {
        this.#followers.delete(closed);
        if (filter.observations === true && !this.#observed()) this.#options.observe(false);
      },
    );
    const first = filter.observations === true && !this.#observed();
    this.#followers.set(subscription, filter);
    if (first) this.#options.observe(true);
    return subscription;
  }

  /** Ends every follower's stream. */
  close(): void {
    for (const follower of [...this.#followers.keys()]) follower.close();
  }

  #take(): number {
    this.#sequence += 1;
    return this.#sequence;
  }

  #observed(): boolean {
    return [...this.#followers.values()].some((filter) => filter.observations === true);
  }

  #add(event: Event): void {
    for (const follower of this.#followers.keys()) if (follower.offer(event)) this.#lostToFollowers += 1;
    if (isObservation(event)) return;
    this.#kept[this.#next] = event;
    this.#next = (this.#next + 1) % this.#options.keep;
    const entry = this.digest.add(event);
    for (const sink of this.#options.sinks) sink(event, entry);
  }
}
