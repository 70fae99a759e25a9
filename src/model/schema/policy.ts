/**
 * The one description of network policies: types, validation, the reference page and the editors' JSON Schema all come from
 * here. Objects are strict. Refinements name the field at fault; a value is reported once, by the first check that
 * finds it wrong.
 */
import * as z from 'zod';
import { networkCovers, parseNetwork } from '../address.ts';
import { hasPorts, hasTypes, parseProtocol, protocolName } from '../protocol.ts';
import {
  apiVersion,
  CLUSTER_SUBJECT,
  checkReference,
  checkSubject,
  clusterMetadata,
  issue,
  kind,
  mode,
  namespacedMetadata,
  priority,
  ruleName,
  rules,
  subjectSchema,
} from './document.ts';
import * as field from './fields.ts';
import { kubernetes } from './structural.ts';

const peerSchema = z
  .strictObject(
    {
      workload: field.workload
        .optional()
        .describe("Workloads, as in the subject; the namespace is the policy's where it is not written."),
      container: field.container.optional().meta({ description: "Which of the workload's containers.", default: '*' }),
      labels: field.labels.optional().describe('Labels the workload must have, all of them.'),
      cidr: field.cidr
        .optional()
        .describe(
          'A network. Matches every peer with an address in it, workloads too. An IPv6 network never means IPv4 ' +
            'addresses, not even `::/0`.',
        ),
      except: z
        .array(field.cidr, { error: 'a list of networks' })
        .min(1, { error: 'at least one network, or no such field' })
        .max(field.LIMITS.except, { error: `at most ${field.LIMITS.except} networks` })
        .optional()
        .describe('Networks inside `cidr` that are not meant.'),
      entity: field.entity
        .optional()
        .describe('`world`: addresses that belong to no workload we know. `host`: this node itself.'),
    },
    { error: 'a mapping with one of the fields workload, cidr, entity' },
  )
  .superRefine((peer, context) => {
    const kinds = (['workload', 'cidr', 'entity'] as const).filter((name) => peer[name] !== undefined);
    if (kinds.length !== 1) {
      issue(context, [], 'exactly one of the fields workload, cidr, entity', kindsHint(kinds));
      return;
    }
    for (const name of ['container', 'labels'] as const) {
      if (peer[name] !== undefined && kinds[0] !== 'workload')
        issue(context, [name], `no such field beside ${kinds[0]}`);
      else if (peer[name] !== undefined && peer.workload?.startsWith('Node/'))
        issue(context, [name], 'no such field beside a node, which is known by its addresses');
    }
    if (peer.except === undefined) return;
    if (peer.cidr === undefined) {
      issue(context, ['except'], 'no such field without cidr');
      return;
    }
    const outer = parseNetwork(peer.cidr);
    if (!('family' in outer)) return;
    for (const [i, text] of peer.except.entries()) {
      const inner = parseNetwork(text);
      if (!('family' in inner)) continue;
      if (!networkCovers(outer, inner)) issue(context, ['except', i], `a network inside ${peer.cidr}`);
      else if (inner.prefix === outer.prefix) issue(context, ['except', i], `a part of ${peer.cidr}, not all of it`);
    }
  })
  .meta({ title: 'Peer' })
  .register(kubernetes, {
    validations: [
      {
        rule: '(has(self.workload) ? 1 : 0) + (has(self.cidr) ? 1 : 0) + (has(self.entity) ? 1 : 0) == 1',
        message: 'wanted exactly one of the fields workload, cidr, entity',
      },
      {
        rule: 'has(self.workload) || (!has(self.container) && !has(self.labels))',
        message: 'container and labels go with workload only',
      },
      { rule: 'has(self.cidr) || !has(self.except)', message: 'except goes with cidr only' },
    ],
  });

function kindsHint(kinds: readonly string[]): string {
  return kinds.length === 0 ? 'leave the list out to mean any peer' : `both given: ${kinds.join(', ')}`;
}

const portSchema = z
  .strictObject(
    {
      protocol: field.protocol.describe(
        'Protocol by name or by IP protocol number. Alone it means every packet of the protocol.',
      ),
      port: field.port
        .optional()
        .describe(
          'Destination port, of TCP, UDP, SCTP and UDPLite. A name is looked up among the ports of the workload that ' +
            'receives: the subject of ingress rules, the peer of egress rules.',
        ),
      endPort: field.endPort.optional().describe('Last port of a range that starts at `port`.'),
      type: field.icmpType.optional().describe('ICMP type, of ICMP and ICMPv6.'),
    },
    { error: 'a mapping with the field protocol' },
  )
  .superRefine((entry, context) => {
    const protocol = parseProtocol(entry.protocol);
    if (protocol === undefined) return;
    const name = protocolName(protocol);
    if (entry.port !== undefined && !hasPorts(protocol)) issue(context, ['port'], `no port with protocol ${name}`);
    else if (entry.endPort !== undefined) {
      if (typeof entry.port !== 'number') issue(context, ['endPort'], 'a port number in port beside it');
      else if (entry.endPort < entry.port) issue(context, ['endPort'], `${entry.port} or more, as in port`);
    }
    if (entry.type !== undefined && !hasTypes(protocol)) issue(context, ['type'], `no type with protocol ${name}`);
  })
  .meta({ title: 'Port' })
  .register(kubernetes, {
    validations: [
      {
        rule: '!has(self.endPort) || (has(self.port) && type(self.port) == int && self.endPort >= int(self.port))',
        message: 'endPort goes with a port number in port that is not larger',
      },
    ],
  });

