/** Where programs hang: made, taken over from an earlier agent, replaced and removed, each kept by a pin. */
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { BpfError, BpfLink, BpfProgram, ClsactFilter, listLinks } from '../libbpf/index.ts';
import { type CgroupPlace, isTagPin, type Place, type TcPlace, tcPin } from './places.ts';
import type { Programs } from './programs.ts';

/** Ours among the filters of a clsact qdisc: no tool picks these by itself. */
const CLSACT = { priority: 1, handle: 0x5a11 } as const;

/** What holds a program at a place: a pinned link, or a filter that stays without one. */
interface Held {
  readonly place: Place;
  readonly program: string;
  /** Written to the cgroup's storage. */
  owner?: bigint;
  release(): void;
}

export class Attachments {
  readonly #programs: Programs;
  readonly #directory: string;
  readonly #held = new Map<string, Held>();
  readonly #gate = new Map<string, readonly string[]>();
  #tcx = true;
  /** What an earlier agent has left was looked through. */
  #retained = false;

  constructor(programs: Programs, pins: string) {
    this.#programs = programs;
    this.#directory = join(pins, 'links');
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
  }

  /** Whether there is such a program. */
  knows(program: string): boolean {
    return this.#programs.program(program) !== undefined;
  }

  /** Whether `ensure` of each, and `retain` of them alone where that is to follow, have nothing to do with programs. */
  settled(places: ReadonlyMap<string, Place>, alone: boolean): boolean {
    for (const place of places.values()) if (!this.holds(place)) return false;
    return !alone || (this.#retained && this.#held.size === places.size);
  }

  /**
   * Makes sure the program runs at the place: one that an earlier agent left there is replaced in one step.
   * @throws BpfError where the kernel refuses, e.g. because the interface is gone
   */
  ensure(place: Place): void {
    let held = this.#held.get(place.pin);
    if (held?.program !== place.program) {
      const program = this.#program(place.program);
      const release = this.#adopt(place, program) ?? this.#attach(place, program);
      held = { place, program: place.program, release };
      this.#held.set(place.pin, held);
    }
    if (place.kind === 'cgroup') this.#own(place, held);
  }

  /** Whether the program is there. */
  holds({ pin, program }: Place): boolean {
    return this.#held.get(pin)?.program === program;
  }

  /** Takes away what is at other places than these, also what an earlier agent has left. */
  retain(places: ReadonlySet<string>): void {
    this.#release((pin) => !places.has(pin));
    for (const pin of readdirSync(this.#directory)) {
      if (places.has(pin) || pin.startsWith('gate-')) continue;
      removeLink(join(this.#directory, pin));
    }
    if (!this.#tcx) removeFilters(places);
    this.#retained = true;
  }

  /** Whether some container's connections are tagged, be it by an earlier agent. */
  get tagging(): boolean {
    return readdirSync(this.#directory).some(isTagPin);
  }

  /** No container's connections are tagged any more, an earlier agent's neither. */
  removeTaggers(): void {
    this.#release(isTagPin);
    for (const pin of readdirSync(this.#directory)) if (isTagPin(pin)) removeLink(join(this.#directory, pin));
  }

  /** Where each program hangs, for people. */
  described(): ReadonlyMap<string, readonly string[]> {
    const found = new Map<string, readonly string[]>(this.#gate);
    for (const { place, program } of this.#held.values()) {
      const text = place.kind === 'tc' ? `${place.direction} of interface ${place.ifindex}` : `cgroup ${place.path}`;
      found.set(program, [...(found.get(program) ?? []), text]);
    }
    return found;
  }

  /** Attaches the tracepoints, replacing an earlier agent's: the new ones first. */
  attachGate(names: readonly string[]): void {
    for (const name of names) {
      const path = join(this.#directory, `gate-${name}`);
      const program = this.#programs.program(name);
      if (program === undefined) continue;
      const link = program.attach();
      if (existsSync(path)) removeLink(path);
      link.pin(path);
      link.close();
      this.#gate.set(name, ['tracepoint']);
    }
  }

  #program(name: string): BpfProgram {
    const program = this.#programs.program(name);
    if (program === undefined) throw new RangeError(`There is no program "${name}"`);
    return program;
  }

  #release(which: (pin: string) => boolean): void {
    for (const [pin, held] of this.#held) {
      if (!which(pin)) continue;
      held.release();
      this.#held.delete(pin);
    }
  }

  /** Tells the program whose cgroup it is at: there is such a storage only once the program is attached. */
  #own({ owner }: CgroupPlace, held: Held): void {
    if (owner === undefined || held.owner === owner.identity) return;
    this.#programs.owners?.set(owner.cgroup, { identity: owner.identity });
    held.owner = owner.identity;
  }

  #adopt(place: Place, program: BpfProgram): (() => void) | undefined {
    const path = join(this.#directory, place.pin);
    if (!existsSync(path)) return undefined;
    const link = BpfLink.openPinned(path);
    try {
      // A link keeps the storage of the program it was made for: one of another map can be neither read nor written.
      if (place.kind === 'cgroup' && place.owner !== undefined && !this.#sharesOwners(link)) {
        return this.#succeed(place, program, path);
      }
      link.update(program);
      return () => removeLink(path);
    } catch (error) {
      // The interface or cgroup has gone, and its number was given to another: this link holds nothing any more.
      if (!(error instanceof BpfError)) throw error;
      removeLink(path);
      return undefined;
    } finally {
      link.close();
    }
  }

  #sharesOwners(link: BpfLink): boolean {
    const { owners } = this.#programs;
    const program = BpfProgram.openById(link.info().programId);
    try {
      return owners !== undefined && program.info().mapIds.includes(owners.map.id);
    } finally {
      program.close();
    }
  }

  /** Takes the place of a link that cannot be updated: first the new, then not the old. */
  #succeed(place: CgroupPlace, program: BpfProgram, path: string): () => void {
    const link = program.attachCgroup(place.path, place.hook);
    try {
      removeLink(path);
      link.pin(path);
    } finally {
      link.close();
    }
    return () => removeLink(path);
  }

  #attach(place: Place, program: BpfProgram): () => void {
    if (place.kind === 'tc' && !this.#tcx) return attachFilter(place, program);
    const path = join(this.#directory, place.pin);
    let link: BpfLink;
    try {
      link = place.kind === 'cgroup' ? program.attachCgroup(place.path, place.hook) : attachTcx(place, program);
    } catch (error) {
      // Kernels before 6.6 do not know TCX.
      if (place.kind !== 'tc' || !(error instanceof BpfError) || error.errno !== 'EINVAL') throw error;
      this.#tcx = false;
      return attachFilter(place, program);
    }
    try {
      link.pin(path);
    } finally {
      link.close();
    }
    return () => removeLink(path);
  }
}

/** First where the endpoint sends, before anything has changed the packet; last where it receives. */
function attachTcx(place: TcPlace, program: BpfProgram): BpfLink {
  const position = place.direction === 'ingress' ? 'first' : 'last';
  return program.attachTcx({ ifindex: place.ifindex, direction: place.direction, position });
}

function attachFilter(place: TcPlace, program: BpfProgram): () => void {
  const filter: ClsactFilter = program.attachClsact({ ifindex: place.ifindex, direction: place.direction, ...CLSACT });
  return () => filter.detach();
}

/** Takes away everything that hangs anywhere for these pins, whoever made it. */
export function detachAll(pins: string): void {
  const directory = join(pins, 'links');
  if (existsSync(directory)) for (const pin of readdirSync(directory)) removeLink(join(directory, pin));
  removeFilters(new Set());
}

/** Filters need no pin to stay: ours are found by their handle. */
function removeFilters(kept: ReadonlySet<string>): void {
  for (const { ifindex } of listLinks()) {
    for (const direction of ['ingress', 'egress'] as const) {
      if (!kept.has(tcPin(direction, ifindex))) ClsactFilter.find({ ifindex, direction, ...CLSACT })?.detach();
    }
  }
}

/** The pin was all that held the link, and closing it is the end of it. */
function removeLink(path: string): void {
  const link = BpfLink.openPinned(path);
  link.unpin();
  link.close();
}
