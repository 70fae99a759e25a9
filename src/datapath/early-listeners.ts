/**
 * Sockets on the host network that listened before tags were written for their container: nobody has told them to ask
 * for options, and no interface is theirs where their answers could get a tag (bpf/lib/countersign.h).
 */
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BpfError, type BpfLink, errnoName } from '../libbpf/index.ts';
import type { Programs } from './programs.ts';

/** In bpf/tag.bpf.c; from Linux 6.12 on. */
export const ADOPTER = 'adopt_listeners';

/** A container at whose cgroup tags are written. */
export interface Tagged {
  readonly endpoint: string;
  readonly pid: number;
  readonly cgroup: bigint;
  /** Of the cgroup's directory. */
  readonly path: string;
}

/** Containers looked after at once: their namespaces are held open meanwhile. `adopted_cgroups` has room for 4,096. */
const SLICE = 64;
/** Of a container's processes, those that are asked where they live. */
const MOST_ASKED = 32;
/** Printed in one namespace: enough for 100,000 listeners. */
const MOST_PRINTED = 1 << 20;

const EINVAL = -22;
const UNKNOWN =
  'what has listened on the host network before answers without tags: this kernel sets no callbacks of listening ' +
  'sockets (TCP_BPF_SOCK_OPS_CB_FLAGS, Linux 6.12)';

/** A network namespace, and whose containers live there. */
interface Neighbourhood {
  readonly descriptor: number;
  readonly endpoints: Set<string>;
}

/**
 * Runs `adopt_listeners` once for each container after `write_tag` has come to its cgroup, one network namespace after
 * the other and off this thread: it goes over all of the node's TCP sockets, 1 to 10 ms. What listens later needs none
 * of this, and until it is done connections from other nodes need a handshake.
 */
export class EarlyListeners {
  readonly #programs: Programs;
  readonly #done = new Set<bigint>();
  readonly #waiting = new Map<bigint, Tagged>();
  readonly #faults = new Map<string, string>();
  #link: BpfLink | undefined;
  #unable: string | undefined;
  #working: Promise<void> | undefined;
  #closed = false;

  constructor(programs: Programs) {
    this.#programs = programs;
  }

