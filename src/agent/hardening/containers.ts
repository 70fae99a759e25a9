/** Which hardening policies select which container, what they come down to, and whether the kernel has it. */
import { createHash } from 'node:crypto';
import type { HardenedContainer, HardeningStatus, HardeningTables } from '../../datapath/hardening-port.ts';
import type { HardeningRuleRef } from '../../hardening/clauses.ts';
import type { CompiledProfile } from '../../hardening/profile.ts';
import type { Container, Endpoint } from '../../model/endpoint.ts';
import type { HardeningPolicy } from '../../model/hardening.ts';
import { selects } from '../../model/selector.ts';
import type { MountAnchors } from '../../sources/anchors.ts';
import { AgentError } from '../errors.ts';
import type { ProfileShelf } from './shelf.ts';

export interface HardeningParts {
  readonly tables: HardeningTables;
  readonly shelf: ProfileShelf;
  /** @throws SourceError */
  readonly mountsOf: (container: Container) => MountAnchors;
}

/** What is asked for. */
export interface WantedHardening {
  readonly endpoints: readonly Endpoint[];
  readonly hardening: readonly HardeningPolicy[];
  /** False while some source has not told all it knows: containers that are missing may still be there. */
  readonly complete: boolean;
}

/** A container that policies select, or did in its life, and how it stands. */
export interface Protection {
  readonly container: Container;
  readonly endpoint: Endpoint;
  readonly policies: readonly HardeningPolicy[];
  /** Absent where the policies cannot be compiled. */
  readonly profile?: CompiledProfile;
  readonly status: HardeningStatus;
}

interface Member {
  readonly container: Container;
  readonly endpoint: Endpoint;
  readonly policies: readonly HardeningPolicy[];
  readonly profile?: CompiledProfile;
  /** Why there is no newer profile. */
  readonly fault?: string;
}

/** This life of a container: its cgroup's number is given to no other while the machine runs. Never 0. */
export function instanceOf({ id, cgroup }: Pick<Container, 'id' | 'cgroup'>): bigint {
  const instance = createHash('sha256').update(`${id}\0${cgroup.id}`).digest().readBigUInt64BE();
  return instance === 0n ? 1n : instance;
}

export class ContainerHardening {
  readonly #parts: HardeningParts;
  /** By container id, as of the last `apply`. */
  #members: ReadonlyMap<string, Member> = new Map();
  #applied: WantedHardening | undefined;

  constructor(parts: HardeningParts) {
    this.#parts = parts;
  }

  /**
   * Makes the kernel judge every selected container by what its policies say. One that none selects any more, in its
   * life, is judged by a profile that allows all: nothing is shed by editing policies that would have to be got again.
   * @throws AgentError KERNEL where some are not judged as they should be; the others are
   */
  async apply(wanted: WantedHardening, anew: boolean): Promise<void> {
    if (!anew && this.#applied !== undefined && same(this.#applied, wanted)) return;
    this.#applied = undefined;
    const members = new Map<string, Member>();
    for (const endpoint of wanted.endpoints) {
      for (const container of endpoint.containers) {
        const member = this.#member(endpoint, container, wanted.hardening);
        if (member !== undefined) members.set(container.id, member);
      }
    }
    if (!wanted.complete) {
      for (const [id, former] of this.#members) if (!members.has(id)) members.set(id, former);
    }
    this.#members = members;
    const { tables, shelf } = this.#parts;
    const hardened = [...members.values()].flatMap((member) => this.#hardened(member) ?? []);
    await tables.apply(hardened, { keepOthers: !wanted.complete });
    shelf.retain();
    const failed = tables.active ? this.protections().filter(({ status }) => !status.enforced) : [];
    const [first] = failed;
    if (first === undefined) {
      this.#applied = wanted;
      return;
    }
    const { container, status } = first;
    const message = `Cannot harden ${failed.length} containers; ${container.name}: ${status.error ?? 'not enforced'}`;
    throw new AgentError('KERNEL', message, { hint: 'see "sallyport profile status" and "sallyport doctor"' });
  }

  /** Every container that is, or was in its life, selected, as the kernel has it now. */
  protections(): readonly Protection[] {
    const statuses = new Map(this.#parts.tables.status().map((status) => [status.id, status]));
    return [...this.#members.values()].map(({ container, endpoint, policies, profile, fault }) => {
      const known = statuses.get(container.id);
      const base: HardeningStatus = known ?? {
        id: container.id,
        instance: instanceOf(container),
        subject: 0,
        wanted: profile?.id ?? 0n,
        tasks: 0,
        enforced: false,
      };
      const status = fault === undefined ? base : { ...base, enforced: false, error: fault };
      return { container, endpoint, policies, ...(profile === undefined ? {} : { profile }), status };
    });
  }

  /** The container a record names by its id; one that is gone is not known any more. */
  containerOf(id: string): { readonly container: Container; readonly endpoint: Endpoint } | undefined {
    return this.#members.get(id);
  }

  /** Of the profile the container has; else as some other profile has it. */
  ruleOf(id: string, rule: number): HardeningRuleRef | undefined {
    return this.#members.get(id)?.profile?.rules.get(rule) ?? this.#parts.shelf.ruleOf(rule);
  }

  #member(endpoint: Endpoint, container: Container, policies: readonly HardeningPolicy[]): Member | undefined {
    const selecting = policies.filter(({ subject }) => selects(subject, container.identity));
    const instance = instanceOf(container);
    if (selecting.length === 0 && !this.#parts.tables.knows(instance)) return undefined;
    const base = { container, endpoint, policies: selecting };
    try {
      return { ...base, profile: this.#parts.shelf.profileOf(container.identity.workload, selecting) };
    } catch (error) {
      const former = this.#members.get(container.id)?.profile;
      const fault = error instanceof Error ? error.message : String(error);
      return { ...base, ...(former === undefined ? {} : { profile: former }), fault };
    }
  }

  /** Undefined where there is nothing to judge by: what the kernel may have of it stays. */
  #hardened({ container, profile }: Member): HardenedContainer | undefined {
    if (profile === undefined) return undefined;
    const { id, cgroup } = container;
    const mounts = (): MountAnchors => this.#parts.mountsOf(container);
    return { id, instance: instanceOf(container), cgroup, profile, mounts };
  }
}

/** Sources and the ledger give the same objects while nothing changes. */
function same(a: WantedHardening, b: WantedHardening): boolean {
  const policies =
    a.hardening === b.hardening ||
    (a.hardening.length === b.hardening.length && a.hardening.every((policy, i) => policy === b.hardening[i]));
  return policies && a.endpoints === b.endpoints && a.complete === b.complete;
}
