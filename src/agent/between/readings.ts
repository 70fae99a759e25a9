import type { HoldStatistics } from '../../hold/port.ts';
import type { Reading, Sample } from '../metrics/registry.ts';
import type { Outlook } from './outlook.ts';

/** What a scrape reads of what goes on between nodes. */
export interface BetweenSources {
  readonly outlook: () => Outlook;
  /** Of the kernel, by the incident's and reason's names. */
  readonly incidents: () => ReadonlyMap<string, bigint>;
  readonly drops: () => ReadonlyMap<string, { readonly packets: bigint }>;
}

/** What became of tags: where the kernel counts it, and what it is called. */
const TAG_INCIDENTS = { TagWritten: 'written', TagNoRoom: 'no-room', TagVerified: 'verified' } as const;
const TAG_DROPS = {
  TagForged: 'forged',
  TagMac: 'mac',
  TagWindow: 'window',
  TagReplay: 'replay',
  TagUnknown: 'unknown',
} as const;

const one = (value: number | bigint): readonly Sample[] => [{ labels: {}, value }];

/** Every metric of what goes on between nodes that is read at the scrape. */
export function betweenReadings(from: BetweenSources): Reading[] {
  const held = (value: (statistics: HoldStatistics) => number) => () => {
    const statistics = from.outlook().hold();
    return statistics === undefined ? [] : one(value(statistics));
  };
  const gauge = (name: string, help: string, read: Reading['read'], labels: readonly string[] = []): Reading => ({
    name,
    help,
    type: 'gauge',
    labels,
    read,
  });
  const counter = (name: string, help: string, labels: readonly string[], read: Reading['read']): Reading => ({
    name,
    help,
    type: 'counter',
    labels,
    read,
  });
  return [
    gauge(
      'sallyport_held_flows',
      'Conversations that wait.',
      held(({ flows }) => flows),
    ),
    gauge(
      'sallyport_held_packets',
      'Packets that wait.',
      held(({ packets }) => packets),
    ),
    gauge(
      'sallyport_held_bytes',
      'Bytes that wait.',
      held(({ bytes }) => bytes),
    ),
    gauge(
      'sallyport_held_oldest_seconds',
      'How long the oldest waits.',
      held(({ oldest }) => oldest / 1000),
    ),
    counter('sallyport_hold_packets_total', 'What became of packets that had to wait.', ['result'], () => {
      const statistics = from.outlook().hold();
      if (statistics === undefined) return [];
      const results: [string, bigint][] = [
        ['received', statistics.received],
        ['released', statistics.released],
        ...statistics.dropped,
      ];
      return results.map(([result, value]) => ({ labels: { result }, value }));
    }),
    counter('sallyport_tags_total', 'What became of identity tags.', ['result'], () => {
      const [incidents, drops] = [from.incidents(), from.drops()];
      return [
        ...Object.entries(TAG_INCIDENTS).map(([name, result]) => ({
          labels: { result },
          value: incidents.get(name) ?? 0n,
        })),
        ...Object.entries(TAG_DROPS).map(([name, result]) => ({
          labels: { result },
          value: drops.get(name)?.packets ?? 0n,
        })),
      ];
    }),
    gauge('sallyport_handshakes_under_way', 'Handshakes that have not ended.', () =>
      one(from.outlook().handshakes().underWay),
    ),
    gauge('sallyport_verified_peers', 'What handshakes verified and still is.', () =>
      one(from.outlook().handshakes().verified),
    ),
    gauge(
      'sallyport_peer_agents',
      'Configured agents of other nodes.',
      () => [...from.outlook().agents()].map(([state, value]) => ({ labels: { state }, value })),
      ['state'],
    ),
    counter('sallyport_handshake_faults_total', 'What agents were refused, or should not have said.', ['fault'], () =>
      [...from.outlook().faults()].map(([fault, value]) => ({ labels: { fault }, value })),
    ),
    counter('sallyport_records_lost_total', 'Records of handshakes that could not be stored.', [], () =>
      one(from.outlook().recordsLost()),
    ),
  ];
}
