import { isGlob } from './glob.ts';
import type { IdentityAttributes } from './identity.ts';
import { literalWorkload, selectorsIntersect, selects, type WorkloadSelector } from './selector.ts';
import { formatWorkload } from './workload.ts';

interface Entry<T> {
  readonly selector: WorkloadSelector;
  readonly item: T;
}

/**
 * Finds the selectors that can mean a same identity as a given one without comparing it with all of them: literal
 * workloads by name, the others by their namespace where that is literal.
 */
export class SelectorIndex<T> {
  readonly #literal = new Map<string, Entry<T>[]>();
  readonly #literalByNamespace = new Map<string, Entry<T>[]>();
  readonly #globByNamespace = new Map<string, Entry<T>[]>();
  readonly #anywhere: Entry<T>[] = [];

  add(selector: WorkloadSelector, item: T): void {
    const entry = { selector, item };
    const workload = literalWorkload(selector);
    const { namespace } = selector.workload;
    if (workload !== undefined) {
      append(this.#literal, formatWorkload(workload), entry);
      append(this.#literalByNamespace, namespace, entry);
    } else if (isGlob(namespace)) {
      this.#anywhere.push(entry);
    } else {
      append(this.#globByNamespace, namespace, entry);
    }
  }

  /** The same of an identity, under each name it has. */
  addIdentity(identity: IdentityAttributes, item: T): void {
    for (const name of namesOf(identity)) this.add(name, item);
  }

  /** Items whose selectors mean an identity, each once. */
  selecting(identity: IdentityAttributes): ReadonlySet<T> {
    const found = new Set<T>();
    for (const name of namesOf(identity)) {
      for (const entries of this.#candidates(name)) {
        for (const { selector, item } of entries) if (selects(selector, identity)) found.add(item);
      }
    }
    return found;
  }

  /** Items whose selectors intersect with this one. */
  *intersecting(selector: WorkloadSelector): Generator<T> {
    for (const entries of this.#candidates(selector)) {
      for (const entry of entries) if (selectorsIntersect(entry.selector, selector)) yield entry.item;
    }
  }

  *#candidates(selector: WorkloadSelector): Generator<readonly Entry<T>[]> {
    const { namespace } = selector.workload;
    const workload = literalWorkload(selector);
    yield this.#anywhere;
    if (workload !== undefined) {
      yield this.#literal.get(formatWorkload(workload)) ?? [];
      yield this.#globByNamespace.get(namespace) ?? [];
    } else if (isGlob(namespace)) {
      yield* this.#literalByNamespace.values();
      yield* this.#globByNamespace.values();
    } else {
      yield this.#literalByNamespace.get(namespace) ?? [];
      yield this.#globByNamespace.get(namespace) ?? [];
    }
  }
}

function namesOf({ workload, aliases = [], container, labels }: IdentityAttributes): WorkloadSelector[] {
  return [workload, ...aliases].map((name) => ({ workload: name, container, labels }));
}

function append<T>(map: Map<string, T[]>, key: string, item: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [item]);
  else list.push(item);
}
