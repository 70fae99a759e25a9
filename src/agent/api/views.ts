import { stringify } from 'yaml';
import type { RuleInfo } from '../../compile/tables.ts';
import type { Counter, EndpointStatus, FlowRecord } from '../../datapath/port.ts';
import { type NameBook, partyOf, ruleReference } from '../../events/decode.ts';
import { type AnyPolicy, isHardening } from '../../model/any-policy.ts';
import { cutReason } from '../../model/cut-labels.ts';
import type { Endpoint } from '../../model/endpoint.ts';
import type { HardeningPolicy } from '../../model/hardening.ts';
import { fromHardening } from '../../model/hardening-manifest.ts';
import { formatIdentity, type Identity } from '../../model/identity.ts';
import { toManifest } from '../../model/manifest.ts';
import { type Direction, type Policy, policyName, policyTitle, ruleName } from '../../model/policy.ts';
import { protocolName } from '../../model/protocol.ts';
import { formatSelector, selects } from '../../model/selector.ts';
import { verdictName } from '../../model/verdict.ts';
import { isApplied } from '../policy-files.ts';
import type {
  CountView,
  EndpointView,
  FlowEndView,
  FlowView,
  HardeningView,
  IdentityView,
  PolicyView,
  SelectingView,
} from './contract.ts';

/** Values of the agent as the API tells them. Pure. */

const NO_COUNT: Counter = { packets: 0n, bytes: 0n };

/** Counters as JSON numbers: exact up to 9·10¹⁵. */
function countView({ packets, bytes }: Counter): CountView {
  return { packets: Number(packets), bytes: Number(bytes) };
}

export function isoTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}

/** What is in force. */
export interface InForce {
  readonly policies: readonly Policy[];
  readonly hardening: readonly HardeningPolicy[];
}

/**
 * Names of the policies that select an identity.
 * @param containers whom hardening is about
 */
function selecting(inForce: InForce, identity: Identity, containers: readonly Identity[]): SelectingView {
  const mine = inForce.policies.filter((policy) => selects(policy.subject, identity));
  const names = (direction: Direction): string[] =>
    mine
      .filter((policy) => policy[direction] !== undefined)
      .map(policyTitle)
      .sort();
  const hardening = inForce.hardening.filter(({ subject }) => containers.some((one) => selects(subject, one)));
  return { ingress: names('ingress'), egress: names('egress'), hardening: hardening.map(policyName).sort() };
}

export function endpointView(endpoint: Endpoint, status: EndpointStatus | undefined, inForce: InForce): EndpointView {
  const { namespace, kind, name } = endpoint.identity.workload;
  const error = endpoint.mode === 'unprotected' ? undefined : (status?.error ?? cutReason(endpoint));
  return {
    id: endpoint.id,
    namespace,
    kind,
    name,
    identity: formatIdentity(endpoint.identity.id),
    mode: endpoint.mode,
    ...(endpoint.reason === undefined ? {} : { reason: endpoint.reason }),
    enforced: status?.enforced ?? false,
    ...(error === undefined ? {} : { error }),
    labels: endpoint.identity.labels,
    containers: endpoint.containers.map(({ cgroup, identity, startedAt, ...container }) => ({
      ...container,
      identity: formatIdentity(identity.id),
      cgroup: { id: String(cgroup.id), path: cgroup.path },
      startedAt: isoTime(startedAt),
    })),
    interfaces: endpoint.interfaces,
    addresses: endpoint.addresses,
    ports: endpoint.ports,
    netns: endpoint.netns,
    policies: selecting(
      inForce,
      endpoint.identity,
      endpoint.containers.map((one) => one.identity),
    ),
    denied: countView(status?.denied ?? NO_COUNT),
  };
}

