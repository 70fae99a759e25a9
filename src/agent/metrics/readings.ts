import type { PolicyTables } from '../../compile/tables.ts';
import type { Counter, EndpointStatus, MapFill, ProgramStats } from '../../datapath/port.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import type { Reading, Sample } from './registry.ts';
import { VerdictTotals } from './verdicts.ts';

/** What a scrape reads. Label values come from closed sets: the users' policies, the kernel's enumerations. */
export interface MetricSources {
  readonly build: { readonly version: string; readonly kernel: string; readonly node: string };
  readonly topRules: number;
  readonly ready: () => boolean;
  readonly endpoints: () => readonly Endpoint[];
  readonly endpointStatus: () => readonly EndpointStatus[];
  readonly identities: () => number;
  readonly policiesByMode: () => ReadonlyMap<string, number>;
  /** Present faults of policies by code. */
  readonly policyErrors: () => ReadonlyMap<string, number>;
  /** Policies of whose subjects some are denied everything, by why. */
  readonly policiesClosed: () => ReadonlyMap<string, number>;
  readonly sources: () => readonly { readonly name: string; readonly healthy: boolean; readonly restarts: number }[];
  readonly tables: () => PolicyTables;
  readonly ruleCounters: () => ReadonlyMap<number, Counter>;
  readonly uncountedRules: () => number;
  /** By reason's and incident's name. */
  readonly drops: () => ReadonlyMap<string, Counter>;
  readonly incidents: () => ReadonlyMap<string, bigint>;
  readonly mapFill: () => readonly MapFill[];
  readonly programs: () => readonly ProgramStats[];
  readonly revision: () => number;
  readonly drift: () => number;
  /** Seconds since the epoch; undefined before the first. */
  readonly lastSuccess: () => number | undefined;
  readonly followers: () => number;
  readonly lostToFollowers: () => number;
}

const one = (value: number | bigint): readonly Sample[] => [{ labels: {}, value }];

/** Every metric that is read at the scrape. */
export function readings(from: MetricSources): Reading[] {
  return [...plain(from), ...traffic(from), ...kernel(from)];
}

function plain(from: MetricSources): Reading[] {
  return [
    gauge('sallyport_build_info', 'The versions that run; always 1.', ['version', 'kernel', 'node'], () => [
      { labels: { ...from.build }, value: 1 },
    ]),
    gauge('sallyport_ready', 'Whether everything known is enforced.', [], () => one(from.ready() ? 1 : 0)),
    gauge('sallyport_endpoints', 'Containers of this node.', ['mode', 'state'], () => countEndpoints(from)),
    gauge('sallyport_identities', 'Identities known on this node.', [], () => one(from.identities())),
    gauge('sallyport_policies', 'Policies in force.', ['mode'], () => samples(from.policiesByMode(), 'mode')),
    gauge('sallyport_policy_errors', 'Faults in policy files at present.', ['code'], () =>
      samples(from.policyErrors(), 'code'),
    ),
    gauge(
      'sallyport_policies_closed',
      'Policies with subjects that are denied everything: their rules are too many, or more than their share.',
      ['reason'],
      () => samples(from.policiesClosed(), 'reason'),
    ),
    gauge('sallyport_source_up', 'Whether a source of facts works.', ['source'], () =>
      from.sources().map(({ name, healthy }) => ({ labels: { source: name }, value: healthy ? 1 : 0 })),
    ),
    counter('sallyport_source_restarts_total', 'Times a source of facts had to begin anew.', ['source'], () =>
      from.sources().map(({ name, restarts }) => ({ labels: { source: name }, value: restarts })),
    ),
    gauge('sallyport_reconcile_last_success_timestamp_seconds', 'When a round last succeeded.', [], () => {
      const last = from.lastSuccess();
      return last === undefined ? [] : one(last);
    }),
    gauge('sallyport_event_followers', 'Streams of events that are open.', [], () => one(from.followers())),
    counter('sallyport_follower_events_lost_total', 'Events a follower was too slow for.', [], () =>
      one(from.lostToFollowers()),
    ),
  ];
}

