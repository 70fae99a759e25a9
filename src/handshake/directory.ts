import { deriveIdentity } from '../model/identity.ts';
import { formatWorkload, type Workload } from '../model/workload.ts';
import type { PeerAgents } from './context.ts';
import { ProtocolError } from './errors.ts';
import { type Announce, type AnnouncedWorkload, BOUNDS } from './messages.ts';
import type { AnnouncedIdentity } from './port.ts';
import { mayAnnounce } from './remembered.ts';
import { type AgentSettings, Routes, workloadPatterns } from './routes.ts';
import type { Counters } from './statistics.ts';

/** Most identities of one agent, and most characters of them: some 64 MiB. */
const IDENTITIES_MOST = 65_536;
const CHARACTERS_MOST = 16 << 20;

interface Announcer {
  readonly settings: AgentSettings;
  readonly patterns: readonly Workload[];
  instance: bigint | undefined;
  revision: number;
  identities: Map<bigint, AnnouncedIdentity>;
  characters: number;
}

/** The parts of an announcement that have come on one connection. */
interface Parts {
  readonly connection: object;
  readonly workloads: AnnouncedWorkload[];
  readonly withdrawn: bigint[];
  readonly complete: boolean;
  readonly revision: number;
}

/**
 * Who runs what, as the agents say, and as far as they may. What an agent has announced stays known while it cannot be
 * reached: its containers go on without it.
 */
export class Directory implements PeerAgents {
  readonly #domain: string;
  #routes = new Routes([]);
  #agents = new Map<string, Announcer>();
  /** Agents by identity: the replicas of a workload run on several nodes. */
  readonly #runners = new Map<bigint, Set<string>>();
  readonly #parts = new WeakMap<object, Parts>();
  readonly #counters: Counters;
  readonly #listeners = new Set<(agent: string) => void>();

  /** @throws HandshakeError SETTINGS */
  constructor(domain: string, agents: readonly AgentSettings[], counters: Counters) {
    this.#domain = domain;
    this.#counters = counters;
    this.setAgents(agents);
  }

