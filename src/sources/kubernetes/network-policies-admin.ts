/**
 * policy.networking.k8s.io/v1alpha1 AdminNetworkPolicy and BaselineAdminNetworkPolicy: rules in order, the first that
 * matches decides. Where one cannot be read it denies everybody in its place, unless it was to allow something.
 */
import type { DirectionPolicy, Peer, Policy, PolicyId, PortMatch, Rule } from '../../model/policy.ts';
import type { RuleAction } from '../../model/verdict.ts';
import {
  NO_PEERS,
  NOBODY,
  networkOf,
  podsIn,
  portsNamed,
  readNetwork,
  readPodSelector,
  readPortName,
  readPortNumber,
  readProtocol,
  readRange,
  type Translating,
} from './network-policies-peers.ts';
import {
  fieldsOf,
  integerOf,
  listOf,
  mappingOf,
  onlyField,
  Unreadable,
  unreadable,
} from './network-policies-reading.ts';
import { readLabelSelector } from './network-policies-selectors.ts';

/** The API's own bound. */
const MOST_RULES = 100;
const LAST_PRIORITY = 1000;

const SPEC = ['subject', 'ingress', 'egress', 'priority'] as const;
type Spec = { readonly [K in (typeof SPEC)[number]]?: unknown };

const DENIES_ALL: Rule = { action: 'Deny' };

/** @returns undefined where it cannot be read who is meant: nobody is then */
export function translateAdmin(
  object: unknown,
  id: PolicyId,
  kind: 'AdminNetworkPolicy' | 'BaselineAdminNetworkPolicy',
  translating: Translating,
): Policy | undefined {
  const { findings } = translating;
  const { spec } = mappingOf(object, 'the object');
  const admin = kind === 'AdminNetworkPolicy';
  const fields = findings.attempt((): Spec => mappingOf(spec, 'spec'), undefined) ?? {};
  const whole = findings.attempt(() => fieldsOf(spec, 'spec', admin ? SPEC : SPEC.slice(0, 3)), undefined);
  const subject = findings.attempt(() => readSubject(fields.subject, translating), undefined);
  if (subject === undefined) return undefined;
  const read = () => integerOf(fields.priority, 'spec.priority', 0, LAST_PRIORITY);
  const priority = admin ? findings.attempt(read, undefined) : 0;
  const isolate = whole === undefined || priority === undefined;
  const part = (direction: 'ingress' | 'egress'): DirectionPolicy | undefined => {
    const path = `spec.${direction}`;
    const rules = isolate
      ? [DENIES_ALL]
      : findings.attempt(() => readRules(fields[direction], path, direction, admin, translating), [DENIES_ALL]);
    return rules.length === 0 ? undefined : { default: 'Pass', rules };
  };
  const [ingress, egress] = [part('ingress'), part('egress')];
  return {
    kind,
    namespace: '',
    name: id.name,
    labels: {},
    annotations: {},
    subject,
    priority: priority ?? 0,
    explicitPriority: false,
    mode: 'Enforce',
    ...(ingress === undefined ? {} : { ingress }),
    ...(egress === undefined ? {} : { egress }),
  };
}

function readSubject(value: unknown, translating: Translating): Policy['subject'] {
  const { questions } = translating;
  const [field, selector] = onlyField(value, 'spec.subject', ['namespaces', 'pods']);
  if (field === 'namespaces')
    return podsIn(questions.ownNamespaces(readLabelSelector(selector, 'spec.subject.namespaces')));
  const path = 'spec.subject.pods';
  const { namespaceSelector, podSelector } = fieldsOf(selector, path, ['namespaceSelector', 'podSelector']);
  const namespaces = readLabelSelector(namespaceSelector ?? {}, `${path}.namespaceSelector`);
  const pods = readPodSelector(podSelector ?? {}, `${path}.podSelector`, translating, 'subject');
  return pods === 'nobody' ? NOBODY : podsIn(questions.ownNamespaces(namespaces), pods);
}

function readRules(
  value: unknown,
  path: string,
  direction: 'ingress' | 'egress',
  admin: boolean,
  translating: Translating,
): Rule[] {
  const written = listOf(value, path);
  if (written.length > MOST_RULES) throw new Unreadable(path, `${written.length} rules`, `at most ${MOST_RULES}`);
  const taken = new Set<string>();
  return written.map((one, i) => {
    const rule = readRule(one, `${path}[${i}]`, direction, admin, translating);
    const name = nameOf(one);
    if (name === undefined || taken.has(name)) return rule;
    taken.add(name);
    return { name, ...rule };
  });
}

const RULE_NAME = /^(?=.*[^0-9])[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}$/;

/** Its own, where ours could have it: a rule without one is known by its index. */
function nameOf(rule: unknown): string | undefined {
  const { name } = mappingOf(rule ?? {}, 'a rule');
  return typeof name === 'string' && RULE_NAME.test(name) && name !== 'default' ? name : undefined;
}

