import { isJudgedHere, lookup, lower } from '../compile/lookup.ts';
import type { PolicyTables } from '../compile/tables.ts';
import { type PolicyAnswer, type PolicyOracle, type PolicyQuestion, WORLD } from '../handshake/port.ts';
import { parseAddress } from '../model/address.ts';
import { Slot } from '../model/slot.ts';
import { Verdict } from '../model/verdict.ts';

export interface TablesOracleOptions {
  readonly tables: () => PolicyTables;
  readonly slotOf: (identity: bigint) => number | undefined;
  /** Several where containers share an address: who is allowed by one of them may come; the kernel asks each for itself. */
  readonly subjectsOf: (identity: bigint) => readonly bigint[];
}

/** Answers from the tables that are in the kernel, as the kernel does. */
export class TablesOracle implements PolicyOracle {
  readonly #options: TablesOracleOptions;

  constructor(options: TablesOracleOptions) {
    this.#options = options;
  }

  decide(question: PolicyQuestion): PolicyAnswer | undefined {
    const { subject, direction } = question;
    const subjects = direction === 'ingress' ? this.#options.subjectsOf(subject) : [subject];
    let refused: PolicyAnswer | undefined;
    for (const identity of subjects) {
      const answer = this.#ask(identity, question);
      if (answer?.allowed === true) return answer;
      refused ??= answer;
    }
    return refused;
  }

  restricts(subject: bigint): boolean {
    const slot = this.#options.slotOf(subject);
    const known = slot === undefined ? undefined : this.#options.tables().subjects.get(slot);
    return known === undefined || known.egress !== 0n;
  }

  #ask(identity: bigint, question: PolicyQuestion): PolicyAnswer | undefined {
    const { direction, peer, address, written, protocol, port } = question;
    const tables = this.#options.tables();
    const subject = this.#options.slotOf(identity);
    const slot = peer === WORLD ? Slot.World : this.#options.slotOf(peer);
    if (subject === undefined || slot === undefined || !isJudgedHere(tables, subject)) return undefined;
    const at = (where: string) => {
      const bytes = parseAddress(where);
      const found = { slot, ...(bytes === undefined ? {} : { address: bytes }) };
      return lookup(tables, { subject, direction, peer: found, protocol, port });
    };
    const decision = written === undefined ? at(address) : lower(at(address), at(written));
    const rule = tables.rules.get(decision.rule);
    return {
      allowed: decision.verdict === Verdict.Allow || decision.verdict === Verdict.Alert,
      rule: rule === undefined ? '' : `${rule.policy} ${rule.direction} ${rule.name}`,
    };
  }
}
