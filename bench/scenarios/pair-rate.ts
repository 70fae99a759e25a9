/** How many new verified pairs a second two agents agree on, while as many wait as a window lets, and what each costs. */

import { begin, serveEcho } from '../beginnings.ts';
import { createPair, type Pair } from '../pair.ts';
import type { BenchRecord } from '../record.ts';
import { median, percentile, round } from '../statistics.ts';

const ROUNDS = 5;
const OF_ONE_ROUND = 6_000;
/** Below `hold.rate` of all clients together. */
const RATE_MOST = 3_600;
/** Of each client: with fewer the agents wait for the clients, with more the datagrams wait for the agents. */
const WINDOW = 32;
const WARM_UP = 2_000;

export async function pairRate(): Promise<BenchRecord[]> {
  const pair = await createPair({ name: 'rate', agents: 'tagged', nat: true });
  try {
    await serveEcho(pair);
    await begin(pair, { count: WARM_UP, rate: RATE_MOST, parallel: WINDOW });
    const rounds: Awaited<ReturnType<typeof slice>>[] = [];
    for (let turn = 0; turn < ROUNDS; turn += 1) rounds.push(await slice(pair));
    const record = (metric: string, unit: string, value: number): BenchRecord => {
      return { scenario: 'pair-rate', subject: 'sallyport', rules: 0, metric, unit, value: round(value), ratio: null };
    };
    const middle = (of: (one: (typeof rounds)[number]) => number) => median(rounds.map(of));
    return [
      record(
        'rate',
        '1/s',
        middle(({ rate }) => rate),
      ),
      record('least', '1/s', Math.min(...rounds.map(({ rate }) => rate))),
      record(
        'p50',
        'ms',
        middle(({ p50 }) => p50),
      ),
      record(
        'lost',
        '',
        rounds.reduce((sum, { lost }) => sum + lost, 0),
      ),
      record(
        'source-cpu',
        'µs',
        middle(({ cpu }) => cpu[0]!),
      ),
      record(
        'destination-cpu',
        'µs',
        middle(({ cpu }) => cpu[1]!),
      ),
      record('source-rss', 'MB', pair.agents[0]!.memory / 1e6),
    ];
  } finally {
    pair.close();
  }
}

async function slice(pair: Pair) {
  const before = pair.agents.map(({ cpu }) => cpu);
  const { sent, firstMs, elapsedMs } = await begin(pair, { count: OF_ONE_ROUND, rate: RATE_MOST, parallel: WINDOW });
  return {
    rate: (firstMs.length * 1_000) / elapsedMs,
    p50: percentile(firstMs, 0.5),
    lost: sent - firstMs.length,
    cpu: pair.agents.map(({ cpu }, n) => ((cpu - before[n]!) * 1_000) / firstMs.length),
  };
}
