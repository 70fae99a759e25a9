import { formatAddress, formatNetwork } from '../model/address.ts';
import type { Peer, PortMatch } from '../model/policy.ts';
import { hasTypes, protocolName } from '../model/protocol.ts';
import { formatSelector } from '../model/selector.ts';
import { reservedSlotName } from '../model/slot.ts';
import { Tier } from '../model/tier.ts';
import { verdictName } from '../model/verdict.ts';
import { formatWorkload } from '../model/workload.ts';
import type { Conversation, ConversationExplanation, End, ExplainedMatch, Explanation } from './explain.ts';
import type { CompileInput } from './input.ts';

/** Most matching rules shown of each end; the rest is counted. */
const MAX_MATCHES = 20;

/** The explanation of a conversation as people read it, several lines. */
export function formatConversation(
  input: CompileInput,
  conversation: Conversation,
  explained: ConversationExplanation,
): string {
  const { source, destination, protocol, port } = conversation;
  const ends = `${formatEnd(input, source)} -> ${formatEnd(input, destination)}`;
  const staged =
    explained.stagedVerdict === explained.verdict
      ? ''
      : ` (with the staged policies: ${verdictName(explained.stagedVerdict)})`;
  const lines = [`${ends} ${formatPort({ protocol, port })}: ${verdictName(explained.verdict)}${staged}`];
  if (explained.egress !== undefined) {
    lines.push(`  egress of ${formatEnd(input, source)}: ${formatJudgement(explained.egress)}`);
    lines.push(...formatMatches(explained.egress));
  }
  if (explained.ingress !== undefined) {
    lines.push(`  ingress of ${formatEnd(input, destination)}: ${formatJudgement(explained.ingress)}`);
    lines.push(...formatMatches(explained.ingress));
  }
  return lines.join('\n');
}

function formatJudgement({ decision, selected, matches }: Explanation): string {
  if (!selected) return `${verdictName(decision.verdict)}, no policy selects it`;
  const by = matches.find((match) => match.decides);
  const unnamed = decision.rule === 0 ? 'only staged policies select it' : `by rule ${decision.rule}`;
  const reason = by === undefined ? unnamed : `by ${formatRule(by)}`;
  return `${verdictName(decision.verdict)}, ${reason}`;
}

function formatMatches({ matches, disagreement, question }: Explanation): string[] {
  const lines = matches.slice(0, MAX_MATCHES).map((match) => {
    const mark = match.decides ? '*' : match.decidesStaged ? '+' : ' ';
    return `    ${mark} ${match.action.padEnd(5)} ${formatRule(match)}${formatReasons(match)}`;
  });
  if (matches.length > MAX_MATCHES) lines.push(`      and ${matches.length - MAX_MATCHES} more`);
  if (question.peer.address === undefined && matches.length > 0) {
    lines.push('      no address was given: rules for networks were left out');
  }
  if (disagreement !== undefined) lines.push(`    ! ${disagreement}`);
  return lines;
}

function formatRule({ policy, direction, name, mode, priority, peer, tier }: ExplainedMatch): string {
  const staged = mode === 'Stage' ? ', staged' : '';
  if (peer === undefined) return `${policy} ${direction} default${staged && ' (staged)'}`;
  // Kubernetes' other kinds have no priorities.
  if (tier === Tier.Namespace || tier === Tier.Baseline) return `${policy} ${direction} rule ${name}`;
  return `${policy} ${direction} rule ${name} (priority ${priority}${staged})`;
}

function formatReasons({ peer, ports }: ExplainedMatch): string {
  if (peer === undefined || ports === undefined) return ': nothing else matched';
  const who = peer.by === 'any' ? 'any peer' : formatPeer(peer.peer);
  const what = ports.by === 'any' ? 'any port' : formatPort(ports.port);
  return `: ${who}, ${what}`;
}

function formatPeer(peer: Peer): string {
  if (peer.type === 'workload') return `workload ${formatSelector(peer.selector)}`;
  if (peer.type === 'entity') return peer.entity;
  const except = peer.except.length === 0 ? '' : ` except ${peer.except.map(formatNetwork).join(', ')}`;
  return `network ${formatNetwork(peer.network)}${except}`;
}

function formatPort({ protocol, port, endPort }: PortMatch): string {
  const name = protocolName(protocol);
  if (port === undefined) return `all ${name}`;
  if (hasTypes(protocol)) return `${name} type ${port}`;
  return endPort === undefined ? `${name}/${port}` : `${name}/${port}-${endPort}`;
}

function formatEnd(input: CompileInput, { slot, address }: End): string {
  const identity = input.identities.get(slot);
  const name =
    identity === undefined
      ? (reservedSlotName(slot) ?? `slot ${slot}`)
      : `${formatWorkload(identity.workload)}${identity.container === '' ? '' : `[${identity.container}]`}`;
  return address === undefined ? name : `${name} (${formatAddress(address)})`;
}
