/** A cluster in which policies come and go, as a node's agent follows it. */
import { stringify } from 'yaml';
import type { CompileInput, Question } from '../../src/compile/input.ts';
import { parseAddress } from '../../src/model/address.ts';
import type { NamedPort } from '../../src/model/endpoint.ts';
import { API_VERSION, type Policy } from '../../src/model/policy.ts';
import { parsePolicyFile } from '../../src/model/policy-file.ts';
import { formatProblem } from '../../src/model/problem.ts';
import { PROTOCOLS } from '../../src/model/protocol.ts';
import { type Translation, translateNetworkPolicies } from '../../src/sources/kubernetes/network-policies.ts';
import type { Case, Step, WrittenPolicy } from './cases.ts';
import { type Cluster, type Outsider, type Pod, threeByThree } from './cluster.ts';
import type { Direction, Objects, Probe } from './upstream.ts';

export class Scene {
  readonly cluster: Cluster = threeByThree();
  readonly #written = new Map<string, WrittenPolicy>();
  readonly #objects = new Map<string, object>();

  constructor({ outsiders }: Pick<Case, 'outsiders'>) {
    for (const [key, address] of Object.entries(outsiders)) {
      this.cluster.outsiders.set(key, { key, address, node: false });
    }
  }

  take({ apply = [], remove = [], pods = [], gone = [], namespaces = {}, nodes = {} }: Step): void {
    const { cluster } = this;
    for (const key of gone) if (!cluster.pods.delete(key)) throw new TypeError(`there is no pod ${key}`);
    for (const [name, labels] of Object.entries(namespaces)) cluster.namespaces.set(name, labels);
    for (const [name, node] of Object.entries(nodes)) cluster.nodes.set(name, node);
    for (const { pod: key, labels, address, owner, ports } of pods) {
      const known = cluster.pods.get(key);
      const [namespace = '', name = ''] = key.split('/');
      cluster.pods.set(key, {
        key,
        namespace,
        name,
        labels: labels ?? known?.labels ?? {},
        address: address ?? known?.address ?? `10.9.0.${cluster.pods.size}`,
        ports: ports === undefined ? (known?.ports ?? []) : Object.entries(ports).map(toPort),
        owner: owner ?? known?.owner ?? `Pod/${name}`,
      });
    }
    for (const name of remove) {
      if (!this.#written.delete(name)) throw new TypeError(`there is no policy ${name}`);
      this.#objects.delete(name);
    }
    for (const policy of apply) {
      const name = policy.ns === undefined ? policy.name : `${policy.ns}/${policy.name}`;
      // One of ours may have the name of a NetworkPolicy.
      const key = policy.kind === 'WNP' || policy.kind === 'CWNP' ? `${policy.kind} ${name}` : name;
      this.#written.set(key, policy);
      this.#objects.set(key, toObject(policy));
    }
  }

  /** As an API server gives them. */
  objects(): Objects {
    const of = (kind: WrittenPolicy['kind']) =>
      [...this.#written].filter(([, policy]) => policy.kind === kind).map(([key]) => this.#objects.get(key));
    return {
      networkPolicies: of('NetworkPolicy'),
      adminNetworkPolicies: of('ANP'),
      baselineAdminNetworkPolicies: of('BANP'),
    } as unknown as Objects;
  }

  translate(): Translation {
    const { namespaces, nodes } = this.cluster;
    // They are changed in place here, which nobody else does.
    return translateNetworkPolicies(this.objects(), new Map(namespaces), { nodes: new Map(nodes) });
  }

  /** What the compiler is given: these policies and those of our own kinds. */
  input(): CompileInput {
    const own = [...this.#written].filter(([, { kind }]) => kind === 'WNP' || kind === 'CWNP');
    const policies = own.map(([key]) => this.#objects.get(key) as Policy);
    return { policies: [...this.translate().policies, ...policies], identities: this.cluster.identities() };
  }

  question(direction: Direction, pod: Pod, other: Pod | Outsider, { protocol, port }: Probe): Question {
    const address = parseAddress(other.address);
    if (address === undefined) throw new TypeError(`no address: ${other.address}`);
    const subject = this.cluster.slotOf(pod);
    const peer = { slot: this.cluster.slotOf(other), address };
    return { subject, direction, peer, protocol: PROTOCOLS[protocol], port: protocol === 'ICMP' ? 8 : port };
  }
}

/** Policies of our own kinds are read as their files are. */
function toObject({ kind, name, ns, spec }: WrittenPolicy): object {
  if (kind === 'NetworkPolicy') return { metadata: { name, namespace: ns }, spec };
  if (kind === 'ANP' || kind === 'BANP') return { metadata: { name }, spec };
  const document =
    kind === 'WNP'
      ? { apiVersion: API_VERSION, kind: 'WorkloadNetworkPolicy', metadata: { name, namespace: ns }, spec }
      : { apiVersion: API_VERSION, kind: 'ClusterWorkloadNetworkPolicy', metadata: { name }, spec };
  const { policies, problems } = parsePolicyFile('policy', Buffer.from(stringify(document)));
  const [only] = policies;
  if (problems.length > 0 || only === undefined) throw new TypeError(problems.map(formatProblem).join('\n'));
  return only.policy;
}

function toPort([name, text]: [string, string]): NamedPort {
  const [protocol, port] = text.split('/');
  if (protocol !== 'TCP' && protocol !== 'UDP' && protocol !== 'SCTP') throw new TypeError(`no port: ${text}`);
  return { name, protocol, port: Number(port) };
}
