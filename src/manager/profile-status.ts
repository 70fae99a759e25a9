/** What is said of generated profiles. Pure. */
import type { HardeningProfileResource } from '../model/schema/hardening-profile.ts';
import { conditionsOf, counted, listed, type Said } from './conditions.ts';
import { keyOfPolicy } from './policies.ts';
import type { ProfileGroup, ProfileObject } from './profiles.ts';
import type { PolicyReports, Report } from './reports.ts';
import type { Lasting } from './shortfalls.ts';

export type ProfileStatus = NonNullable<HardeningProfileResource['status']>;

export interface ProfileStatusInput {
  /** Those that count, by node. */
  readonly reports: ReadonlyMap<string, Report>;
  /** The same, by policy. */
  readonly byPolicy: PolicyReports;
  /** Nodes that see fewer containers of a policy than run there. */
  readonly short: Lasting;
  readonly generation: number;
  readonly before: ProfileStatus['conditions'];
  readonly now: number;
}

/** A node has a profile when it has every policy of every container of the workload that runs there. */
export function profileStatus(profile: ProfileObject, input: ProfileStatusInput): ProfileStatus {
  const { generation, before, now } = input;
  const placed = profile.groups.flatMap(({ identities }) => identities).flatMap(({ nodes }) => [...nodes.keys()]);
  const nodes = [...new Set(placed)].sort();
  const states = Map.groupBy(nodes, (node) => stateOn(node, profile.groups, input));
  const [enforced = [], failed = [], waiting = []] = [states.get('has'), states.get('failed'), states.get('waits')];
  const said = [compiled(profile), enforcement(nodes.length, enforced, failed, waiting)] as const;
  return {
    observedGeneration: generation,
    conditions: conditionsOf<'Compiled' | 'Enforced'>(said, before, generation, now),
    nodes: { total: nodes.length, enforced: enforced.length, failed: failed.length },
  };
}

function stateOn(
  node: string,
  groups: readonly ProfileGroup[],
  { reports, byPolicy, short }: ProfileStatusInput,
): 'has' | 'failed' | 'waits' {
  const report = reports.get(node);
  if (report === undefined) return 'waits';
  if (!report.hardening) return 'failed';
  const here = groups.filter(({ identities }) => identities.some(({ nodes }) => nodes.has(node)));
  const policies = new Set(here.flatMap((group) => group.policies));
  const states = [...policies].map(({ object }) => {
    const key = keyOfPolicy(object);
    if (short.get(key)?.has(node)) return 'Idle';
    const said = byPolicy.get(key)?.get(node);
    return said?.generation === object.generation ? said.state : 'Idle';
  });
  if (states.some((state) => state === 'Failed' || state === 'Rejected')) return 'failed';
  return states.includes('Idle') ? 'waits' : 'has';
}

function compiled({ failures }: ProfileObject): Said<'Compiled'> {
  const [first] = failures;
  return first === undefined
    ? { type: 'Compiled', status: 'True', reason: 'Compiled', message: 'The kernel can hold it.' }
    : { type: 'Compiled', status: 'False', reason: 'TooLarge', message: first };
}

function enforcement(
  total: number,
  enforced: readonly string[],
  failed: readonly string[],
  waiting: readonly string[],
): Said<'Enforced'> {
  const type = 'Enforced';
  if (total === 0) {
    return { type, status: 'Unknown', reason: 'NothingRuns', message: 'No container of the workload runs.' };
  }
  if (failed.length > 0) {
    return { type, status: 'False', reason: 'Failed', message: `It is not in force on ${listed(failed)}.` };
  }
  const nodes = counted(total, 'node');
  if (waiting.length > 0) {
    const message = `${enforced.length} of ${nodes} reported it; waiting for ${listed(waiting)}.`;
    return { type, status: 'False', reason: 'Pending', message };
  }
  return { type, status: 'True', reason: 'Enforced', message: `In force on ${nodes}.` };
}
