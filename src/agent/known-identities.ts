import { sameIdentity } from '../compile/identity-index.ts';
import type { KnownIdentity } from '../compile/input.ts';
import { PatchedMap } from '../compile/patched-map.ts';
import type { Endpoint, NamedPort } from '../model/endpoint.ts';
import type { Identity } from '../model/identity.ts';
import { formatWorkload, type Workload } from '../model/workload.ts';

/** By id. */
export type Identities = PatchedMap<bigint, KnownIdentity>;

/**
 * All identities, here and elsewhere, each once, with all names its ports have. It is told of all of them each time, and
 * mostly one of thousands is new: what it gives shares with what it gave before all that has not changed.
 */
export class KnownIdentities {
  #known: Identities = new PatchedMap();
  #telling = 0;
  /** In which telling each was last told of; negative: more than once. Kept, because thousands would be garbage each time. */
  #told = new Map<bigint, number>();

  update(endpoints: readonly Endpoint[], elsewhere: readonly KnownIdentity[]): Identities {
    this.#telling += 1;
    const merged = this.#merged(endpoints, elsewhere);
    const edit = this.#known.edit();
    const put = (identity: KnownIdentity): void => {
      const known = edit.get(identity.id);
      if (known === undefined || (known !== identity && !sameIdentity(known, identity)))
        edit.set(identity.id, identity);
    };
    for (const identity of merged.values()) put(identity);
    for (const identity of elsewhere) if (!merged.has(identity.id)) put(identity);
    for (const id of this.#known.keys()) if (!this.#isTold(id)) edit.delete(id);
    this.#known = edit.done();
    if (this.#told.size > 2 * this.#known.size) this.#told = new Map();
    return this.#known;
  }

  /** Those that run here, and those that more than one has told of. */
  #merged(endpoints: readonly Endpoint[], elsewhere: readonly KnownIdentity[]): ReadonlyMap<bigint, KnownIdentity> {
    const merged = new Map<bigint, KnownIdentity>();
    const add = (identity: Identity, named: readonly NamedPort[]): void => {
      const known = merged.get(identity.id);
      const aliases = mergeAliases(known?.aliases ?? [], identity.aliases ?? []);
      const ports = mergePorts(known?.ports ?? [], named);
      merged.set(identity.id, { ...identity, ports, ...(aliases.length === 0 ? {} : { aliases }) });
    };
    for (const { identity, containers, ports } of endpoints) {
      for (const one of [identity, ...containers.map((container) => container.identity)]) {
        add(one, ports);
        this.#told.set(one.id, -this.#telling);
      }
    }
    for (const { id } of elsewhere) this.#told.set(id, this.#isTold(id) ? -this.#telling : this.#telling);
    for (const identity of elsewhere) {
      if (this.#told.get(identity.id) === -this.#telling) add(identity, identity.ports);
    }
    return merged;
  }

  #isTold(id: bigint): boolean {
    return Math.abs(this.#told.get(id) ?? 0) === this.#telling;
  }
}

/** Whoever runs here has a name more than the same one elsewhere: the node's. */
function mergeAliases(known: readonly Workload[], more: readonly Workload[]): readonly Workload[] {
  if (known.length === 0 || known === more) return more;
  return [...new Map([...known, ...more].map((one) => [formatWorkload(one), one])).values()];
}

function mergePorts(known: readonly NamedPort[], more: readonly NamedPort[]): readonly NamedPort[] {
  const key = ({ name, protocol, port }: NamedPort): string => `${name} ${protocol} ${port}`;
  return [...new Map([...known, ...more].map((port) => [key(port), port])).values()];
}
