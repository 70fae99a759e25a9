import { basename } from 'node:path';
import type { Gate, GateOpening, GateRecord, WaitingContainer } from '../../datapath/gate/port.ts';
import type { Notice } from '../../events/journal.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import type { CgroupHint } from '../../sources/source.ts';
import type { Config } from '../config.ts';

/** Why a container was let go. */
export const OPENINGS = ['enforced', 'unclaimed', 'timeout', 'stopped'] as const;
export type Opening = (typeof OPENINGS)[number];

export interface GatekeeperParts {
  readonly gate: Gate;
  readonly config: Pick<Config, 'gate' | 'sources'>;
  /** Cgroups that must not wait for us: our own. */
  readonly own: readonly string[];
  readonly now: () => number;
  /** Somebody may be able to tell whose it is now. */
  readonly hint: (hint: CgroupHint) => void;
  /** The endpoints for which all is in the kernel, as of the last round; asked only while somebody waits. */
  readonly standing: () => readonly Endpoint[];
  /** Whether anybody could ever tell of a container. */
  readonly hasSources: () => boolean;
  readonly note: (notice: Notice) => void;
  readonly onOpened: (reason: Opening, heldMs: number | undefined) => void;
  readonly onTimeout: (outcome: 'open' | 'kill') => void;
}

/** Sources are asked again while somebody waits, after this long at first, at last this often, milliseconds. */
const ASK_FIRST_MS = 5;
const ASK_LAST_MS = 500;
/** How long past its time a container may wait at most, milliseconds. */
const SWEEP_MS = 100;

interface Waiting extends WaitingContainer {
  /** Milliseconds since the epoch. */
  readonly deadline: number;
  /** It was to be killed: whatever comes into it is, too. */
  condemned: boolean;
}

/**
 * Lets containers go that wait to begin: when the round that includes theirs has been applied to the kernel, when
 * nobody has told of them in time, when there is nobody who could. The kernel stops them whether or not we look.
 */
export class Gatekeeper {
  readonly #parts: GatekeeperParts;
  readonly #waiting = new Map<bigint, Waiting>();
  /** Why not all could be reached of those that were let go. */
  readonly #stuck = new Map<bigint, string>();
  #sweeper: NodeJS.Timeout | undefined;
  #asking: NodeJS.Timeout | undefined;
  #askAfterMs = ASK_FIRST_MS;
  /** A round has ended. */
  #began = false;
  #closed = false;

  constructor(parts: GatekeeperParts) {
    this.#parts = parts;
  }

  get enabled(): boolean {
    return this.#parts.config.gate.enabled;
  }

