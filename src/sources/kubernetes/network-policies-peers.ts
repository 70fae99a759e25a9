/** Peers and ports, as NetworkPolicies and administrators' policies write them alike. */
import { type Network, networkCovers, parseNetwork } from '../../model/address.ts';
import { globMatch } from '../../model/glob.ts';
import { NameSet } from '../../model/name-set.ts';
import type { Peer, PortMatch } from '../../model/policy.ts';
import { PROTOCOLS } from '../../model/protocol.ts';
import type { WorkloadSelector } from '../../model/selector.ts';
import {
  type Findings,
  fieldsOf,
  integerOf,
  listOf,
  textOf,
  Unreadable,
  unreadable,
} from './network-policies-reading.ts';
import {
  type LabelSelector,
  type MeantNamespaces,
  type Questions,
  readLabelSelector,
} from './network-policies-selectors.ts';

/** What translating one policy needs. */
export interface Translating {
  readonly findings: Findings;
  readonly questions: Questions;
  /** Patterns of labels that no identity has. */
  readonly noise: readonly string[];
}

/** Selects no pod: in the place of what may not mean anybody. */
export const NOBODY: WorkloadSelector = {
  workload: { namespace: '*', kind: '*', name: '*' },
  namespaces: new NameSet([]),
  container: '*',
  labels: {},
};

/** Peers that are nobody. */
export const NO_PEERS: readonly Peer[] = [{ type: 'workload', selector: NOBODY }];

/** Whose labels are these, of pods in these namespaces? */
export function podsIn({ namespace, namespaces }: MeantNamespaces, pods?: LabelSelector): WorkloadSelector {
  return {
    workload: { namespace, kind: '*', name: '*' },
    ...(namespaces === undefined ? {} : { namespaces }),
    container: '*',
    labels: pods?.labels ?? {},
    ...(pods === undefined || pods.expressions.length === 0 ? {} : { expressions: pods.expressions }),
  };
}

/** The keys a selector asks for that no identity has. */
export function noiseIn({ labels, expressions }: LabelSelector, noise: readonly string[]): readonly string[] {
  const keys = [...Object.keys(labels), ...expressions.map(({ key }) => key)];
  return keys.filter((key) => noise.some((pattern) => globMatch(pattern, key)));
}

/** The selector without what it asks of these keys. */
export function without({ labels, expressions, text }: LabelSelector, keys: readonly string[]): LabelSelector {
  return {
    labels: Object.fromEntries(Object.entries(labels).filter(([key]) => !keys.includes(key))),
    expressions: expressions.filter(({ key }) => !keys.includes(key)),
    text: `${text} without ${keys.join()}`,
  };
}

export function readPodSelector(
  value: unknown,
  path: string,
  { findings, noise }: Translating,
  meaning: 'peer' | 'denied' | 'subject',
): LabelSelector | 'nobody' {
  const selector = readLabelSelector(value, path);
  const keys = noiseIn(selector, noise);
  if (keys.length === 0) return selector;
  const wanted = 'labels that tell workloads apart';
  if (meaning === 'peer') {
    findings.add('NOISE_LABEL', 'warning', path, `${keys.join(', ')}, which means no pod`, wanted);
    return 'nobody';
  }
  if (meaning === 'denied') {
    findings.add('NOISE_LABEL', 'error', path, `${keys.join(', ')}, which is left out: more is denied`, wanted);
    return without(selector, keys);
  }
  findings.add('NOISE_LABEL', 'error', path, `${keys.join(', ')}, which no identity has: it selects nobody`, wanted);
  return 'nobody';
}

/** Network and exceptions of an `ipBlock`. */
export function readIpBlock(value: unknown, path: string): Peer {
  const { cidr, except } = fieldsOf(value, path, ['cidr', 'except']);
  const network = readNetwork(cidr, `${path}.cidr`);
  const holes = listOf(except, `${path}.except`).map((one, i) => {
    const hole = readNetwork(one, `${path}.except[${i}]`);
    if (networkCovers(network, hole) && hole.prefix > network.prefix) return hole;
    throw unreadable(`${path}.except[${i}]`, one, `a network inside ${String(cidr)}`);
  });
  return { type: 'network', network, except: holes };
}

/** Kubernetes takes a network with host bits for the one it lies in. */
export function readNetwork(value: unknown, path: string): Network {
  const wanted = 'a network, as 10.0.0.0/8';
  if (typeof value !== 'string' || value.length > 64 || !value.includes('/')) throw unreadable(path, value, wanted);
  let read = parseNetwork(value);
  if (!('family' in read) && read.suggestion !== undefined) read = parseNetwork(read.suggestion);
  if (!('family' in read)) throw unreadable(path, value, wanted);
  return read;
}

/** Of one address each. */
export function networkOf(address: string): Peer | undefined {
  const read = parseNetwork(`${address}/${address.includes(':') ? 128 : 32}`);
  return 'family' in read ? { type: 'network', network: read, except: [] } : undefined;
}

const PORT_PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const;
const PORT_NAME = /^(?=.{1,63}$)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*$/;

/** Absent is TCP. */
export function readProtocol(value: unknown, path: string): number {
  const name = PORT_PROTOCOLS.find((known) => known === (value ?? 'TCP'));
  if (name === undefined) throw unreadable(path, value, PORT_PROTOCOLS.join(', '));
  return PROTOCOLS[name];
}

export function readPortNumber(value: unknown, path: string): number {
  return integerOf(value, path, 1, 65_535);
}

export function readPortName(value: unknown, path: string): string {
  return textOf(value, path, PORT_NAME, 'a number or the name of a port');
}

/** A name in every protocol that has ports with names. */
export function portsNamed(name: string): PortMatch[] {
  return PORT_PROTOCOLS.map((protocol) => ({ protocol: PROTOCOLS[protocol], port: name }));
}

export function readRange(first: number, last: number, path: string): { port: number; endPort?: number } {
  if (last < first) throw new Unreadable(path, `${first}–${last}`, 'a last port that is not before the first');
  return last === first ? { port: first } : { port: first, endPort: last };
}
