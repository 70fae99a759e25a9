import { type Event, isTraffic, isViolation, type RuleReference, type ViolationEvent } from './event.ts';

/** One sentence for people. */
export function summary(event: Event): string {
  if (isViolation(event)) return violationSummary(event);
  if (!isTraffic(event)) return `${event.type} ${event.subject} ${event.action}: ${event.message}`;
  const { source, destination } = event;
  const place = (party: { name: string; address: string; port: number }): string =>
    `${party.name} (${party.address.includes(':') ? `[${party.address}]` : party.address}:${party.port})`;
  const cause = event.type === 'drop' ? `: ${event.reason ?? 'unknown'}` : byRule(event.rule);
  const staged = event.staged === undefined ? '' : `, staged: ${event.staged.verdict}`;
  return `${event.verdict} ${event.protocol} ${event.direction} ${place(source)} → ${place(destination)}${cause}${staged}`;
}

function byRule(rule: RuleReference | undefined): string {
  return rule === undefined ? '' : ` by ${rule.policy}#${rule.name === '' ? rule.id : rule.name}`;
}

function violationSummary(event: ViolationEvent): string {
  const { verdict, action, object, workload, container, executable, process, rule, staged } = event;
  const who = `${workload}[${container}] ${executable ?? event.ancestors[0]?.name ?? '?'} (pid ${process.pid})`;
  const what = `${event.class} ${action}${object === undefined ? '' : ` ${object}`}`;
  return `${verdict} ${what}: ${who}${byRule(rule)}${staged === undefined ? '' : `, staged: ${staged.verdict}${byRule(staged.rule)}`}`;
}