function traffic(from: MetricSources): Reading[] {
  const totals = new VerdictTotals();
  const verdicts = (pick: 'packets' | 'bytes') => () => {
    totals.add(from.ruleCounters(), from.tables().rules);
    return totals.list().map(({ mode, verdict, direction, ...count }) => ({
      labels: { mode, verdict, direction },
      value: count[pick],
    }));
  };
  const rules = (pick: 'packets' | 'bytes') => () =>
    topRules(from).map(([labels, count]) => ({ labels, value: count[pick] }));
  const drops = (pick: 'packets' | 'bytes') => () =>
    [...from.drops()].map(([reason, count]) => ({ labels: { reason }, value: count[pick] }));
  const byVerdict = ['mode', 'verdict', 'direction'];
  const byRule = ['policy', 'rule', 'direction', 'action', 'mode'];
  return [
    counter(
      'sallyport_verdict_packets_total',
      'Packets rules decided: first ones of allowed flows, all denied ones. Stage: what staged ones would have said.',
      byVerdict,
      verdicts('packets'),
    ),
    counter('sallyport_verdict_bytes_total', 'Bytes of the packets rules decided.', byVerdict, verdicts('bytes')),
    counter('sallyport_rule_packets_total', 'Packets the rules hit most decided.', byRule, rules('packets')),
    counter('sallyport_rule_bytes_total', 'Bytes of the packets the rules hit most decided.', byRule, rules('bytes')),
    gauge('sallyport_uncounted_rules', 'Rules that are enforced and have no counter.', [], () =>
      one(from.uncountedRules()),
    ),
    counter('sallyport_drop_packets_total', 'Packets dropped.', ['reason'], drops('packets')),
    counter('sallyport_drop_bytes_total', 'Bytes dropped.', ['reason'], drops('bytes')),
  ];
}

function kernel(from: MetricSources): Reading[] {
  return [
    counter('sallyport_kernel_incidents_total', 'What went wrong without changing a verdict.', ['incident'], () =>
      samples(from.incidents(), 'incident'),
    ),
    gauge('sallyport_map_entries', 'Entries in a kernel table.', ['map'], () =>
      from.mapFill().map(({ name, entries }) => ({ labels: { map: name }, value: entries })),
    ),
    gauge(
      'sallyport_map_capacity',
      'Entries a kernel table has room for; in decision tables, half of it.',
      ['map'],
      () => from.mapFill().map(({ name, maxEntries }) => ({ labels: { map: name }, value: maxEntries })),
    ),
    counter(
      'sallyport_program_runs_total',
      'Runs of a kernel program; needs kernel.bpf_stats_enabled.',
      ['program'],
      () => from.programs().map(({ name, runCount }) => ({ labels: { program: name }, value: runCount })),
    ),
    counter(
      'sallyport_program_run_seconds_total',
      'Time in a kernel program; needs kernel.bpf_stats_enabled.',
      ['program'],
      () =>
        from.programs().map(({ name, runTimeNs }) => ({ labels: { program: name }, value: Number(runTimeNs) / 1e9 })),
    ),
    gauge('sallyport_program_attachments', 'Places a kernel program is attached at.', ['program'], () =>
      from.programs().map(({ name, attachments }) => ({ labels: { program: name }, value: attachments.length })),
    ),
    gauge('sallyport_datapath_revision', 'Changes each time decided flows are decided again.', [], () =>
      one(from.revision()),
    ),
    gauge('sallyport_drift_entries', 'Entries of the kernel that are not what was applied.', [], () =>
      one(from.drift()),
    ),
  ];
}

function countEndpoints(from: MetricSources): Sample[] {
  const status = new Map(from.endpointStatus().map((one) => [one.id, one]));
  const counts = new Map<string, number>();
  for (const { id, mode } of from.endpoints()) {
    const known = status.get(id);
    const failed = known?.error !== undefined ? 'failed' : 'pending';
    const state = mode === 'unprotected' ? 'unprotected' : known?.enforced === true ? 'enforced' : failed;
    counts.set(`${mode} ${state}`, (counts.get(`${mode} ${state}`) ?? 0) + 1);
  }
  return [...counts].map(([key, value]) => {
    const [mode = '', state = ''] = key.split(' ');
    return { labels: { mode, state }, value };
  });
}

function topRules(from: MetricSources): [labels: Sample['labels'], count: Counter][] {
  const { rules } = from.tables();
  const hit = [...from.ruleCounters()].filter(([id, { packets }]) => packets > 0n && rules.has(id));
  hit.sort(([a, x], [b, y]) => (x.packets === y.packets ? a - b : x.packets < y.packets ? 1 : -1));
  return hit.slice(0, from.topRules).flatMap(([id, count]): [Sample['labels'], Counter][] => {
    const rule = rules.get(id);
    if (rule === undefined) return [];
    const { policy, name, direction, action, mode } = rule;
    return [[{ policy, rule: name, direction, action, mode }, count]];
  });
}

function samples(values: ReadonlyMap<string, number | bigint>, label: string): Sample[] {
  return [...values].map(([name, value]) => ({ labels: { [label]: name }, value }));
}

function gauge(name: string, help: string, labels: readonly string[], read: Reading['read']): Reading {
  return { name, help, type: 'gauge', labels, read };
}

function counter(name: string, help: string, labels: readonly string[], read: Reading['read']): Reading {
  return { name, help, type: 'counter', labels, read };
}
