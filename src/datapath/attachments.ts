/** Where programs hang: made, taken over from an earlier agent, replaced and removed, each kept by a pin. */
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { BpfError, BpfLink, type BpfProgram, ClsactFilter, listLinks } from '../libbpf/index.ts';
import type { Endpoint } from '../model/endpoint.ts';
import { isShared } from './endpoint-rows.ts';
import type { Programs } from './programs.ts';

/** One place a program is wanted at. `pin` is its name among the pins, and tells the places apart. */
export type Place =
  | {
      readonly pin: string;
      readonly program: string;
      readonly kind: 'tc';
      readonly ifindex: number;
      readonly direction: TcDirection;
    }
  | {
      readonly pin: string;
      readonly program: string;
      readonly kind: 'cgroup';
      readonly path: string;
      readonly hook: CgroupHook;
    };

type TcDirection = 'ingress' | 'egress';
type CgroupHook = 'cgroup_inet_ingress' | 'cgroup_inet_egress';

/** Ours among the filters of a clsact qdisc: no tool picks these by itself. */
const CLSACT = { priority: 1, handle: 0x5a11 } as const;

/** The places an endpoint's packets are judged at. */
export function placesOf(endpoint: Endpoint, cgroupRoot: string): Place[] {
  const places: Place[] = [];
  const cgroups = (program: string, hook: CgroupHook) => {
    for (const { cgroup } of endpoint.containers) {
      places.push({ pin: `${hook}-${cgroup.id}`, program, kind: 'cgroup', path: join(cgroupRoot, cgroup.path), hook });
    }
  };
  if (endpoint.mode === 'interface') {
    for (const { ifindex } of endpoint.interfaces) {
      places.push({
        pin: tcPin('ingress', ifindex),
        program: 'from_endpoint',
        kind: 'tc',
        ifindex,
        direction: 'ingress',
      });
      places.push({ pin: tcPin('egress', ifindex), program: 'to_endpoint', kind: 'tc', ifindex, direction: 'egress' });
    }
    if (isShared(endpoint)) cgroups('to_container', 'cgroup_inet_ingress');
  } else if (endpoint.mode === 'cgroup') {
    cgroups('from_host_endpoint', 'cgroup_inet_egress');
    cgroups('to_host_endpoint', 'cgroup_inet_ingress');
  }
  return places;
}

/** What holds a program at a place: a pinned link, or a filter that stays without one. */
interface Held {
  readonly place: Place;
  readonly program: string;
  release(): void;
}

export class Attachments {
  readonly #programs: Programs;
  readonly #directory: string;
  readonly #held = new Map<string, Held>();
  readonly #gate = new Map<string, readonly string[]>();
  #tcx = true;

  constructor(programs: Programs, pins: string) {
    this.#programs = programs;
    this.#directory = join(pins, 'links');
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
  }

  /**
   * Makes sure the program runs at the place: one that an earlier agent left there is replaced in one step.
   * @throws BpfError where the kernel refuses, e.g. because the interface is gone
   */
  ensure(place: Place): void {
    const held = this.#held.get(place.pin);
    if (held !== undefined && held.program === place.program) return;
    const program = this.#program(place.program);
    const link = this.#adopt(place, program) ?? this.#attach(place, program);
    this.#held.set(place.pin, { place, program: place.program, release: link });
  }

  /** Takes away what is at other places than these, also what an earlier agent has left. */
  retain(places: ReadonlySet<string>): void {
    for (const [pin, held] of this.#held) {
      if (places.has(pin)) continue;
      held.release();
      this.#held.delete(pin);
    }
    for (const pin of readdirSync(this.#directory)) {
      if (places.has(pin) || pin.startsWith('gate-')) continue;
      removeLink(join(this.#directory, pin));
    }
    if (!this.#tcx) removeFilters(places);
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

  #adopt(place: Place, program: BpfProgram): (() => void) | undefined {
    const path = join(this.#directory, place.pin);
    if (!existsSync(path)) return undefined;
    const link = BpfLink.openPinned(path);
    try {
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

type TcPlace = Extract<Place, { kind: 'tc' }>;

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

function tcPin(direction: TcDirection, ifindex: number): string {
  return `tc-${direction}-${ifindex}`;
}

/** The pin was all that held the link, and closing it is the end of it. */
function removeLink(path: string): void {
  const link = BpfLink.openPinned(path);
  link.unpin();
  link.close();
}