const peers = z
  .array(peerSchema, { error: 'a list of peers' })
  .min(1, { error: 'at least one peer, or no such field to mean any peer' })
  .max(field.LIMITS.peers, { error: `at most ${field.LIMITS.peers} peers` })
  .optional();

const ruleFields = {
  name: ruleName,
  action: field.action.optional().meta({ description: '`Alert` allows and reports.', default: 'Allow' }),
};

const ports = z
  .array(portSchema, { error: 'a list of ports' })
  .min(1, { error: 'at least one port, or no such field to mean any' })
  .max(field.LIMITS.ports, { error: `at most ${field.LIMITS.ports} ports` })
  .optional()
  .describe('Protocols and ports the rule is about. Absent: any.');

const ruleError = { error: 'a mapping' };

const ingressRuleSchema = z
  .strictObject(
    { ...ruleFields, from: peers.describe('Where the traffic comes from. Absent: from anywhere.'), ports },
    ruleError,
  )
  .meta({ title: 'Ingress rule' });

const egressRuleSchema = z
  .strictObject(
    { ...ruleFields, to: peers.describe('Where the traffic goes to. Absent: to anywhere.'), ports },
    ruleError,
  )
  .meta({ title: 'Egress rule' });

const defaultAction = field.action.optional();

const specSchema = z
  .strictObject(
    {
      subject: subjectSchema,
      priority,
      mode,
      defaults: z
        .strictObject(
          {
            ingress: defaultAction.meta({ description: 'For incoming traffic.', default: 'Deny' }),
            egress: defaultAction.meta({ description: 'For outgoing traffic.', default: 'Deny' }),
          },
          { error: 'a mapping with the fields ingress, egress' },
        )
        .optional()
        .describe(
          'What happens to traffic that no rule of any policy matches, in the directions the policy selects. A ' +
            'direction is selected by its list of rules, also an empty one, or by its default. Where policies differ, ' +
            'Deny comes before Alert before Allow.',
        ),
      ingress: rules(ingressRuleSchema).describe('Rules for traffic to the subject.'),
      egress: rules(egressRuleSchema).describe('Rules for traffic from the subject.'),
    },
    { error: 'a mapping with the field subject' },
  )
  .superRefine((spec, context) => {
    const { ingress, egress, defaults } = spec;
    if (
      ingress === undefined &&
      egress === undefined &&
      defaults?.ingress === undefined &&
      defaults?.egress === undefined
    ) {
      issue(context, [], 'a direction: ingress, egress or one of defaults', 'the policy would do nothing');
    }
  })
  .meta({ title: 'Spec' })
  .register(kubernetes, {
    validations: [
      {
        rule:
          'has(self.ingress) || has(self.egress) || ' +
          '(has(self.defaults) && (has(self.defaults.ingress) || has(self.defaults.egress)))',
        message: 'wanted a direction: ingress, egress or one of defaults (the policy would do nothing)',
      },
    ],
  });

type Spec = z.infer<typeof specSchema>;

/** Calls `check` with every workload reference of a spec and its path. */
function eachReference(spec: Spec, check: (reference: string, path: (string | number)[]) => void): void {
  check(spec.subject.workload, ['spec', 'subject', 'workload']);
  const lists = [
    ['ingress', 'from', spec.ingress?.map((rule) => rule.from)],
    ['egress', 'to', spec.egress?.map((rule) => rule.to)],
  ] as const;
  for (const [direction, side, rules] of lists) {
    for (const [i, peers] of (rules ?? []).entries()) {
      for (const [j, peer] of (peers ?? []).entries()) {
        if (peer.workload !== undefined) check(peer.workload, ['spec', direction, i, side, j, 'workload']);
      }
    }
  }
}

const workloadNetworkPolicySchema = z
  .strictObject({
    apiVersion,
    kind: kind('WorkloadNetworkPolicy'),
    metadata: namespacedMetadata,
    spec: specSchema,
  })
  .superRefine(({ metadata, spec }, context) => {
    checkSubject(context, metadata.namespace, spec.subject.workload, 'ClusterWorkloadNetworkPolicy');
  })
  .meta({
    title: 'WorkloadNetworkPolicy',
    description: 'Says who may talk to workloads of one namespace, and to whom they may talk.',
  });

const clusterWorkloadNetworkPolicySchema = z
  .strictObject({
    apiVersion,
    kind: kind('ClusterWorkloadNetworkPolicy'),
    metadata: clusterMetadata,
    spec: specSchema,
  })
  .superRefine(({ spec }, context) => {
    eachReference(spec, (reference, path) => checkReference(context, reference, path));
  })
  .meta({
    title: 'ClusterWorkloadNetworkPolicy',
    description: 'The same for workloads of any namespace; workloads are always written namespace/kind/name.',
  })
  .register(kubernetes, { validations: [CLUSTER_SUBJECT] });

/** By kind. */
export const NETWORK_SCHEMAS = {
  WorkloadNetworkPolicy: workloadNetworkPolicySchema,
  ClusterWorkloadNetworkPolicy: clusterWorkloadNetworkPolicySchema,
} as const;

export type NetworkManifest =
  | z.infer<typeof workloadNetworkPolicySchema>
  | z.infer<typeof clusterWorkloadNetworkPolicySchema>;
export type RuleManifest = z.infer<typeof ingressRuleSchema> & z.infer<typeof egressRuleSchema>;
export type PeerManifest = z.infer<typeof peerSchema>;
export type PortManifest = z.infer<typeof portSchema>;
