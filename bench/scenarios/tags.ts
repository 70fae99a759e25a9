/** What tags cost: a connection with them beside one without, and their verification alone. And what comes after it. */

import { KEYS, TagReader, WINDOW } from '../../test/kernel/datapath/tag-reader.ts';
import { ethernet, ipv4 } from '../../test/rig/packets.ts';
import { tagOption } from '../../test/rig/tag.ts';
import * as traffic from '../../test/rig/traffic.ts';
import { tcp } from '../../test/rig/transports.ts';
import { createPair, type Pair } from '../pair.ts';
import { timesDuring } from '../program-times.ts';
import type { BenchRecord, ScenarioName, SubjectName } from '../record.ts';
import { compare, measureRounds, type Participant, runRounds } from '../rounds.ts';
import { median, round } from '../statistics.ts';
import { PORTS } from '../topology.ts';
import { crr, latencies } from './traffic.ts';

/** Scenarios of two nodes that reach each other's endpoints by routes. */
export const TAG_SCENARIOS: readonly ScenarioName[] = ['tagged-crr', 'tag-verify', 'verified-rr'];

type Joined = Participant<Pair>;

const ROUNDS = 25;
const SLICE_MS = 200;
/** Of one round. Each from a port of its own: one that is said again unanswered waits for a handshake. */
const SYNS = 8_000;
const SYN_ROUNDS = 5;
const SYN_PORT = 20_000;
/** Of a SYN: MSS, SACK permitted, timestamps, window scale. */
const LINUX_OPTIONS = Buffer.from('020405b40402080a001122330000000001030307', 'hex');

export async function tags(
  scenarios: readonly ScenarioName[],
  subjects: readonly SubjectName[],
  rounds: number = ROUNDS,
): Promise<BenchRecord[]> {
  const joined: Joined[] = [];
  try {
    for (const [name, agents] of [
      ['nothing', 'none'],
      ['untagged', 'untagged'],
      ['sallyport', 'tagged'],
    ] as const) {
      if (name === 'untagged' && !subjects.includes(name)) continue;
      joined.push({ subject: { name, rules: 0 }, topology: await createPair({ name, agents, nat: false }) });
    }
    const records: BenchRecord[] = [];
    if (scenarios.includes('tagged-crr')) records.push(...(await taggedCrr(joined, rounds)));
    if (scenarios.includes('tag-verify')) records.push(...(await tagVerify(joined)));
    if (scenarios.includes('verified-rr')) records.push(...(await verifiedRr(joined, rounds)));
    return records;
  } finally {
    for (const { topology } of joined.reverse()) topology.close();
  }
}

async function taggedCrr(joined: readonly Joined[], rounds: number): Promise<BenchRecord[]> {
  const scenario = { name: 'tagged-crr', rounds, measure: crr } as const;
  const measured = await measureRounds<Pair>(scenario, joined);
  const toUntagged = compare(scenario, measured, 'untagged').flatMap(({ subject, metric, ratio }) => {
    if (subject !== 'sallyport' || !metric.startsWith('p50') || ratio === null) return [];
    const common = { scenario: 'tagged-crr', subject, rules: 0, unit: '', ratio: null } as const;
    return [{ ...common, metric: `${metric}-to-untagged`, value: ratio }];
  });
  return [...compare(scenario, measured, 'nothing'), ...toUntagged];
}

/**
 * The whole program on SYNs alone: behind it a firewall swallows them, so that nothing follows. `added` is what is more
 * where the peer is known by its tag and not by its address: that too is decided otherwise.
 */
async function tagVerify(joined: readonly Joined[]): Promise<BenchRecord[]> {
  const records: BenchRecord[] = [];
  const record = (subject: SubjectName, metric: string, value: number): void => {
    const common = { scenario: 'tag-verify', rules: 0, unit: 'ns', ratio: null } as const;
    records.push({ ...common, subject, metric, value: round(value) });
  };
  const withAgents = joined.filter(({ topology }) => topology.agents.length > 0);
  const costs = new Map<SubjectName, number[]>(withAgents.map(({ subject }) => [subject.name, []]));
  for (const { topology } of withAgents) await swallow(topology);
  for (let turn = 0; turn < SYN_ROUNDS; turn += 1) {
    for (const { subject, topology } of withAgents) costs.get(subject.name)!.push(await perSyn(topology, turn));
  }
  for (const [subject, all] of costs) record(subject, 'per-syn', median(all));
  const [tagged, untagged] = [costs.get('sallyport'), costs.get('untagged')];
  if (tagged && untagged) record('sallyport', 'added', median(tagged.map((value, n) => value - untagged[n]!)));
  record('sallyport', 'verification', verification());
  return records;
}

