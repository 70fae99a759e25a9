/**
 * The first datagram of conversations between nodes, each from a port that nobody knows yet, with NAT on the way: with
 * agents each waits for a handshake. Then the same while the agents' own connections lose one packet in a hundred.
 */

import { type Beginnings, begin, serveEcho } from '../beginnings.ts';
import { createPair, type Pair } from '../pair.ts';
import type { BenchRecord, SubjectName } from '../record.ts';
import { percentile, round } from '../statistics.ts';

const ROUNDS = 5;
const OF_ONE_ROUND = 2_000;
/** A second: a third of what the agents can do on two CPUs that they share with the traffic. */
const RATE = 1_000;
const LOSS = 0.01;
/** Code that nobody has run yet is slow; so are the first datagrams of a node's life. */
const WARM_UP = 1_000;

interface Participant extends Sampled {
  readonly pair: Pair;
}

/** What has been measured of one. */
interface Sampled {
  readonly name: SubjectName;
  readonly loss: number;
  readonly firsts: number[];
  readonly seconds: number[];
  sent: number;
}

export async function firstDatagram(): Promise<BenchRecord[]> {
  const nothing = await createPair({ name: 'first', agents: 'none', nat: true });
  try {
    const sallyport = await createPair({ name: 'first', agents: 'tagged', nat: true });
    try {
      return await measure(nothing, sallyport);
    } finally {
      sallyport.close();
    }
  } finally {
    nothing.close();
  }
}

async function measure(nothing: Pair, sallyport: Pair): Promise<BenchRecord[]> {
  const counted = { firsts: [], seconds: [], sent: 0 };
  const participants: Participant[] = [
    { name: 'nothing', pair: nothing, loss: 0, ...structuredClone(counted) },
    { name: 'sallyport', pair: sallyport, loss: 0, ...structuredClone(counted) },
    { name: 'sallyport', pair: sallyport, loss: LOSS, ...structuredClone(counted) },
  ];
  for (const pair of [nothing, sallyport]) {
    await serveEcho(pair);
    await begin(pair, { count: WARM_UP, rate: RATE });
  }
  for (let turn = 0; turn < ROUNDS; turn += 1) {
    const first = turn % participants.length;
    for (const one of [...participants.slice(first), ...participants.slice(0, first)]) add(one, await slice(one));
  }
  return participants.flatMap((one) => records(one, participants[0]!));
}

async function slice({ pair, loss }: Participant): Promise<Beginnings> {
  if (loss === 0) return begin(pair, { count: OF_ONE_ROUND, rate: RATE });
  await pair.loseBetweenAgents(loss);
  try {
    return await begin(pair, { count: OF_ONE_ROUND, rate: RATE });
  } finally {
    await pair.loseBetweenAgents(0);
  }
}

function add(one: Participant, { sent, firstMs, secondMs }: Beginnings): void {
  one.sent += sent;
  one.firsts.push(...firstMs);
  one.seconds.push(...secondMs);
}

/** @internal Of all rounds together: a median over rounds would hide what is lost in one. */
export function records(one: Sampled, reference: Sampled): BenchRecord[] {
  const suffix = one.loss === 0 ? '' : '-lossy';
  const record = (metric: string, unit: string, value: number, ratio: number | null = null): BenchRecord => {
    return { scenario: 'first-datagram', subject: one.name, rules: 0, metric: metric + suffix, unit, value, ratio };
  };
  const shares = [
    ['p50', 0.5],
    ['p99', 0.99],
  ] as const;
  const compared = shares.flatMap(([metric, share]) => {
    const [value, other] = [percentile(one.firsts, share), percentile(reference.firsts, share)];
    const absolute = record(metric, 'ms', round(value), round(value / other));
    return one === reference ? [absolute] : [absolute, record(`added-${metric}`, 'ms', round(value - other))];
  });
  return [
    ...compared,
    record('p50-of-second', 'ms', round(percentile(one.seconds, 0.5))),
    record('sent', '', one.sent),
    record('lost', '', one.sent - one.firsts.length),
  ];
}
