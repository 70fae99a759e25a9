/** networking.k8s.io/v1 NetworkPolicy: what is selected is isolated, and each rule allows something. */
import type { DirectionPolicy, Peer, Policy, PolicyId, PortMatch, Rule } from '../../model/policy.ts';
import {
  NO_PEERS,
  NOBODY,
  podsIn,
  readIpBlock,
  readPodSelector,
  readPortName,
  readPortNumber,
  readProtocol,
  readRange,
  type Translating,
} from './network-policies-peers.ts';
import { fieldsOf, listOf, mappingOf, Unreadable, unreadable } from './network-policies-reading.ts';
import { readLabelSelector } from './network-policies-selectors.ts';

type Types = readonly ('Ingress' | 'Egress')[];

const BOTH: Types = ['Ingress', 'Egress'];
const SPEC = ['podSelector', 'policyTypes', 'ingress', 'egress'] as const;

/** What cannot be read allows nothing; where it cannot be read who is selected, every pod of the namespace is. */
export function translateNamespaced(object: unknown, id: PolicyId, translating: Translating): Policy {
  const { findings } = translating;
  const { spec } = mappingOf(object, 'the object');
  const fields = findings.attempt(() => fieldsOf(spec ?? {}, 'spec', SPEC), undefined);
  const types =
    fields === undefined ? BOTH : findings.attempt(() => readTypes(fields.policyTypes, fields.egress), BOTH);
  const part = (direction: 'ingress' | 'egress'): DirectionPolicy => {
    const path = `spec.${direction}`;
    const written = findings.attempt(() => listOf(fields?.[direction], path), []);
    const rules = written.map((rule, i) => readRule(rule, `${path}[${i}]`, id.namespace, direction, translating));
    return { default: 'Deny', rules };
  };
  return {
    kind: 'NetworkPolicy',
    namespace: id.namespace,
    name: id.name,
    labels: {},
    annotations: {},
    subject: readSubject(fields?.podSelector, id.namespace, translating),
    priority: 0,
    explicitPriority: false,
    mode: 'Enforce',
    ...(types.includes('Ingress') ? { ingress: part('ingress') } : {}),
    ...(types.includes('Egress') ? { egress: part('egress') } : {}),
  };
}

function readSubject(value: unknown, namespace: string, translating: Translating): Policy['subject'] {
  const read = () => readPodSelector(value ?? {}, 'spec.podSelector', translating, 'subject');
  const pods = translating.findings.attempt(read, undefined);
  return pods === 'nobody' ? NOBODY : podsIn({ namespace }, pods);
}

/** Without types: ingress, and egress where there are rules for it. */
function readTypes(value: unknown, egress: unknown): Types {
  const written = listOf(value, 'spec.policyTypes');
  if (written.length === 0) return listOf(egress, 'spec.egress').length > 0 ? BOTH : ['Ingress'];
  return written.map((one, i) => {
    const type = BOTH.find((known) => known === one);
    if (type === undefined) throw unreadable(`spec.policyTypes[${i}]`, one, BOTH.join(', '));
    return type;
  });
}

function readRule(
  value: unknown,
  path: string,
  namespace: string,
  direction: 'ingress' | 'egress',
  translating: Translating,
): Rule {
  const { findings } = translating;
  const side = direction === 'ingress' ? 'from' : 'to';
  const read = (): Rule => {
    const fields = fieldsOf(value ?? {}, path, [side, 'ports']);
    const peers = listOf(fields[side], `${path}.${side}`);
    const ports = listOf(fields.ports, `${path}.ports`);
    const meant = peers.flatMap((peer, i) =>
      findings.attempt(() => readPeer(peer, `${path}.${side}[${i}]`, namespace, translating), []),
    );
    const open = ports.flatMap((port, i) => findings.attempt(() => [readPort(port, `${path}.ports[${i}]`)], []));
    // Nothing written is everything; nothing left of what was written is nothing.
    const nobody = (peers.length > 0 && meant.length === 0) || (ports.length > 0 && open.length === 0);
    return {
      action: 'Allow',
      ...(nobody ? { peers: NO_PEERS } : peers.length === 0 ? {} : { peers: meant }),
      ...(open.length === 0 ? {} : { ports: open }),
    };
  };
  return findings.attempt(read, { action: 'Allow', peers: NO_PEERS });
}

function readPeer(value: unknown, path: string, own: string, translating: Translating): readonly Peer[] {
  const fields = fieldsOf(value, path, ['podSelector', 'namespaceSelector', 'ipBlock']);
  const { podSelector, namespaceSelector, ipBlock } = fields;
  if (ipBlock !== undefined) {
    if (podSelector === undefined && namespaceSelector === undefined) return [readIpBlock(ipBlock, `${path}.ipBlock`)];
    throw new Unreadable(path, 'an ipBlock beside a selector', 'either of them');
  }
  if (podSelector === undefined && namespaceSelector === undefined) {
    throw new Unreadable(path, 'none of its fields', 'podSelector, namespaceSelector or ipBlock');
  }
  const pods = readPodSelector(podSelector ?? {}, `${path}.podSelector`, translating, 'peer');
  const namespaces =
    namespaceSelector === undefined
      ? { namespace: own }
      : translating.questions.namespaces(readLabelSelector(namespaceSelector, `${path}.namespaceSelector`));
  return pods === 'nobody' ? NO_PEERS : [{ type: 'workload', selector: podsIn(namespaces, pods) }];
}

function readPort(value: unknown, path: string): PortMatch {
  const fields = fieldsOf(value, path, ['protocol', 'port', 'endPort']);
  const protocol = readProtocol(fields.protocol, `${path}.protocol`);
  const { port, endPort } = fields;
  if (typeof port === 'string' && endPort === undefined) return { protocol, port: readPortName(port, `${path}.port`) };
  if (endPort === undefined) {
    return port === undefined ? { protocol } : { protocol, port: readPortNumber(port, `${path}.port`) };
  }
  const [first, last] = [readPortNumber(port, `${path}.port`), readPortNumber(endPort, `${path}.endPort`)];
  return { protocol, ...readRange(first, last, path) };
}
