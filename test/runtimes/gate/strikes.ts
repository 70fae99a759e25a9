/** Many starts of containers that attack, and how long each was held. */
import type { Station } from '../../kernel/agent/station.ts';

/** How many; a proof takes a thousand: `GATE_STARTS=1000`. */
export const STARTS = Number(process.env.GATE_STARTS ?? 20);
/** At one time. */
const TOGETHER = 4;
export const PORT = 7777;

/** Bits of the attack's exit status. */
export const OUTCOME = { sent: 1, connected: 2, ran: 64 } as const;

/** Runs `work` so many times, a few at one time. */
export async function inParallel<T>(count: number, work: (index: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      const index = next++;
      results[index] = await work(index);
    }
  };
  await Promise.all(Array.from({ length: TOGETHER }, worker));
  return results;
}

/** How long containers were held, as its histogram bounds it. */
export async function toldOf(station: Station): Promise<string> {
  const name = 'sallyport_gate_hold_seconds';
  const { stdout } = await station.cli(['metrics', '--match', name]);
  const buckets = [...stdout.matchAll(/_bucket\{le="([^"]+)"\} (\d+)/g)].map(
    ([, le, count]) => [le, Number(count)] as const,
  );
  const total = buckets.at(-1)?.[1] ?? 0;
  const within = (part: number): string => buckets.find(([, count]) => count >= total * part)?.[0] ?? '?';
  return `      held ${total}: half within ${within(0.5)} s, 99 % within ${within(0.99)} s`;
}