  /**
   * These may announce from now on. What others have announced is forgotten, and so is what one may no longer announce.
   * @throws HandshakeError SETTINGS, and goes on with the former ones
   */
  setAgents(agents: readonly AgentSettings[]): void {
    const routes = new Routes(agents);
    const patterned = agents.map((settings) => ({ settings, patterns: workloadPatterns(settings) }));
    const next = new Map<string, Announcer>();
    for (const { settings, patterns } of patterned) {
      const nothing = { instance: undefined, revision: 0, identities: new Map(), characters: 0 };
      next.set(settings.name, { ...(this.#agents.get(settings.name) ?? nothing), settings, patterns });
    }
    const former = this.#agents;
    this.#agents = next;
    this.#routes = routes;
    const changed = [...former].filter(([name, { identities }]) => {
      const announcer = next.get(name);
      const lost = [...identities.values()].filter((one) => !announcer || !this.#permitted(announcer, one));
      for (const identity of lost) {
        this.#removeRunner(identity.id, name);
        if (announcer !== undefined) announcer.characters -= sizeOf(identity);
      }
      if (lost.length > 0 && announcer !== undefined) {
        const kept = new Map(announcer.identities);
        for (const { id } of lost) kept.delete(id);
        announcer.identities = kept;
      }
      return lost.length > 0;
    });
    for (const [name] of changed) for (const listener of this.#listeners) listener(name);
  }

  agentAt(address: string): string | undefined {
    return this.#routes.agentAt(address);
  }

  speaksFor(agent: string, identity: bigint): boolean {
    return this.#agents.get(agent)?.identities.has(identity) ?? false;
  }

  agentsOf(identity: bigint): readonly string[] {
    return [...(this.#runners.get(identity) ?? [])];
  }

  workloadOf(identity: bigint): string | undefined {
    const [agent] = this.#runners.get(identity) ?? [];
    const known = agent === undefined ? undefined : this.#agents.get(agent)?.identities.get(identity);
    return known === undefined ? undefined : formatWorkload(known.workload);
  }

  direct(agent: string): boolean {
    return this.#agents.get(agent)?.settings.direct ?? false;
  }

  /** Everything that runs on other nodes; an identity of several nodes once, with the ports that any of them names. */
  identities(): readonly AnnouncedIdentity[] {
    const merged = new Map<bigint, AnnouncedIdentity>();
    for (const { identities } of this.#agents.values()) {
      for (const [id, identity] of identities) {
        const other = merged.get(id);
        merged.set(id, other === undefined ? identity : { ...identity, ports: union(other.ports, identity.ports) });
      }
    }
    return [...merged.values()];
  }

  /** What each agent that has been heard has announced; another map for an agent when that has changed. */
  announced(): ReadonlyMap<string, ReadonlyMap<bigint, AnnouncedIdentity>> {
    const heard = [...this.#agents].filter(([, { instance }]) => instance !== undefined);
    return new Map(heard.map(([name, { identities }]) => [name, identities]));
  }

  /** How many identities each agent has announced. */
  sizes(): ReadonlyMap<string, number> {
    return new Map([...this.#agents].map(([name, { identities }]) => [name, identities.size]));
  }

  onChange(listener: (agent: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * What an agent says it runs. News over two connections may come in any order: the revision tells which is later.
   * @param connection whatever stands for the connection it came on
   * @param instance of the Hello of that connection
   * @throws ProtocolError UNEXPECTED
   */
  announce(agent: string, connection: object, instance: bigint, message: Announce): void {
    const announcer = this.#agents.get(agent);
    if (announcer === undefined) return;
    const parts = this.#collect(connection, message);
    if (message.more) return;
    this.#parts.delete(connection);
    const restarted = announcer.instance !== instance;
    const behind = message.revision - announcer.revision;
    if (restarted && !message.complete)
      throw new ProtocolError('UNEXPECTED', 'A first announcement that is not complete');
    if (!restarted && behind < 0) {
      this.#counters.ignore('announcement');
      return;
    }
    if (!restarted && behind > 1 && !message.complete) {
      throw new ProtocolError(
        'UNEXPECTED',
        `An announcement of revision ${message.revision} after ${announcer.revision}`,
      );
    }
    announcer.instance = instance;
    announcer.revision = message.revision;
    if (this.#apply(announcer, parts, behind === 0 && !restarted))
      for (const listener of this.#listeners) listener(agent);
  }

  #collect(connection: object, message: Announce): Parts {
    const { complete, revision } = message;
    const begun = this.#parts.get(connection);
    if (begun !== undefined && (begun.complete !== complete || begun.revision !== revision)) {
      throw new ProtocolError('UNEXPECTED', 'Another announcement between the parts of one');
    }
    const parts = begun ?? { connection, workloads: [], withdrawn: [], complete, revision };
    parts.workloads.push(...message.workloads);
    parts.withdrawn.push(...message.withdrawn);
    if (parts.workloads.length > IDENTITIES_MOST || parts.withdrawn.length > BOUNDS.withdrawn) {
      throw new ProtocolError('BOUNDS', 'An announcement of too many workloads');
    }
    if (message.more) this.#parts.set(connection, parts);
    return parts;
  }

  /** Whether anything is another than before. `known`: it says nothing about what was known already. */
  #apply(announcer: Announcer, parts: Parts, known: boolean): boolean {
    const former = announcer.identities;
    const next = parts.complete ? new Map<bigint, AnnouncedIdentity>() : new Map(former);
    let characters = parts.complete ? 0 : announcer.characters;
    if (!known) {
      for (const id of parts.withdrawn) {
        const gone = next.get(id);
        if (gone === undefined) continue;
        characters -= sizeOf(gone);
        next.delete(id);
      }
    }
    for (const workload of parts.workloads) {
      const { ports, ...attributes } = workload;
      if (!this.#permitted(announcer, attributes)) {
        this.#counters.ignore('foreign');
        continue;
      }
      const identity = { ...deriveIdentity(this.#domain, attributes), ports };
      const same = next.get(identity.id);
      const added = sizeOf(identity) - (same === undefined ? 0 : sizeOf(same));
      if ((same === undefined && next.size >= IDENTITIES_MOST) || characters + added > CHARACTERS_MOST) {
        this.#counters.limit('identities');
        continue;
      }
      characters += added;
      next.set(identity.id, identity);
    }
    announcer.identities = next;
    announcer.characters = characters;
    const { name } = announcer.settings;
    let changed = false;
    for (const id of former.keys()) if (!next.has(id)) changed = this.#removeRunner(id, name);
    for (const [id, identity] of next) {
      const before = former.get(id);
      if (before === undefined) this.#addRunner(id, name);
      changed ||= before === undefined || !samePorts(before.ports, identity.ports);
    }
    return changed || parts.complete;
  }

  #permitted({ patterns }: Announcer, attributes: Omit<AnnouncedWorkload, 'ports'>): boolean {
    return mayAnnounce(patterns, attributes);
  }

  #addRunner(id: bigint, agent: string): void {
    const runners = this.#runners.get(id);
    if (runners === undefined) this.#runners.set(id, new Set([agent]));
    else runners.add(agent);
  }

  #removeRunner(id: bigint, agent: string): true {
    const runners = this.#runners.get(id);
    runners?.delete(agent);
    if (runners?.size === 0) this.#runners.delete(id);
    return true;
  }
}

function union(a: AnnouncedIdentity['ports'], b: AnnouncedIdentity['ports']): AnnouncedIdentity['ports'] {
  const ports = new Map([...a, ...b].map((port) => [`${port.name} ${port.protocol} ${port.port}`, port]));
  return [...ports.values()];
}

function samePorts(a: AnnouncedIdentity['ports'], b: AnnouncedIdentity['ports']): boolean {
  return (
    a.length === b.length &&
    a.every((port, i) => port.name === b[i]?.name && port.protocol === b[i]?.protocol && port.port === b[i]?.port)
  );
}

function sizeOf({ workload, container, labels, ports }: AnnouncedIdentity): number {
  const { namespace, kind, name } = workload;
  let size = 64 + namespace.length + kind.length + name.length + container.length;
  for (const [key, value] of Object.entries(labels)) size += 16 + key.length + value.length;
  for (const port of ports) size += 32 + port.name.length;
  return size;
}
