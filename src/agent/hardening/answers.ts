/** The API's answers about hardening, from the agent's state and the kernel's. */
import type { HardeningTables, ViolationCount } from '../../datapath/hardening-port.ts';
import { formatIdentity } from '../../model/identity.ts';
import { policyName } from '../../model/policy.ts';
import { formatWorkload } from '../../model/workload.ts';
import type { HardeningStatusView, ProfileDetailView, ProfileRuleView, ProfileView } from '../api/profile-contract.ts';
import { isoTime } from '../api/views.ts';
import { shortId } from '../identifiers.ts';
import { pick } from '../names.ts';
import type { ContainerHardening, Protection } from './containers.ts';

const hex = (id: bigint): string => id.toString(16).padStart(16, '0');

export class HardeningAnswers {
  readonly #tables: HardeningTables;
  readonly #hardening: ContainerHardening;

  constructor(tables: HardeningTables, hardening: ContainerHardening) {
    this.#tables = tables;
    this.#hardening = hardening;
  }

  status(): HardeningStatusView {
    const { active, reason, missing } = this.#tables;
    const protections = this.#hardening.protections();
    const enforced = protections.filter(({ status }) => status.enforced).length;
    return {
      active,
      ...(reason === undefined ? {} : { reason }),
      containers: { total: protections.length, enforced, failed: protections.length - enforced },
      profiles: new Set(protections.flatMap(({ status }) => status.profile ?? [])).size,
      missing: active ? [...missing].map(([hook, why]) => ({ hook, why })) : [],
    };
  }

  /** What of it wants a person's eye. Nothing where nobody asks for hardening. */
  problems(): string[] {
    const { active, reason, containers, missing } = this.status();
    if (containers.total === 0) return [];
    if (!active) return [`${containers.total} containers are not hardened: ${reason}`];
    return [
      ...(containers.failed === 0 ? [] : [`${containers.failed} of ${containers.total} containers are not hardened`]),
      ...missing.map(({ hook, why }) => `what ${hook} guards is not guarded: ${why}`),
    ];
  }

  async profiles(): Promise<readonly ProfileView[]> {
    await this.#tables.countTasks();
    const counters = this.#tables.counters();
    return this.#hardening.protections().map((protection) => viewOf(protection, counters));
  }

  async profile(name: string, namespace?: string): Promise<ProfileDetailView> {
    await this.#tables.countTasks();
    const protections = this.#hardening.protections();
    const inNamespace = protections.filter((one) => one.container.identity.workload.namespace === namespace);
    const preferred = inNamespace.some((one) => means(name, one)) ? inNamespace : protections;
    const found = pick('hardened container', name, preferred, (one) => means(name, one), describe);
    return detailOf(found, this.#tables.counters());
  }
}

/** Its id, at least four digits of it, its name, or its workload's with or without `[container]`. */
function means(text: string, { container }: Protection): boolean {
  if (text === container.id || (text.length >= 4 && container.id.startsWith(text))) return true;
  const match = /^([^[\]]+)(?:\[([^[\]]*)\])?$/.exec(text);
  const [, path = '', inside] = match ?? [];
  if (inside !== undefined && inside !== container.identity.container) return false;
  const { namespace, kind, name } = container.identity.workload;
  const written = path.split('/');
  const named = [namespace, kind, name].slice(-written.length);
  return (inside === undefined && text === container.name) || written.every((part, index) => part === named[index]);
}

function describe({ container }: Protection): string {
  const { workload, container: inside } = container.identity;
  return `${formatWorkload(workload)}${inside === '' ? '' : `[${inside}]`} (${shortId(container.id)})`;
}

function viewOf(
  { container, endpoint, policies, profile, status }: Protection,
  counters: readonly ViolationCount[],
): ProfileView {
  const { namespace, kind, name } = container.identity.workload;
  const mine = counters.filter((counter) => counter.container === container.id && !counter.staged);
  return {
    id: container.id,
    namespace,
    kind,
    name,
    container: container.name,
    identity: formatIdentity(container.identity.id),
    endpoint: endpoint.id,
    pid: container.pid,
    policies: policies.map(policyName).sort(),
    instance: hex(status.instance),
    subject: status.subject,
    ...(profile === undefined ? {} : { wanted: hex(profile.id) }),
    ...(status.profile === undefined ? {} : { inKernel: hex(status.profile) }),
    enforced: status.enforced,
    ...(status.error === undefined ? {} : { error: status.error }),
    tasks: status.tasks,
    pages: profile?.size.pages ?? 0,
    rules: profile?.rules.size ?? 0,
    violations: sum(mine),
  };
}

function detailOf(protection: Protection, counters: readonly ViolationCount[]): ProfileDetailView {
  const { container, profile } = protection;
  const mine = counters.filter((counter) => counter.container === container.id);
  const rules = profile?.rules ?? new Map();
  const ruleList = [...rules].map(([id, ref]): ProfileRuleView => {
    const { namespace, policy, rule, ready, action, mode } = ref;
    const counted = mine.find((counter) => counter.rule === id && counter.staged === (mode === 'Stage'));
    return {
      id,
      policy: namespace === '' ? policy : `${namespace}/${policy}`,
      name: rule,
      ...(ready === undefined ? {} : { ready }),
      action,
      mode,
      violations: Number(counted?.count ?? 0n),
      ...(counted === undefined ? {} : { lastAt: isoTime(counted.lastAt) }),
    };
  });
  return {
    ...viewOf(protection, counters),
    ruleList,
    otherViolations: sum(mine.filter(({ rule, staged }) => !staged && !rules.has(rule))),
    executables: (profile?.executables ?? []).filter((pattern) => pattern !== ''),
    size: profile?.size ?? { states: 0, cells: 0, pages: 0 },
  };
}

function sum(counters: readonly ViolationCount[]): number {
  return Number(counters.reduce((total, { count }) => total + count, 0n));
}
