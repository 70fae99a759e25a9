import { isDeepStrictEqual } from 'node:util';
import type { Candidate } from './candidate.ts';
import { Coalescer } from './coalescer.ts';
import { asSourceError } from './error.ts';
import type { Health } from './health.ts';
import type { Host } from './host.ts';
import { Publication } from './publication.ts';
import type { Sightings } from './source.ts';
import { NO_SIGHTINGS } from './source.ts';
import { Surveyor } from './survey.ts';

/** How long changes are gathered before they are published, milliseconds. */
const GATHER_MS = 2;
const RETRY_MS = 1_000;

export interface RosterOptions {
  readonly host: Host;
  /** Part of every identity. */
  readonly domain: string;
  readonly health: Health;
  /** Called before every look at the kernel: candidates may be entered and removed in it. */
  readonly prepare?: () => void;
}

/**
 * The containers one source knows of, and what the kernel confirms of them, published anew after every change on
 * either side. Containers whose process is gone are not published, whether or not the source has noticed.
 */
export class Roster {
  readonly publication = new Publication<Sightings>(NO_SIGHTINGS);
  readonly #candidates = new Map<string, Candidate>();
  readonly #health: Health;
  readonly #prepare: () => void;
  readonly #surveyor: Surveyor;
  readonly #coalescer: Coalescer;
  readonly #unwatch: () => void;
  #complete = false;
  /** What is entered now is in the look that follows at once. */
  #preparing = false;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor({ host, domain, health, prepare = () => {} }: RosterOptions) {
    this.#health = health;
    this.#prepare = prepare;
    this.#surveyor = new Surveyor(host, domain);
    this.#coalescer = new Coalescer(
      () => this.#publish(),
      GATHER_MS,
      (thrown) => {
        this.#health.fails('node', asSourceError(thrown, 'UNREADABLE', 'read this node’s namespaces'));
        this.#lookAgain(RETRY_MS);
      },
    );
    this.#unwatch = host.namespaces.watch(() => {
      this.#surveyor.linksChanged();
      this.changed();
    });
  }

  get ids(): readonly string[] {
    return [...this.#candidates.keys()];
  }

  get(id: string): Candidate | undefined {
    return this.#candidates.get(id);
  }

  /** Enters a candidate; one that says what is known already changes nothing. */
  set(candidate: Candidate): void {
    if (isDeepStrictEqual(this.#candidates.get(candidate.id), candidate)) return;
    this.#candidates.set(candidate.id, candidate);
    this.changed();
  }

  delete(id: string): void {
    if (this.#candidates.delete(id)) this.changed();
  }

  /** All that is running was entered: from now on it is published. */
  complete(): void {
    this.#complete = true;
    this.changed();
  }

  /** Something changed on the kernel's side: look at the processes again. */
  changed(): void {
    if (this.#complete && !this.#preparing) this.#coalescer.request();
  }

  /** Anything may have changed: read all namespaces again. */
  refresh(): void {
    this.#surveyor.forget();
    this.changed();
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#unwatch();
    clearTimeout(this.#timer);
    await this.#coalescer.close();
    this.publication.release();
  }

  async #publish(): Promise<void> {
    this.#preparing = true;
    try {
      this.#prepare();
    } finally {
      this.#preparing = false;
    }
    const sightings = await this.#surveyor.survey([...this.#candidates.values()]);
    if (this.#closed) return;
    this.#health.works('node');
    this.publication.publish(sightings);
    const wait = this.#surveyor.lookAgainIn();
    if (wait !== undefined) this.#lookAgain(wait);
  }

  #lookAgain(ms: number): void {
    clearTimeout(this.#timer);
    if (!this.#closed) this.#timer = setTimeout(() => this.changed(), ms);
  }
}
