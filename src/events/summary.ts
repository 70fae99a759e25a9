import { type Event, isTraffic } from './event.ts';

/** One sentence for people. */
export function summary(event: Event): string {
  if (!isTraffic(event)) return `${event.type} ${event.subject} ${event.action}: ${event.message}`;
  const { source, destination } = event;
  const place = (party: { name: string; address: string; port: number }): string =>
    `${party.name} (${party.address.includes(':') ? `[${party.address}]` : party.address}:${party.port})`;
  const cause =
    event.type === 'drop'
      ? `: ${event.reason ?? 'unknown'}`
      : event.rule === undefined
        ? ''
        : ` by ${event.rule.policy}#${event.rule.name === '' ? event.rule.id : event.rule.name}`;
  const staged = event.staged === undefined ? '' : `, staged: ${event.staged.verdict}`;
  return `${event.verdict} ${event.protocol} ${event.direction} ${place(source)} → ${place(destination)}${cause}${staged}`;
}
