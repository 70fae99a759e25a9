import { release } from 'node:os';
import { IncidentName, ReasonName } from '../../datapath/layouts.gen.ts';
import type { Agent } from '../agent.ts';
import { VERSION } from '../version.ts';
import type { MetricSources } from './readings.ts';

/** What a scrape reads of the agent. */
export function metricSources(agent: Agent): MetricSources {
  const { config, datapath } = agent.parts;
  const count = <T>(items: Iterable<T>, key: (item: T) => string): ReadonlyMap<string, number> =>
    new Map([...Map.groupBy(items, key)].map(([name, group]) => [name, group.length]));
  return {
    build: { version: VERSION, kernel: release(), node: process.version },
    topRules: config.metrics.topRules,
    ready: () => agent.ready,
    endpoints: () => agent.enforcement.applied.endpoints,
    endpointStatus: () => datapath.endpointStatus(),
    identities: () => agent.enforcement.identities.size,
    policiesByMode: () => {
      const { policies, hardening } = agent.enforcement.applied;
      const modes = count([...policies, ...hardening], (policy) => policy.mode);
      return new Map([['Enforce', 0], ['Stage', 0], ...modes]);
    },
    policyErrors: () => count(agent.policies.ledger.errors, (problem) => problem.code),
    policiesClosed: () =>
      new Map([['size', 0], ['share', 0], ...count(agent.enforcement.overloaded.values(), (why) => why)]),
    sources: () => agent.sources,
    tables: () => datapath.currentTables(),
    ruleCounters: () => datapath.ruleCounters(),
    uncountedRules: () => datapath.uncountedRules,
    drops: () => new Map([...datapath.dropCounters()].map(([reason, counter]) => [ReasonName(reason), counter])),
    incidents: () => new Map([...datapath.incidents()].map(([kind, value]) => [IncidentName(kind), value])),
    mapFill: () => agent.mapFill(),
    programs: () => datapath.programs(),
    revision: () => datapath.revision,
    drift: () => agent.drifted.length,
    lastSuccess: () => (agent.lastSuccess === undefined ? undefined : agent.lastSuccess / 1000),
    followers: () => agent.journal.followers,
    lostToFollowers: () => agent.journal.lostToFollowers,
  };
}
