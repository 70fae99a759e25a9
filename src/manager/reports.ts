/** What agents report of their nodes, and which of it counts. Pure. */

import { nodeReportSchema, type ReportedPolicy } from '../model/schema/node-report.ts';
import type { ApiObject } from '../sources/kubernetes/resource.ts';

/** Older reports count for nothing: their agent, or its node, may be gone. */
export const REPORT_AGE_MS = 180_000;
/** Clocks of nodes differ; a report from further ahead is not believed. */
const CLOCK_SKEW_MS = 60_000;

/** A report as it was last seen. */
export interface Report {
  readonly node: string;
  /** Milliseconds since the epoch. */
  readonly observedAt: number;
  readonly ready: boolean;
  readonly hardening: boolean;
  readonly policies: readonly ReportedPolicy[];
}

/** What is kept of a report; undefined for one without a word yet, or that is none. */
export function reportOf(object: ApiObject): Report | undefined {
  const parsed = nodeReportSchema.safeParse(object);
  const status = parsed.data?.status;
  if (status === undefined) return undefined;
  return {
    // What is in a report says nothing of other nodes. RBAC lets every agent write every node's: docs/kubernetes.md.
    node: object.metadata.name,
    observedAt: Date.parse(status.observedAt),
    ready: status.agent.ready,
    hardening: status.hardening.active,
    policies: status.policies,
  };
}

/** Reports that count, by node: of nodes that are there, and not too old. */
export function freshReports(
  reports: Iterable<Report>,
  nodes: ReadonlySet<string>,
  now: number,
): ReadonlyMap<string, Report> {
  const fresh = [...reports].filter(
    ({ node, observedAt }) => nodes.has(node) && observedAt > now - REPORT_AGE_MS && observedAt <= now + CLOCK_SKEW_MS,
  );
  return new Map(fresh.map((report) => [report.node, report]));
}

/** When the next report stops counting; undefined: none does. */
export function nextStale(reports: ReadonlyMap<string, Report>): number | undefined {
  const times = [...reports.values()].map(({ observedAt }) => observedAt + REPORT_AGE_MS);
  return times.length === 0 ? undefined : Math.min(...times);
}

/** What nodes said of a policy, by the policy's key and the node. */
export type PolicyReports = ReadonlyMap<string, ReadonlyMap<string, ReportedPolicy>>;

export function byPolicy(reports: ReadonlyMap<string, Report>): PolicyReports {
  const found = new Map<string, Map<string, ReportedPolicy>>();
  for (const [node, { policies }] of reports) {
    for (const policy of policies) {
      const key = `${policy.kind}/${policy.namespace ?? ''}/${policy.name}`;
      const nodes = found.get(key) ?? new Map<string, ReportedPolicy>();
      found.set(key, nodes.set(node, policy));
    }
  }
  return found;
}
