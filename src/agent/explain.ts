import { type Conversation, type End, type Explanation, explainConversation } from '../compile/explain.ts';
import { formatConversation } from '../compile/format-explanation.ts';
import type { CompileInput, KnownIdentity } from '../compile/input.ts';
import type { PolicyTables } from '../compile/tables.ts';
import { type Address, formatAddress, parseAddress } from '../model/address.ts';
import type { Endpoint } from '../model/endpoint.ts';
import { parseProtocol, protocolName } from '../model/protocol.ts';
import { Slot } from '../model/slot.ts';
import { verdictName } from '../model/verdict.ts';
import type { NodePeers } from '../sources/kubernetes/node-peers.ts';
import type { ExplainRequest } from './api/contract.ts';
import type { ExplainSide, ExplainView } from './api/explanation.ts';
import { AgentError } from './errors.ts';
import { describeIdentity, pickIdentity } from './names.ts';

/** What is in force, as the question is put against it. */
export interface InForce {
  readonly input: CompileInput;
  readonly tables: PolicyTables;
  readonly endpoints: readonly Endpoint[];
  /** Absent: no cluster has any. */
  readonly nodes?: NodePeers | undefined;
  readonly slotOf: (identity: bigint) => number | undefined;
}

interface NamedEnd extends End {
  readonly name: string;
  readonly identity?: KnownIdentity;
}

/**
 * Answers from the tables in force.
 * @throws AgentError NOT_FOUND, AMBIGUOUS, USAGE for what the question names
 */
export function explainRequest(request: ExplainRequest, inForce: InForce): ExplainView {
  const source = findEnd(request.from, request.namespace, inForce);
  const destination = findEnd(request.to, request.namespace ?? source.identity?.workload.namespace, inForce);
  const protocol = parseProtocol(request.protocol);
  if (protocol === undefined) {
    throw new AgentError('USAGE', `There is no protocol ${JSON.stringify(request.protocol)}`, {
      hint: 'TCP, UDP, SCTP, ICMP, ICMPv6, or a number from 0 to 255',
    });
  }
  const port = findPort(request.port, protocol, destination);
  const conversation: Conversation = { source: endOf(source), destination: endOf(destination), protocol, port };
  const explained = explainConversation(inForce.input, inForce.tables, conversation);
  const sides = [
    ...(explained.egress === undefined ? [] : [sideView(explained.egress, source.name)]),
    ...(explained.ingress === undefined ? [] : [sideView(explained.ingress, destination.name)]),
  ];
  return {
    from: source.name,
    to: destination.name,
    protocol: protocolName(protocol),
    port,
    verdict: verdictName(explained.verdict),
    stagedVerdict: verdictName(explained.stagedVerdict),
    sides,
    text: formatConversation(inForce.input, conversation, explained),
  };
}

function endOf({ slot, address }: NamedEnd): End {
  return address === undefined ? { slot } : { slot, address };
}

function findEnd(text: string, namespace: string | undefined, inForce: InForce): NamedEnd {
  if (text === 'host') return { name: text, slot: Slot.Host };
  if (text === 'world') return { name: text, slot: Slot.World };
  if (text.startsWith('Node/')) return findNode(text, inForce);
  const address = parseAddress(text);
  if (address !== undefined) return findAddress(address, inForce);
  const identity = pickIdentity(text, [...inForce.input.identities.values()], namespace);
  return identityEnd(identity, addressOf(identity, inForce.endpoints), inForce);
}

/** The host network of a node: of this one the host, of another its first address. */
function findNode(text: string, { nodes }: InForce): NamedEnd {
  const node = nodes?.find(text.slice('Node/'.length));
  const [first] = node?.addresses ?? [];
  const address = first === undefined ? undefined : parseAddress(first);
  if (node === undefined)
    throw new AgentError('NOT_FOUND', `${text} is no node of the cluster, or it has told of none`);
  const slot = node.own ? Slot.Host : Slot.World;
  return { name: text, slot, ...(address === undefined || node.own ? {} : { address }) };
}

function findAddress(address: Address, inForce: InForce): NamedEnd {
  const text = formatAddress(address);
  const owner = inForce.endpoints.find((endpoint) => endpoint.addresses.includes(text));
  if (owner === undefined) return { name: text, slot: Slot.World, address };
  return identityEnd({ ...owner.identity, ports: owner.ports }, address, inForce);
}

function identityEnd(identity: KnownIdentity, address: Address | undefined, inForce: InForce): NamedEnd {
  const name = describeIdentity(identity);
  const slot = inForce.slotOf(identity.id);
  if (slot === undefined) throw new AgentError('NOT_READY', `${name} is not in the tables yet`);
  return { name, slot, identity, ...(address === undefined ? {} : { address }) };
}

/** Rules for networks look at addresses: the first one an endpoint of the workload has stands for all. */
function addressOf(identity: KnownIdentity, endpoints: readonly Endpoint[]): Address | undefined {
  const owner = endpoints.find(
    (endpoint) =>
      endpoint.identity.id === identity.id || endpoint.containers.some((one) => one.identity.id === identity.id),
  );
  const [first] = owner?.addresses ?? [];
  return first === undefined ? undefined : parseAddress(first);
}

function findPort(wanted: number | string, protocol: number, destination: NamedEnd): number {
  if (typeof wanted === 'number') return wanted;
  const ports = destination.identity?.ports ?? [];
  const found = ports.find(({ name, ...port }) => name === wanted && parseProtocol(port.protocol) === protocol);
  if (found !== undefined) return found.port;
  const known = ports.map(({ name, protocol: own, port }) => `${name} (${own} ${port})`).join(', ');
  throw new AgentError(
    'NOT_FOUND',
    `${destination.name} has no ${protocolName(protocol)} port named ${JSON.stringify(wanted)}`,
    {
      hint: known === '' ? 'it names no ports' : `it names ${known}`,
    },
  );
}

function sideView({ question, decision, selected, matches, disagreement }: Explanation, at: string): ExplainSide {
  const decided = matches.find((match) => match.decides);
  return {
    direction: question.direction,
    at,
    selected,
    verdict: verdictName(decision.verdict),
    stagedVerdict: verdictName(decision.stagedVerdict),
    ...(decided === undefined ? {} : { rule: { id: decided.rule, policy: decided.policy, name: decided.name } }),
    matches: matches.map(({ rule, policy, name, mode, action, priority, decides, decidesStaged }) => ({
      id: rule,
      policy,
      name,
      mode,
      action,
      priority,
      decides,
      decidesStaged,
    })),
    ...(disagreement === undefined ? {} : { disagreement }),
  };
}
