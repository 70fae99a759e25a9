import { announceable } from './decode.ts';
import { type Announce, type AnnouncedWorkload, BOUNDS } from './messages.ts';
import type { AnnouncedIdentity } from './port.ts';

/** Workloads in one message, and characters of them: far below the bound of a frame, whatever they are. */
const WORKLOADS_AT_ONCE = 1_024;
const CHARACTERS_AT_ONCE = 192 << 10;

/** Most identities that are announced; a node runs hundreds. */
const IDENTITIES_MOST = 65_536;

/** What this node runs, as it has been told to the others. Each change has a number; every connection hears all of them in order. */
export class Announcer {
  readonly #identities: () => readonly AnnouncedIdentity[];
  #announced = new Map<bigint, AnnouncedIdentity>();
  #revision = 0;
  #leftOut = 0;

  constructor(identities: () => readonly AnnouncedIdentity[]) {
    this.#identities = identities;
  }

  /** Identities that do not fit the protocol: no peer will accept them. */
  get leftOut(): number {
    return this.#leftOut;
  }

  has(identity: bigint): boolean {
    return this.#announced.has(identity);
  }

  /** For a connection that has heard nothing yet; to be sent before anything else. */
  complete(): readonly Announce[] {
    return this.#messages(true, [...this.#announced.values()], []);
  }

  /** For all connections: what has changed since the last time. Empty: nothing. */
  changes(): readonly Announce[] {
    const next = new Map<bigint, AnnouncedIdentity>();
    this.#leftOut = 0;
    for (const identity of this.#identities()) {
      const fits = next.size < IDENTITIES_MOST || next.has(identity.id);
      const known = this.#announced.get(identity.id);
      const bounded = known !== undefined && sameIdentity(known, identity) ? known : withBoundedPorts(identity);
      if (fits && (bounded === known || announceable(bounded))) next.set(identity.id, bounded);
      else this.#leftOut += 1;
    }
    const withdrawn = [...this.#announced.keys()].filter((id) => !next.has(id));
    const added = [...next.values()].filter((identity) => this.#announced.get(identity.id) !== identity);
    this.#announced = next;
    if (withdrawn.length === 0 && added.length === 0) return [];
    this.#revision += 1;
    return this.#messages(false, added, withdrawn);
  }

  /** Says once more that this runs here. Empty: it does not. */
  answer(identity: bigint): readonly Announce[] {
    const known = this.#announced.get(identity);
    return known === undefined ? [] : this.#messages(false, [known], []);
  }

  #messages(complete: boolean, identities: readonly AnnouncedWorkload[], withdrawn: readonly bigint[]): Announce[] {
    const parts: AnnouncedWorkload[][] = [[]];
    let characters = 0;
    for (const { workload, container, labels, ports } of identities) {
      const one = { workload, container, labels, ports };
      const size = JSON.stringify(one).length;
      let part = parts.at(-1)!;
      if (part.length === WORKLOADS_AT_ONCE || (part.length > 0 && characters + size > CHARACTERS_AT_ONCE)) {
        part = [];
        parts.push(part);
        characters = 0;
      }
      part.push(one);
      characters += size;
    }
    const base = { kind: 'announce', complete, revision: this.#revision } as const;
    return parts.map((workloads, i) => ({
      ...base,
      workloads,
      withdrawn: i === 0 ? withdrawn : [],
      more: i < parts.length - 1,
    }));
  }
}

/** Names of ports are a help for policies; that there are too many must not keep the identity from being known. */
function withBoundedPorts(identity: AnnouncedIdentity): AnnouncedIdentity {
  return identity.ports.length <= BOUNDS.ports
    ? identity
    : { ...identity, ports: identity.ports.slice(0, BOUNDS.ports) };
}

/** The id stands for everything but the ports. */
function sameIdentity(a: AnnouncedIdentity, b: AnnouncedIdentity): boolean {
  return JSON.stringify(a.ports) === JSON.stringify(b.ports.slice(0, BOUNDS.ports));
}
