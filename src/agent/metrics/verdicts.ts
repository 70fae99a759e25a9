import type { RuleInfo } from '../../compile/tables.ts';

export interface PacketCount {
  readonly packets: bigint;
  readonly bytes: bigint;
}

interface Total {
  packets: bigint;
  bytes: bigint;
}

/**
 * Sums the kernel's counters of single rules by verdict and direction. The kernel forgets a rule's counter with the
 * rule; the sums keep what they had, so that they never go down while the agent runs. A new agent begins with what
 * the kernel still has.
 */
export class VerdictTotals {
  readonly #seen = new Map<number, PacketCount>();
  readonly #totals = new Map<string, Total>();

  /** Takes in the counters as they are now. Rules the tables no longer know are left out. */
  add(counters: ReadonlyMap<number, PacketCount>, rules: ReadonlyMap<number, RuleInfo>): void {
    for (const id of this.#seen.keys()) if (!counters.has(id)) this.#seen.delete(id);
    for (const [id, now] of counters) {
      const rule = rules.get(id);
      if (rule === undefined) continue;
      const before = this.#seen.get(id) ?? { packets: 0n, bytes: 0n };
      // Lower than before: the rule went and came again between two looks.
      const fresh = now.packets < before.packets;
      const total = this.#total(rule);
      total.packets += fresh ? now.packets : now.packets - before.packets;
      total.bytes += fresh ? now.bytes : now.bytes - before.bytes;
      this.#seen.set(id, now);
    }
  }

  /** Mode, verdict and direction, each combination that ever had a packet. */
  list(): { mode: string; verdict: string; direction: string; packets: bigint; bytes: bigint }[] {
    return [...this.#totals].map(([key, total]) => {
      const [mode = '', verdict = '', direction = ''] = key.split(' ');
      return { mode, verdict, direction, ...total };
    });
  }

  #total(rule: RuleInfo): Total {
    const key = `${rule.mode} ${rule.action} ${rule.direction}`;
    const known = this.#totals.get(key) ?? { packets: 0n, bytes: 0n };
    this.#totals.set(key, known);
    return known;
  }
}