async function swallow({ server }: Pair): Promise<void> {
  const match = ['-p', 'tcp', '--syn', '--dport', String(PORTS.silent), '-j', 'DROP'];
  await server.namespace.run(['iptables-legacy', '-w', '-A', 'INPUT', ...match]);
}

async function perSyn({ client, server, agents }: Pair, turn: number): Promise<number> {
  const target = { address: server.ipv4, port: PORTS.silent, sourcePort: SYN_PORT + turn * SYNS };
  const { runs, nanoseconds } = await timesDuring([agents[1]!], /^to_endpoint$/, () =>
    traffic.syns(client, target, SYNS),
  );
  if (runs < SYNS * 0.99) throw new Error(`bench: of ${SYNS} SYNs ${runs} came through`);
  return nanoseconds / runs;
}

/** Nothing but the verification: SYNs with tags, each its own, less SYNs without. */
function verification(): number {
  const reader = new TagReader();
  try {
    const frames = (tagged: boolean) =>
      Array.from({ length: SYNS }, (_, n) => {
        const tag = tagOption({ key: KEYS[1]!, epoch: 1, identity: 0x0123456789abcdefn, window: WINDOW, sequence: n });
        const options = Buffer.concat([LINUX_OPTIONS, tagged ? tag : Buffer.alloc(tag.length, 1)]);
        const segment = tcp({ flags: ['SYN'], sourcePort: 1024 + n, destinationPort: 80, sequence: n, options });
        return ethernet({}, ipv4({ source: '10.0.0.1', destination: '10.0.0.2' }, segment));
      });
    const [tagged, untagged] = [frames(true), frames(false)];
    reader.cost('verified_tag', untagged);
    return reader.cost('verified_tag', tagged) - reader.cost('verified_tag', untagged);
  } finally {
    reader.close();
  }
}

/** Datagrams of one conversation, once it is verified; and the programs' time beside that of a conversation on one node. */
async function verifiedRr(joined: readonly Joined[], rounds: number): Promise<BenchRecord[]> {
  const records = await runRounds<Pair>({ name: 'verified-rr', rounds, measure: exchange }, joined);
  const { topology } = joined.find(({ subject }) => subject.name === 'sallyport')!;
  const { clients, agents } = topology;
  const [one, other] = clients as readonly [Pair['client'], Pair['client']];
  const record = (metric: string, value: number): void => {
    const common = { scenario: 'verified-rr', subject: 'sallyport', rules: 0, unit: 'ns', ratio: null } as const;
    records.push({ ...common, metric, value: round(value) });
  };
  const echo = await traffic.serve(other, { udp: String(PORTS.udpEcho) });
  try {
    const apart = () => exchange(topology);
    const local = () =>
      traffic.rr(one, { address: other.ipv4, port: PORTS.udpEcho, udp: true }, { durationMs: SLICE_MS });
    for (const [metric, where, names, work] of [
      ['bpf-local', [agents[0]!], /^(from|to)_endpoint$/, local],
      ['bpf-verified', agents, /^(from|to)_endpoint$/, apart],
      ['bpf-uplink', agents, /uplink/, apart],
    ] as const) {
      const perRun: number[] = [];
      for (let turn = 0; turn < SYN_ROUNDS; turn += 1) {
        const { runs, nanoseconds } = await timesDuring(where, names, work);
        if (runs > 0) perRun.push(nanoseconds / runs);
      }
      if (perRun.length > 0) record(metric, median(perRun));
    }
  } finally {
    echo.close();
  }
  return records;

  function exchange(pair: Pair) {
    return latencies(pair, (client) =>
      traffic.rr(client, { address: pair.server.ipv4, port: PORTS.udpEcho, udp: true }, { durationMs: SLICE_MS }),
    );
  }
}
