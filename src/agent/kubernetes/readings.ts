import type { ReflectorStatistics } from '../../sources/kubernetes/reflector.ts';
import type { Reading, Sample } from '../metrics/registry.ts';
import type { Cluster } from './cluster.ts';
import type { Reporter } from './reporter.ts';

export interface KubernetesSources {
  /** Undefined: there is none. */
  readonly cluster: Cluster | undefined;
  readonly reporter: Reporter | undefined;
}

/** What a scrape reads of the cluster. Label values come from closed sets: the kinds that are followed. */
export function kubernetesReadings({ cluster, reporter }: KubernetesSources): Reading[] {
  const reflectors = () => [...(cluster?.reflectors() ?? [])];
  const each = (value: (statistics: ReflectorStatistics) => number): readonly Sample[] =>
    reflectors().map(([resource, one]) => ({ labels: { resource }, value: value(one.statistics()) }));
  const by = (
    type: Reading['type'],
    name: string,
    help: string,
    value: (statistics: ReflectorStatistics) => number,
  ): Reading => ({ name, help, type, labels: ['resource'], read: () => each(value) });
  return [
    {
      name: 'sallyport_kubernetes_synced',
      help: 'Whether everything of a kind is known.',
      type: 'gauge',
      labels: ['resource'],
      read: () => reflectors().map(([resource, { synced }]) => ({ labels: { resource }, value: synced ? 1 : 0 })),
    },
    by('gauge', 'sallyport_kubernetes_objects', 'Objects of a kind that are kept.', ({ objects }) => objects),
    by('counter', 'sallyport_kubernetes_lists_total', 'Times a kind was listed.', ({ lists }) => lists),
    by('counter', 'sallyport_kubernetes_watches_total', 'Watches that were begun.', ({ watches }) => watches),
    by('counter', 'sallyport_kubernetes_events_total', 'Changes told by watches.', ({ events }) => events),
    by(
      'counter',
      'sallyport_kubernetes_silent_watches_total',
      'Watches made anew because they had fallen silent.',
      ({ silent }) => silent,
    ),
    by(
      'counter',
      'sallyport_kubernetes_malformed_total',
      'Objects and events that could not be understood.',
      ({ malformed }) => malformed,
    ),
    by(
      'gauge',
      'sallyport_kubernetes_last_heard_timestamp_seconds',
      'When the API server last said something of a kind.',
      ({ heardAt }) => heardAt / 1_000,
    ),
    {
      name: 'sallyport_kubernetes_failures_total',
      help: 'Lists and watches that failed.',
      type: 'counter',
      labels: ['resource', 'code'],
      read: () =>
        reflectors().flatMap(([resource, one]) =>
          Object.entries(one.statistics().failures).map(([code, value]) => ({ labels: { resource, code }, value })),
        ),
    },
    {
      name: 'sallyport_kubernetes_identities_refused',
      help: 'Announced identities that are not made from the attributes beside them.',
      type: 'gauge',
      labels: [],
      read: () => (cluster === undefined ? [] : [{ labels: {}, value: cluster.refusedIdentities }]),
    },
    {
      name: 'sallyport_kubernetes_policy_problems',
      help: 'What could not be taken over from Kubernetes’ own network policies.',
      type: 'gauge',
      labels: [],
      read: () => (cluster === undefined ? [] : [{ labels: {}, value: cluster.upstreamProblems.length }]),
    },
    {
      name: 'sallyport_kubernetes_reports_total',
      help: 'Reports of this node to the cluster, by what came of them.',
      type: 'counter',
      labels: ['result'],
      read: () => Object.entries(reporter?.counts ?? {}).map(([result, value]) => ({ labels: { result }, value })),
    },
  ];
}
