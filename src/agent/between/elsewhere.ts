import type { AgentSettings, Handshake } from '../../handshake/index.ts';
import { Remembered, type SavedAnnouncement, saveAnnouncement } from '../../handshake/index.ts';
import { fairShare } from '../../model/fair-share.ts';
import { formatIdentity } from '../../model/identity.ts';
import type { Wanted } from '../enforcement.ts';

type Announced = ReturnType<Handshake['announced']>;

/** Who is known to run on other nodes, and how many more their agents have announced than there is room for. */
export interface Known {
  readonly identities: Wanted['elsewhere'];
  readonly beyond: number;
}
type Entry = readonly [key: string, value: SavedAnnouncement];

/** Sorts behind all keys that begin with a time, so that the two kinds lie apart in the store. */
const MARK = '~';

/**
 * Who runs on other nodes: as their agents say, and where one has not been heard since the start, as it said before.
 * Else the first round of a new agent would make the kernel forget everybody whose agent has not been reached yet, and
 * with them what has been verified.
 */
export class Elsewhere {
  readonly #remembered: Remembered;
  readonly #room: number;
  /** As it is in the store, by agent. */
  readonly #saved = new Map<string, Set<string>>();
  /** What was saved last of an agent; another object when that has changed. */
  readonly #last = new Map<string, object>();
  /** Keys of agents that are none any more. */
  readonly #dismissed: string[] = [];

  /**
   * @param room for so many identities; where there are more, no agent's take that of the others
   * @param stored all that is in the store, of which this takes its own
   * @throws HandshakeError SETTINGS
   */
  constructor(domain: string, agents: readonly AgentSettings[], room: number, stored: ReadonlyMap<string, unknown>) {
    this.#room = room;
    const own = [...stored].filter(([key]) => isAnnouncement(key));
    this.#remembered = new Remembered(
      domain,
      agents,
      own.map(([, value]) => value),
    );
    for (const [key] of own) {
      const keys = this.#saved.get(agentOf(key)) ?? new Set();
      this.#saved.set(agentOf(key), keys.add(key));
    }
    this.#dismiss(agents);
  }

  /** @throws HandshakeError SETTINGS, and goes on with the former ones */
  setAgents(agents: readonly AgentSettings[]): void {
    this.#remembered.setAgents(agents);
    this.#dismiss(agents);
  }

  /** What others than these have announced need not be stored any longer. */
  #dismiss(agents: readonly AgentSettings[]): void {
    const names = new Set(agents.map(({ name }) => name));
    for (const [agent, keys] of this.#saved) {
      if (names.has(agent)) continue;
      this.#dismissed.push(...keys);
      this.#saved.delete(agent);
      this.#last.delete(agent);
    }
  }

  /** @param announced what has been heard since the start */
  known(announced: Announced): Known {
    for (const agent of announced.keys()) this.#remembered.heard(agent);
    const byAgent = [
      ...this.#remembered.byAgent(),
      ...Array.from(announced, ([agent, known]) => [agent, [...known.values()]] as const),
    ];
    const all = byAgent.flatMap(([, identities]) => identities);
    // Mostly there is room, and nobody need be counted.
    const distinct = all.length <= this.#room ? all.length : new Set(all.map(({ id }) => id)).size;
    if (distinct <= this.#room) return { identities: all, beyond: 0 };
    const told = byAgent.flatMap(([agent, identities]) => identities.map((identity) => ({ agent, identity })));
    const identities = fairShare(told, this.#room, ({ agent }) => agent).map(({ identity }) => identity);
    return { identities, beyond: distinct - new Set(identities.map(({ id }) => id)).size };
  }

  /** What is to be stored, and no longer stored, since the last call. */
  takeChanges(announced: Announced): { readonly saved: readonly Entry[]; readonly gone: readonly string[] } {
    const saved: Entry[] = [];
    const gone = this.#dismissed.splice(0);
    for (const [agent, known] of announced) {
      if (this.#last.get(agent) === known) continue;
      this.#last.set(agent, known);
      const entries = Array.from(
        known.values(),
        (one) => [keyOf(agent, one.id), saveAnnouncement(agent, one)] as const,
      );
      const keys = new Set(entries.map(([key]) => key));
      for (const key of this.#saved.get(agent) ?? []) if (!keys.has(key)) gone.push(key);
      this.#saved.set(agent, keys);
      // What has not changed the store does not write again.
      saved.push(...entries);
    }
    return { saved, gone };
  }
}

/** Whether a key of the store is of one of these. */
export function isAnnouncement(key: string): boolean {
  return key.startsWith(MARK);
}

function keyOf(agent: string, identity: bigint): string {
  return `${MARK}${agent} ${formatIdentity(identity)}`;
}

function agentOf(key: string): string {
  return key.slice(MARK.length, key.lastIndexOf(' '));
}
