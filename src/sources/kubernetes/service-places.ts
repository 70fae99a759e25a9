/** Services that select no pods, as peers of our own policies: what somebody has written where they lead. Pure. */
import { globMatch, isGlob } from '../../model/glob.ts';
import type { WorkloadSelector } from '../../model/selector.ts';
import type { KnownSlice } from './endpoint-slices.ts';
import type { KnownService } from './services.ts';

/** Addresses of all that one peer means; those beyond, in the order of their texts, are not meant. */
const MOST_ADDRESSES = 1_000;

interface Place {
  readonly namespace: string;
  readonly name: string;
  readonly addresses: Set<string>;
}

export class ServicePlaces {
  readonly #places = new Map<string, Place>();

  constructor(services: Iterable<KnownService>, slices: Iterable<KnownSlice>) {
    const selectors = new Map<string, boolean>();
    for (const { namespace, name, selector } of services) selectors.set(`${namespace}/${name}`, selector !== undefined);
    for (const { namespace, service: name, addresses } of slices) {
      const key = `${namespace}/${name}`;
      // Pods that a Service selects are who it means, whatever else somebody writes behind it.
      if (selectors.get(key) !== false) continue;
      let place = this.#places.get(key);
      if (place === undefined) {
        place = { namespace, name, addresses: new Set() };
        this.#places.set(key, place);
      }
      for (const address of addresses) place.addresses.add(address);
    }
  }

  /**
   * Where those lead that are meant. Nowhere, where labels or a container are asked for, which no address has; nor where the
   * namespace is not written out: whoever has one could add addresses of his choice to what is said of all.
   */
  addressesOf(selector: WorkloadSelector): string[] {
    const { workload, namespaces, container, labels, expressions } = selector;
    if (isGlob(workload.namespace) || namespaces !== undefined) return [];
    if (container !== '*' || expressions !== undefined || Object.keys(labels).length > 0) return [];
    const found = new Set<string>();
    for (const { addresses } of this.#meant(workload.namespace, workload.name)) {
      for (const address of addresses) found.add(address);
    }
    return [...found].sort().slice(0, MOST_ADDRESSES);
  }

  #meant(namespace: string, name: string): readonly Place[] {
    if (!isGlob(name)) {
      const place = this.#places.get(`${namespace}/${name}`);
      return place === undefined ? [] : [place];
    }
    return [...this.#places.values()].filter((place) => place.namespace === namespace && globMatch(name, place.name));
  }
}