  /** Why listeners go without tags: all of them (`adopt_listeners`), or those of an endpoint (`listeners of ID`). */
  get faults(): ReadonlyMap<string, string> {
    if (this.#unable !== undefined) return new Map([[ADOPTER, this.#unable]]);
    return new Map([...this.#faults].map(([endpoint, why]) => [`listeners of ${endpoint}`, why]));
  }

  /** Looks after those among these that it has not yet; where there are no others, forgets the rest. */
  arrange(tagged: readonly Tagged[], alone: boolean): void {
    if (alone) this.#retain(tagged);
    if (this.#closed || this.#unable !== undefined || this.#programs.program(ADOPTER) === undefined) return;
    for (const one of tagged) if (!this.#done.has(one.cgroup)) this.#waiting.set(one.cgroup, one);
    if (this.#waiting.size > 0) this.#working ??= this.#work();
  }

  close(): void {
    this.#closed = true;
    this.#waiting.clear();
    this.#link?.close();
  }

  #retain(tagged: readonly Tagged[]): void {
    const cgroups = new Set(tagged.map(({ cgroup }) => cgroup));
    const endpoints = new Set(tagged.map(({ endpoint }) => endpoint));
    for (const cgroup of this.#done) if (!cgroups.has(cgroup)) this.#done.delete(cgroup);
    for (const cgroup of this.#waiting.keys()) if (!cgroups.has(cgroup)) this.#waiting.delete(cgroup);
    for (const endpoint of this.#faults.keys()) if (!endpoints.has(endpoint)) this.#faults.delete(endpoint);
  }

  async #work(): Promise<void> {
    // Whoever waits for endpoints to be judged does not wait for this.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#waiting.size > 0) {
      const slice = [...this.#waiting.values()].slice(0, SLICE);
      for (const { cgroup } of slice) {
        this.#waiting.delete(cgroup);
        this.#done.add(cgroup);
      }
      try {
        await this.#adopt(slice);
      } catch (error) {
        if (!this.#closed) this.#give(error instanceof Error ? error.message : String(error));
      }
    }
    this.#working = undefined;
  }

  async #adopt(slice: readonly Tagged[]): Promise<void> {
    const cgroups = this.#programs.adoptedCgroups;
    if (cgroups === undefined) return;
    const neighbourhoods = new Map<number, Neighbourhood>();
    try {
      // Without a process there is nobody who listens; when it has one again it is asked for again.
      for (const one of slice) if (!visit(one, neighbourhoods)) this.#done.delete(one.cgroup);
      cgroups.setAll(slice.map(({ cgroup }) => [cgroup, 1]));
      for (const neighbourhood of neighbourhoods.values()) {
        if (this.#closed || this.#unable !== undefined) return;
        await this.#run(neighbourhood);
      }
      if (!this.#closed) cgroups.deleteAll(slice.map(({ cgroup }) => cgroup));
    } finally {
      for (const { descriptor } of neighbourhoods.values()) closeSync(descriptor);
    }
  }

  /** Whose namespace it runs in decides only where it looks; it touches nothing but the sockets of `adopted_cgroups`. */
  async #run({ descriptor, endpoints }: Neighbourhood): Promise<void> {
    this.#link ??= this.#programs.program(ADOPTER)?.attach();
    let trouble: string | undefined;
    try {
      const netns = `/proc/self/fd/${descriptor}`;
      const printed = (await this.#link?.iterate({ netns, most: MOST_PRINTED })) ?? '';
      const refused = refusalsIn(printed);
      if (refused.has(EINVAL)) {
        this.#give(UNKNOWN);
      } else if (refused.size > 0) {
        trouble = [...refused].map(([errno, count]) => `${count} of them: ${errnoName(errno)}`).join(', ');
      }
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      trouble = error.message;
    }
    for (const endpoint of endpoints) {
      if (trouble === undefined) this.#faults.delete(endpoint);
      else this.#faults.set(endpoint, trouble);
    }
  }

  /** It will not be otherwise the next time. */
  #give(why: string): void {
    this.#unable = why;
    this.#waiting.clear();
    this.#link?.close();
  }
}

/** Opens the namespaces of the container's processes; false where it has none any more. */
function visit({ endpoint, pid, path }: Tagged, neighbourhoods: Map<number, Neighbourhood>): boolean {
  let found = false;
  for (const process of new Set([pid, ...processesIn(path)])) {
    const descriptor = openNamespace(process);
    if (descriptor === undefined) continue;
    found = true;
    const { ino } = fstatSync(descriptor);
    const known = neighbourhoods.get(ino);
    if (known === undefined) {
      neighbourhoods.set(ino, { descriptor, endpoints: new Set([endpoint]) });
    } else {
      known.endpoints.add(endpoint);
      closeSync(descriptor);
    }
  }
  return found;
}

function processesIn(cgroup: string): number[] {
  try {
    const pids = readFileSync(join(cgroup, 'cgroup.procs'), 'latin1').split('\n', MOST_ASKED);
    return pids.filter(Boolean).map(Number);
  } catch {
    return []; // gone, or threaded
  }
}

function openNamespace(pid: number): number | undefined {
  try {
    return openSync(`/proc/${pid}/ns/net`, 'r');
  } catch {
    return undefined; // the process has ended
  }
}

/** Its lines are `port outcome`: how many were refused, by errno. */
function refusalsIn(printed: string): ReadonlyMap<number, number> {
  const refused = new Map<number, number>();
  for (const line of printed.split('\n')) {
    const outcome = Number(line.split(' ')[1] ?? 0);
    if (outcome !== 0) refused.set(outcome, (refused.get(outcome) ?? 0) + 1);
  }
  return refused;
}
