/** What else pods are called: by the Services that select them, the account they run as, the node they share. Pure. */
import type { Endpoint } from '../../model/endpoint.ts';
import { globMatch } from '../../model/glob.ts';
import type { IdentityAttributes } from '../../model/identity.ts';
import { formatWorkload, type Workload } from '../../model/workload.ts';
import { HOST_NETWORK_LABEL, makeWorkload, NOISE, SERVICE_ACCOUNT_LABEL } from '../naming.ts';
import type { KnownService } from './services.ts';

type Labels = Readonly<Record<string, string>>;
type Selecting = Pick<KnownService, 'namespace' | 'name' | 'selector'>;

const NOTHING: readonly Workload[] = [];

/** The Services of one moment, and whom they name. */
export class Aliases {
  readonly #byNamespace = new Map<string, { readonly name: Workload; readonly selector: Labels }[]>();
  readonly #known = new Map<string, readonly Workload[]>();
  readonly #named = new WeakMap<IdentityAttributes, IdentityAttributes>();

  constructor(services: Iterable<Selecting>) {
    for (const { namespace, name: written, selector } of services) {
      const name = makeWorkload(namespace, 'Service', written);
      // One that selects by what no identity has, as the name of a single pod, names nobody.
      if (name === undefined || selector === undefined || isPerPod(selector)) continue;
      const others = this.#byNamespace.get(namespace);
      if (others === undefined) this.#byNamespace.set(namespace, [{ name, selector }]);
      else others.push({ name, selector });
    }
  }

  /**
   * Names that an identity has beside its own. Only pods the API server has told of have any, and only those that have
   * their namespace: no Service means pods of another.
   */
  of({ workload, labels }: IdentityAttributes): readonly Workload[] {
    const account = labels[SERVICE_ACCOUNT_LABEL];
    if (account === undefined) return NOTHING;
    const { namespace } = workload;
    // Mostly a handful of identities share their labels.
    const key = JSON.stringify([namespace, Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))]);
    let found = this.#known.get(key);
    if (found === undefined) {
      found = this.#find(namespace, account, labels);
      this.#known.set(key, found);
    }
    return found;
  }

  /** The identity with its names; the same object for the same one. */
  name<T extends IdentityAttributes>(identity: T): T {
    const known = this.#named.get(identity);
    if (known !== undefined) return known as T;
    const aliases = this.of(identity);
    const named = aliases.length === 0 ? identity : { ...identity, aliases };
    this.#named.set(identity, named);
    return named;
  }

  #find(namespace: string, account: string, labels: Labels): readonly Workload[] {
    const names: Workload[] = [];
    const running = account === '' ? undefined : makeWorkload(namespace, 'ServiceAccount', account);
    if (running !== undefined) names.push(running);
    for (const { name, selector } of this.#byNamespace.get(namespace) ?? []) {
      if (Object.entries(selector).every(([label, value]) => Object.hasOwn(labels, label) && labels[label] === value)) {
        names.push(name);
      }
    }
    return names.sort((a, b) => (formatWorkload(a) < formatWorkload(b) ? -1 : 1));
  }
}

/** Whether a selector asks for a label that makes no part of identities. */
export function isPerPod(selector: Labels): boolean {
  return Object.keys(selector).some((key) => NOISE.some((pattern) => globMatch(pattern, key)));
}

/**
 * An endpoint of a node with all names of its identities. Whoever shares the node's network is called by the node, too: as
 * far as the node itself is concerned, since the same workload on another node is the same identity.
 */
export function nameEndpoint(endpoint: Endpoint, aliases: Aliases, node: string): Endpoint {
  const own: Workload = { namespace: '', kind: 'Node', name: node };
  const name = <T extends IdentityAttributes>(identity: T): T => {
    const named = aliases.name(identity);
    if (identity.labels[HOST_NETWORK_LABEL] !== 'true') return named;
    return { ...named, aliases: [own, ...(named.aliases ?? NOTHING)] };
  };
  const identity = name(endpoint.identity);
  const containers = endpoint.containers.map((one) => {
    const named = name(one.identity);
    return named === one.identity ? one : { ...one, identity: named };
  });
  const same = identity === endpoint.identity && containers.every((one, i) => one === endpoint.containers[i]);
  return same ? endpoint : { ...endpoint, identity, containers };
}
