import type { RuleInfo } from '../../compile/tables.ts';
import { Reason } from '../../datapath/layouts.gen.ts';
import type { VerdictRecord } from '../../datapath/port.ts';
import type { HandshakeRecord, RecordEnd } from '../../handshake/port.ts';
import type { Conversation } from '../../model/conversation.ts';
import type { Identity } from '../../model/identity.ts';
import { PROTOCOLS } from '../../model/protocol.ts';
import { Verdict } from '../../model/verdict.ts';
import { formatWorkload } from '../../model/workload.ts';

export interface RefusalContext {
  readonly node: string;
  readonly identityOf: (slot: number) => Identity | undefined;
  readonly ruleOf: (rule: number) => RuleInfo | undefined;
  readonly endpointOf: (address: string) => string | undefined;
  /** The node whose agent speaks for an address. */
  readonly agentAt: (address: string) => string | undefined;
}

/**
 * The record of a TCP connection between nodes that this node's policy refused when a tag told who is at the other
 * end. Undefined for everything else the kernel tells.
 */
export function refusedConnection(record: VerdictRecord, context: RefusalContext): HandshakeRecord | undefined {
  if (record.verdict !== Verdict.Deny || record.reason !== Reason.Policy || record.protocol !== PROTOCOLS.TCP) {
    return undefined;
  }
  const peer = context.identityOf(record.peer);
  const local = context.identityOf(record.local);
  if (peer === undefined || local === undefined) return undefined;
  const conversation = opened(record, context);
  const remote = record.direction === 'egress' ? conversation.destination : conversation.source;
  // Somebody of this node: an event, but nothing between nodes.
  if (context.endpointOf(remote.address) !== undefined) return undefined;
  const here: RecordEnd = { node: context.node, identity: local.id, workload: formatWorkload(local.workload) };
  const node = context.agentAt(remote.address);
  const there: RecordEnd = {
    ...(node === undefined ? {} : { node }),
    identity: peer.id,
    workload: formatWorkload(peer.workload),
  };
  const rule = context.ruleOf(record.rule);
  const egress = record.direction === 'egress';
  return {
    handshake: '',
    time: record.time,
    end: egress ? 'source' : 'destination',
    result: 'refused',
    step: 'tag',
    reason: 'policy',
    rule: rule === undefined ? '' : `${rule.policy} ${rule.direction} ${rule.name}`,
    source: egress ? here : there,
    destination: egress ? there : here,
    conversation,
    duration: 0,
  };
}

/** The conversation as it was opened: what the kernel tells of may be the SYN-ACK. */
function opened(record: VerdictRecord, { endpointOf }: RefusalContext): Conversation {
  const { protocol, source, destination } = record;
  const sourceIsOurs = endpointOf(source.address) === record.endpoint;
  const forward = (record.direction === 'egress') === sourceIsOurs;
  return forward ? { protocol, source, destination } : { protocol, source: destination, destination: source };
}