  get waiting(): readonly WaitingContainer[] {
    return [...this.#waiting.values()];
  }

  /** What is wrong, for people. */
  get problems(): readonly string[] {
    return [...this.#stuck.values()];
  }

  /** From now on new containers wait, or no longer do; those that an earlier agent has left waiting are taken over. */
  start(): void {
    const { gate, config, own } = this.#parts;
    const { enabled, cgroups, except, staleAfter, whenStale, whenFull } = config.gate;
    const containers = [...new Set([...cgroups, ...config.sources.cgroups.flatMap(({ path }) => patternOf(path))])];
    const exceptions = [...except, ...own];
    gate.configure({ on: enabled, containers, exceptions, staleAfterMs: staleAfter, whenStale, whenFull });
    if (!enabled) gate.openAll();
    this.look();
  }

  /** Looks for containers whose waiting was told of when nobody listened, and forgets those that are gone. */
  look(): void {
    if (this.#closed) return;
    const found = this.#parts.gate.waiting();
    for (const container of found) this.#add(container);
    const present = new Set(found.map(({ cgroup }) => cgroup));
    for (const cgroup of this.#waiting.keys()) if (!present.has(cgroup)) this.#waiting.delete(cgroup);
    this.#openClaimed();
    this.#freeStuck();
    this.#watch();
  }

  receive(records: readonly GateRecord[]): void {
    if (this.#closed) return;
    for (const record of records) {
      if (record.operation === 'stopped') this.#stopped(record);
      else this.#tell(record);
      // It may have begun in the moment before it was to be killed.
      if (record.operation === 'condemned') this.#parts.gate.kill(record.cgroup);
    }
    this.#openClaimed();
    this.#watch();
  }

  /** A round has ended. */
  applied(): void {
    this.#began = true;
    this.#openClaimed();
    this.#watch();
  }

  /**
   * @param open nothing is enforced any more. Then, and where without an agent containers are to begin, all are let go
   * that wait, and nobody waits any more; else they wait for the next agent.
   */
  close(open: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#sweeper);
    clearTimeout(this.#asking);
    if (!open && this.#parts.config.gate.whenStale === 'closed') return;
    for (const container of [...this.#waiting.values()]) this.#open(container, 'stopped');
    this.#parts.gate.openAll();
  }

  /** A container may be told of before we hear that it waits. */
  #openClaimed(): void {
    if (this.#waiting.size === 0 || this.#closed || !this.#began) return;
    const standing = this.#parts.standing();
    const hopeless = !this.#parts.hasSources();
    for (const container of [...this.#waiting.values()]) {
      if (container.condemned) continue;
      if (isClaimed(container, standing)) this.#open(container, 'enforced');
      else if (hopeless) this.#open(container, 'unclaimed');
    }
  }

  #stopped({ cgroup }: GateRecord): void {
    const known = this.#waiting.get(cgroup);
    if (known?.condemned === true) {
      this.#parts.gate.kill(cgroup);
      return;
    }
    const container = known ?? this.#parts.gate.find(cgroup);
    if (container !== undefined) this.#add(container);
  }

  #add(container: WaitingContainer): void {
    if (this.#waiting.has(container.cgroup)) return;
    const deadline = this.#parts.now() + this.#parts.config.gate.timeout;
    this.#waiting.set(container.cgroup, { ...container, deadline, condemned: false });
    this.#ask(container);
    this.#askAfterMs = ASK_FIRST_MS;
    clearTimeout(this.#asking);
    this.#asking = undefined;
  }

  #open(container: Waiting, reason: Opening): void {
    const { cgroup, name } = container;
    this.#waiting.delete(cgroup);
    const { heldMs, error }: GateOpening = this.#parts.gate.open(cgroup);
    this.#parts.onOpened(reason, heldMs);
    if (error === undefined) return;
    this.#stuck.set(cgroup, `${name} cannot begin: ${error.message}`);
    this.#note(name, 'error', 'stuck', `it was let go and could not be continued: ${error.message}`);
  }

  /** Also those of an earlier agent, which may have had fewer rights. */
  #freeStuck(): void {
    const unreached = this.#parts.gate.unreached();
    for (const cgroup of this.#stuck.keys()) if (!unreached.has(cgroup)) this.#stuck.delete(cgroup);
    for (const cgroup of unreached) {
      const { error } = this.#parts.gate.open(cgroup);
      if (error === undefined) this.#stuck.delete(cgroup);
      else if (!this.#stuck.has(cgroup)) this.#stuck.set(cgroup, `cgroup ${cgroup} cannot begin: ${error.message}`);
    }
  }

  #watch(): void {
    if (this.#waiting.size === 0) {
      clearInterval(this.#sweeper);
      clearTimeout(this.#asking);
      this.#sweeper = undefined;
      this.#asking = undefined;
      return;
    }
    this.#sweeper ??= setInterval(() => this.#sweep(), SWEEP_MS);
    this.#asking ??= setTimeout(() => {
      this.#asking = undefined;
      this.#askAfterMs = Math.min(ASK_LAST_MS, this.#askAfterMs * 2);
      for (const container of this.#waiting.values()) if (!container.condemned) this.#ask(container);
      this.#watch();
    }, this.#askAfterMs);
  }

  #ask({ cgroup, name, pid }: WaitingContainer): void {
    this.#parts.hint({ operation: 'waiting', cgroup, name, pid });
  }

  #sweep(): void {
    const now = this.#parts.now();
    for (const container of [...this.#waiting.values()]) {
      if (container.condemned || now < container.deadline) continue;
      const { onTimeout } = this.#parts.config.gate;
      this.#parts.onTimeout(onTimeout);
      if (onTimeout === 'kill') {
        container.condemned = true;
        this.#parts.gate.kill(container.cgroup);
      } else {
        this.#open(container, 'timeout');
      }
      this.#note(container.name, 'warning', onTimeout === 'kill' ? 'killed' : 'opened', TIMED_OUT);
    }
    this.#watch();
  }

  #tell(record: GateRecord): void {
    const { name, cgroup } = record;
    const told = words(record);
    if (told !== undefined) this.#note(name === '' ? `cgroup ${cgroup}` : name, ...told);
  }

  #note(subject: string, severity: Notice['severity'], action: string, message: string): void {
    this.#parts.note({ type: 'gate', severity, action, subject, message });
  }
}

const TIMED_OUT = 'no source told of it in time, or it could not be protected: see gate.timeout';

/** The gate's pattern for a path of `sources.cgroups`; none where that can match nothing. */
function patternOf(path: string): readonly string[] {
  const parts = path.split('/').filter((part) => part !== '');
  if (parts.length === 0 || parts.includes('.') || parts.includes('..')) return [];
  return [`/${parts.map((part) => part.replaceAll(/\*+/g, '*')).join('/')}`];
}

/** What the kernel did, for people; undefined where it is nothing out of the ordinary. */
function words({
  operation,
  pid,
  by,
}: GateRecord): [severity: Notice['severity'], action: string, message: string] | undefined {
  const who = `process ${pid}`;
  switch (operation) {
    case 'stopped':
      return undefined;
    case 'stale':
      return ['warning', 'opened', 'there was no agent: it began unjudged'];
    case 'full':
      return ['warning', 'opened', 'there was no room for another one that waits: it began unjudged'];
    case 'killed':
      return ['error', 'killed', `there was no room for another one that waits (${who})`];
    case 'continued':
      return ['warning', 'held', `${who} was continued from cgroup ${by}, and stopped again`];
    case 'condemned':
      return ['error', 'killed', `${who} was continued by another container, from cgroup ${by}`];
    case 'refused':
      return ['warning', 'held', `cgroup ${by} tried to continue or trace ${who}, and was refused`];
  }
}

/** Whether one of the endpoints is this life of the container, or the sandbox whose pause container it is. */
export function isClaimed({ cgroup, name }: WaitingContainer, endpoints: readonly Endpoint[]): boolean {
  return endpoints.some(({ id, containers }) => {
    if (containers.some((container) => container.cgroup.id === cgroup)) return true;
    // A container that is started anew has its old id and another cgroup.
    return names(name, id) && !containers.some((container) => container.id === id);
  });
}

function names(cgroup: string, id: string): boolean {
  const own = basename(cgroup, '.scope');
  return id !== '' && (own === id || own.endsWith(`-${id}`));
}

/**
 * Patterns for our own container, where we run in one: a later one of ours could not wait for us. In a pod that is
 * every container of the pod.
 * @param path of our cgroup below the cgroup2 mount
 * @param isContainer whether a path is one that waits
 */
export function ownCgroups(path: string, isContainer: (path: string) => boolean): readonly string[] {
  const parts = path.split('/').slice(1);
  const depth = parts.findIndex((_, index) => isContainer(`/${parts.slice(0, index + 1).join('/')}`));
  if (depth < 0) return [];
  const above = parts.slice(0, depth);
  const inPod = /pod/.test(above.at(-1) ?? '');
  return [`/${[...above, inPod ? '**' : parts[depth]].join('/')}`];
}