export function identityView(
  identity: Identity,
  slot: number,
  endpoints: readonly Endpoint[],
  inForce: InForce,
): IdentityView {
  const { namespace, kind, name } = identity.workload;
  const has = (endpoint: Endpoint): boolean =>
    endpoint.identity.id === identity.id || endpoint.containers.some((one) => one.identity.id === identity.id);
  return {
    identity: formatIdentity(identity.id),
    namespace,
    kind,
    name,
    container: identity.container,
    labels: identity.labels,
    slot,
    endpoints: endpoints.filter(has).map((endpoint) => endpoint.id),
    policies: selecting(inForce, identity, [identity]),
  };
}

export interface PolicyFacts {
  readonly policy: AnyPolicy;
  readonly file: string;
  readonly identities: Iterable<Identity>;
  /** Of this policy. */
  readonly rules: readonly RuleInfo[];
  readonly counters: ReadonlyMap<number, Counter>;
}

export function policyView({ policy, file, identities, rules, counters }: PolicyFacts): PolicyView {
  const { kind, namespace, name, mode, priority, subject } = policy;
  return {
    kind,
    namespace,
    name,
    mode,
    priority,
    subject: formatSelector(subject),
    selected: [...identities].filter((identity) => selects(subject, identity)).length,
    ...(isHardening(policy) ? { hardening: hardeningView(policy) } : directionViews(policy)),
    file,
    managed: isApplied(file),
    rules: rules.map((rule) => ({
      id: rule.id,
      direction: rule.direction,
      name: rule.name,
      action: rule.action,
      ...countView(counters.get(rule.id) ?? NO_COUNT),
    })),
    source: stringify(toManifest(policy)),
  };
}

function directionViews({ ingress, egress }: Policy): Pick<PolicyView, Direction> {
  return {
    ...(ingress === undefined ? {} : { ingress: { default: ingress.default, rules: ingress.rules.length } }),
    ...(egress === undefined ? {} : { egress: { default: egress.default, rules: egress.rules.length } }),
  };
}

function hardeningView(policy: HardeningPolicy): HardeningView {
  const { spec } = fromHardening(policy);
  return {
    defaults: policy.defaults,
    rules: (spec.rules ?? []).map((rule, i) => {
      const { name: _, action = 'Deny', executables = [], ready = [], ...about } = rule;
      return { name: ruleName(rule, i), action, executables, about: Object.keys(about), ready };
    }),
  };
}

export function flowView(flow: FlowRecord, names: NameBook): FlowView {
  const end = ({ slot, address, port }: FlowRecord['local']): FlowEndView => {
    const { name, identity, container } = partyOf(names, slot, address, port);
    return {
      name,
      ...(identity === undefined ? {} : { identity }),
      ...(container === undefined ? {} : { container }),
      address,
      port,
    };
  };
  const leaving = flow.direction === 'egress';
  const rule = ruleReference(names, flow.rule);
  const stagedRule = ruleReference(names, flow.stagedRule);
  const differs = flow.stagedVerdict !== flow.verdict || flow.stagedRule !== flow.rule;
  const one = { packets: flow.packets.egress, bytes: flow.bytes.egress };
  const other = { packets: flow.packets.ingress, bytes: flow.bytes.ingress };
  return {
    endpoint: flow.endpoint,
    direction: flow.direction,
    protocol: protocolName(flow.protocol),
    source: end(leaving ? flow.local : flow.remote),
    destination: end(leaving ? flow.remote : flow.local),
    verdict: verdictName(flow.verdict),
    ...(rule === undefined ? {} : { rule }),
    ...(differs
      ? {
          staged: {
            verdict: verdictName(flow.stagedVerdict),
            ...(stagedRule === undefined ? {} : { rule: stagedRule }),
          },
        }
      : {}),
    state: flow.state,
    current: flow.current,
    adopted: flow.adopted,
    createdAt: isoTime(flow.createdAt),
    seenAt: isoTime(flow.seenAt),
    forward: countView(leaving ? one : other),
    backward: countView(leaving ? other : one),
  };
}
