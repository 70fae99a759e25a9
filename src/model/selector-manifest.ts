/** What documents of every kind have in common, from and to their text. */
import { type Network, parseNetwork } from './address.ts';
import type { WorkloadSelector } from './selector.ts';
import { formatWorkload, parseWorkload } from './workload.ts';

export const DEFAULT_PRIORITY = 1000;

export interface SelectorManifest {
  readonly workload: string;
  readonly container?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

/** @param namespace what stands for a namespace that is not written; empty where it must be written */
export function toSelector(written: SelectorManifest, namespace: string): WorkloadSelector {
  const workload = parseWorkload(written.workload, namespace === '' ? undefined : namespace);
  if (workload === undefined) throw unvalidated('workload');
  return { workload, container: written.container ?? '*', labels: written.labels ?? {} };
}

export function fromSelector(selector: WorkloadSelector): SelectorManifest & { workload: string } {
  const { namespaces, expressions } = selector;
  return {
    workload: formatWorkload(selector.workload),
    ...(selector.container === '*' ? {} : { container: selector.container }),
    ...nonEmpty('labels', selector.labels),
    ...(namespaces === undefined ? {} : { namespaces: [...namespaces.values()] }),
    ...(expressions === undefined ? {} : { expressions }),
  };
}

export function nonEmpty<K extends string>(key: K, entries: Readonly<Record<string, string>>) {
  return (Object.keys(entries).length === 0 ? {} : { [key]: entries }) as { [P in K]?: Record<string, string> };
}

export function toNetwork(text: string): Network {
  const parsed = parseNetwork(text);
  if (!('family' in parsed)) throw unvalidated('network');
  return parsed;
}

/** Only a caller that skipped validation gets here. */
export function unvalidated(what: string): TypeError {
  return new TypeError(`cannot make a policy of a document that was not validated: bad ${what}`);
}