function readRule(
  value: unknown,
  path: string,
  direction: 'ingress' | 'egress',
  admin: boolean,
  translating: Translating,
): Rule {
  const { findings } = translating;
  const side = direction === 'ingress' ? 'from' : 'to';
  const action = findings.attempt(() => readAction(mappingOf(value, path).action, `${path}.action`, admin), undefined);
  if (action === undefined) return DENIES_ALL;
  // Of what allows, only what cannot be read is left out; of the rest nobody knows what it was to keep away.
  const nothing: Rule = action === 'Allow' ? { action, peers: NO_PEERS } : DENIES_ALL;
  const read = (): Rule => {
    const fields = fieldsOf(value, path, ['name', 'action', side, 'ports']);
    const peers = listOf(fields[side], `${path}.${side}`);
    if (peers.length === 0) throw new Unreadable(`${path}.${side}`, 'no peers', 'at least one');
    const ports = listOf(fields.ports, `${path}.ports`);
    const each = <T>(list: readonly unknown[], one: (item: unknown, at: string) => readonly T[], at: string): T[] =>
      list.flatMap((item, i) => {
        const take = () => one(item, `${at}[${i}]`);
        return action === 'Allow' ? findings.attempt<readonly T[], readonly T[]>(take, []) : take();
      });
    const meant = each(peers, (peer, at) => readPeer(peer, at, direction, action, translating), `${path}.${side}`);
    const open = each(ports, readPort, `${path}.ports`);
    if (meant.some(({ type }) => type === 'network') && open.some(({ port }) => typeof port === 'string')) {
      throw new Unreadable(`${path}.ports`, 'the name of a port beside addresses', 'numbers: addresses name no ports');
    }
    if (meant.length === 0 || (ports.length > 0 && open.length === 0)) return nothing;
    return { action, peers: meant, ...(open.length === 0 ? {} : { ports: open }) };
  };
  return findings.attempt(read, nothing);
}

function readAction(value: unknown, path: string, admin: boolean): RuleAction {
  const known = admin ? (['Allow', 'Deny', 'Pass'] as const) : (['Allow', 'Deny'] as const);
  const action = known.find((one) => one === value);
  if (action === undefined) throw unreadable(path, value, known.join(', '));
  return action;
}

const PEERS = {
  ingress: ['namespaces', 'pods'],
  egress: ['namespaces', 'pods', 'nodes', 'networks', 'domainNames'],
} as const;

function readPeer(
  value: unknown,
  path: string,
  direction: 'ingress' | 'egress',
  action: RuleAction,
  translating: Translating,
): readonly Peer[] {
  const { questions } = translating;
  const [field, selector] = onlyField(value, path, PEERS[direction]);
  const at = `${path}.${field}`;
  switch (field) {
    case 'namespaces':
      return [{ type: 'workload', selector: podsIn(questions.namespaces(readLabelSelector(selector, at))) }];
    case 'pods': {
      const fields = fieldsOf(selector, at, ['namespaceSelector', 'podSelector']);
      const namespaces = readLabelSelector(fields.namespaceSelector ?? {}, `${at}.namespaceSelector`);
      const meaning = action === 'Deny' ? 'denied' : 'peer';
      const pods = readPodSelector(fields.podSelector ?? {}, `${at}.podSelector`, translating, meaning);
      return pods === 'nobody'
        ? NO_PEERS
        : [{ type: 'workload', selector: podsIn(questions.namespaces(namespaces), pods) }];
    }
    case 'nodes': {
      const addresses = questions.nodeAddresses(readLabelSelector(selector, at));
      if (addresses === undefined) throw unsupported(at, 'nodes', 'known addresses of nodes');
      const peers = addresses.flatMap((address) => networkOf(address) ?? []);
      return peers.length === 0 ? NO_PEERS : peers;
    }
    case 'networks': {
      const written = listOf(selector, at);
      if (written.length === 0) throw new Unreadable(at, 'no networks', 'at least one');
      return written.map((one, i) => ({ type: 'network', network: readNetwork(one, `${at}[${i}]`), except: [] }));
    }
    case 'domainNames':
      throw unsupported(at, 'names of domains', 'networks');
  }
}

function unsupported(path: string, found: string, wanted: string): Unreadable {
  return new Unreadable(path, found, wanted, 'UNSUPPORTED');
}

function readPort(value: unknown, path: string): readonly PortMatch[] {
  const [field, port] = onlyField(value, path, ['portNumber', 'portRange', 'namedPort']);
  const at = `${path}.${field}`;
  if (field === 'namedPort') return portsNamed(readPortName(port, at));
  if (field === 'portNumber') {
    const { protocol, port: number } = fieldsOf(port, at, ['protocol', 'port']);
    return [{ protocol: readProtocol(protocol, `${at}.protocol`), port: readPortNumber(number, `${at}.port`) }];
  }
  const { protocol, start, end } = fieldsOf(port, at, ['protocol', 'start', 'end']);
  const [first, last] = [readPortNumber(start, `${at}.start`), readPortNumber(end, `${at}.end`)];
  return [{ protocol: readProtocol(protocol, `${at}.protocol`), ...readRange(first, last, at) }];
}
