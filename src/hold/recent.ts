/** What has been decided lately, for packets that were on their way; and what was too much, told now and then. */
import type { DropReason, HeldFlow } from './port.ts';

/** Milliseconds for which a decision binds what still comes marked, and between two reports about one flow. */
export const RECENT_MS = 1000;
/** Some 200 bytes each. The oldest is forgotten: its packets are held anew. */
const DECISIONS_MAX = 16_384;
/** Flows a second that are reported one by one; the rest is only counted. */
const REPORTS_MAX = 1024;

export type Decision = 'released' | 'refused';

/** Decisions of the last second. */
export class Recent {
  readonly #decisions = new Map<string, { readonly decision: Decision; readonly until: number }>();

  note(key: string, decision: Decision, now: number): void {
    this.#decisions.delete(key);
    this.#decisions.set(key, { decision, until: now + RECENT_MS });
    for (const [oldest, { until }] of this.#decisions) {
      if (until > now && this.#decisions.size <= DECISIONS_MAX) break;
      this.#decisions.delete(oldest);
    }
  }

  find(key: string, now: number): Decision | undefined {
    const found = this.#decisions.get(key);
    return found !== undefined && found.until > now ? found.decision : undefined;
  }

  /** When the next is to be forgotten. */
  get next(): number | undefined {
    return this.#decisions.values().next().value?.until;
  }

  prune(now: number): void {
    for (const [key, { until }] of this.#decisions) {
      if (until > now) return;
      this.#decisions.delete(key);
    }
  }
}

interface Excess {
  readonly flow: HeldFlow;
  readonly reason: DropReason;
  since: number;
  packets: number;
  bytes: number;
}

/** Packets that a bound has refused: the first of a flow is reported at once, those after it once a second. */
export class Overflow {
  readonly #flows = new Map<string, Excess>();
  readonly #report: (flow: HeldFlow, reason: DropReason, packets: number, bytes: number) => void;

  constructor(report: (flow: HeldFlow, reason: DropReason, packets: number, bytes: number) => void) {
    this.#report = report;
  }

  note(key: string, reason: DropReason, bytes: number, now: number, describe: () => HeldFlow): void {
    const known = this.#flows.get(key);
    if (known !== undefined) {
      known.packets += 1;
      known.bytes += bytes;
      return;
    }
    if (this.#flows.size >= REPORTS_MAX) return;
    const flow = describe();
    this.#flows.set(key, { flow, reason, since: now, packets: 0, bytes: 0 });
    this.#report(flow, reason, 1, bytes);
  }

  get next(): number | undefined {
    const oldest = this.#flows.values().next().value;
    return oldest && oldest.since + RECENT_MS;
  }

  /** Reports what has come together in a second; forgets who was quiet for one. */
  tell(now: number): void {
    for (const [key, excess] of this.#flows) {
      if (excess.since + RECENT_MS > now) return;
      this.#flows.delete(key);
      if (excess.packets === 0) continue;
      const { flow, reason, packets, bytes } = excess;
      this.#flows.set(key, { flow, reason, since: now, packets: 0, bytes: 0 });
      this.#report(flow, reason, packets, bytes);
    }
  }
}
