import { formatAddress } from '../model/address.ts';
import { formatIdentity } from '../model/identity.ts';
import { protocolName } from '../model/protocol.ts';
import { reservedSlotName } from '../model/slot.ts';
import { verdictName } from '../model/verdict.ts';
import type { Plan, SetPatch, Step } from './plan.ts';
import type { Class, Decision, NetworkEntry, PolicySet, PortEntry, RuleInfo, Subject } from './tables.ts';

/** Most lines shown below each step; the rest is counted. */
const MAX_LINES = 20;

/** A plan as `--dry-run` prints it: a line a step, and below it, up to a bound, what it touches. */
export function formatPlan(plan: Plan): string {
  if (plan.steps.length === 0) return 'nothing to do';
  return plan.steps
    .map((step, i) => {
      const lines = linesOf(step);
      const shown = lines.slice(0, MAX_LINES).map((line) => `     ${line}`);
      if (lines.length > MAX_LINES) shown.push(`     and ${lines.length - MAX_LINES} more`);
      return [`${String(i + 1).padStart(2)}. ${titleOf(step)}`, ...shown].join('\n');
    })
    .join('\n');
}

function titleOf(step: Step): string {
  switch (step.op) {
    case 'write-classes':
      return `write ${counted(step.classes.length, 'new class', 'new classes')}`;
    case 'patch-classes':
      return `correct ports of ${counted(step.patches.length, 'class', 'classes')}`;
    case 'write-sets':
      return `write ${counted(step.sets.length, 'new set', 'new sets')}`;
    case 'patch-sets':
      return `add peers to ${counted(step.patches.length, 'set', 'sets')}`;
    case 'write-rules':
      return `write ${counted(step.rules.length, 'rule', 'rules')}`;
    case 'switch-subjects':
      return `switch ${counted(step.subjects.length, 'subject', 'subjects')}`;
    case 'bump-revision':
      return 'bump the revision: flows are decided again';
    case 'delete-subjects':
      return `delete ${counted(step.slots.length, 'subject', 'subjects')}`;
    case 'trim-sets':
      return `remove peers from ${counted(step.patches.length, 'set', 'sets')}`;
    case 'delete-sets':
      return `delete ${counted(step.sets.length, 'set', 'sets')}`;
    case 'delete-classes':
      return `delete ${counted(step.classes.length, 'class', 'classes')}`;
    case 'delete-rules':
      return `delete ${counted(step.rules.length, 'rule', 'rules')}`;
  }
}

function counted(count: number, one: string, many: string): string {
  return `${count} ${count === 1 ? one : many}`;
}

function linesOf(step: Step): string[] {
  switch (step.op) {
    case 'write-classes':
    case 'delete-classes':
      return step.classes.map(formatClass);
    case 'patch-classes':
      return step.patches.flatMap(({ id, put, remove }) => [
        ...put.map((entry) => `class ${hex(id)} ${formatPort(entry)}`),
        ...remove.map((entry) => `class ${hex(id)} without ${formatPort(entry)}`),
      ]);
    case 'write-sets':
    case 'delete-sets':
      return step.sets.map(formatSet);
    case 'patch-sets':
    case 'trim-sets':
      return step.patches.flatMap(formatPatch);
    case 'write-rules':
      return step.rules.map(formatRule);
    case 'switch-subjects':
      return step.subjects.map(formatSubject);
    case 'delete-subjects':
      return step.slots.map((slot) => `slot ${slot}`);
    case 'delete-rules':
      return step.rules.map((rule) => `rule ${rule}`);
    case 'bump-revision':
      return [];
  }
}

function formatClass({ id, any, ports }: Class): string {
  const more = ports.length === 0 ? '' : `, ${counted(ports.length, 'port entry', 'port entries')}`;
  return `class ${hex(id)}: any ${formatDecision(any)}${more}`;
}

function formatSet({ id, peers, networks }: PolicySet): string {
  const more = networks.length === 0 ? '' : `, ${counted(networks.length, 'network', 'networks')}`;
  return `set ${hex(id)}: ${counted(peers.size, 'peer', 'peers')}${more}`;
}

function formatPatch({ id, peers, networks }: SetPatch): string[] {
  return [
    ...[...peers].map(([slot, found]) => `set ${hex(id)} peer ${formatSlot(slot)} class ${hex(found)}`),
    ...networks.map((entry) => `set ${hex(id)} network ${formatNetworkEntry(entry)} class ${hex(entry.class)}`),
  ];
}

function formatRule({ id, policy, direction, name, action, mode, priority }: RuleInfo): string {
  return `rule ${id}: ${policy} ${direction} ${name}: ${action}, priority ${priority}${mode === 'Stage' ? ', staged' : ''}`;
}

function formatSubject({ slot, identity, egress, ingress }: Subject): string {
  return `slot ${slot} identity ${formatIdentity(identity)}: egress ${setName(egress)}, ingress ${setName(ingress)}`;
}

function setName(id: bigint): string {
  return id === 0n ? 'open' : `set ${hex(id)}`;
}

function formatPort({ protocol, port, prefix, decision }: PortEntry): string {
  const last = port + (1 << (16 - prefix)) - 1;
  const ports = prefix === 0 ? 'all' : port === last ? String(port) : `${port}-${last}`;
  return `${protocolName(protocol)} ${ports}: ${formatDecision(decision)}`;
}

function formatDecision({ verdict, rule, stagedVerdict, stagedRule }: Decision): string {
  const staged = stagedRule === rule ? '' : `, staged ${verdictName(stagedVerdict)} by rule ${stagedRule}`;
  return `${verdictName(verdict)} by rule ${rule}${staged}`;
}

/** The kernel's own prefix length: an IPv6 network around IPv4's place would look wrong in any other notation. */
function formatNetworkEntry({ address, prefix }: NetworkEntry): string {
  return `${formatAddress(address)} (${prefix} of 128 bits)`;
}

function formatSlot(slot: number): string {
  return reservedSlotName(slot) ?? String(slot);
}

function hex(id: bigint): string {
  return id.toString(16).padStart(16, '0');
}
