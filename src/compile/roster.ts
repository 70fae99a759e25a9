import { policyHash } from '../model/manifest.ts';
import { type Policy, policyKey } from '../model/policy.ts';
import { CompileError } from './input.ts';
import { type CompiledPolicy, PreparedPolicy } from './prepared.ts';
import { RuleNumbers } from './rule-ids.ts';
import type { RuleInfo } from './tables.ts';

/** A policy in force, with its rules numbered. Another object when anything about it changes. */
export interface Member {
  readonly prepared: PreparedPolicy;
  readonly compiled: CompiledPolicy;
}

export interface RosterChange {
  readonly left: readonly Member[];
  readonly joined: readonly Member[];
}

/** The policies in force. Told of all of them each time, it finds out which ones are new. */
export class Roster {
  #members = new Map<string, Member>();
  #rules: ReadonlyMap<number, RuleInfo> = new Map();
  readonly #numbers = new RuleNumbers<PreparedPolicy>();
  readonly #prepared = new WeakMap<Policy, PreparedPolicy>();

  /** All rules and defaults by their numbers; the same object until one changes. */
  get rules(): ReadonlyMap<number, RuleInfo> {
    return this.#rules;
  }

  /** @throws CompileError where two policies have one name */
  update(policies: readonly Policy[]): RosterChange {
    const wanted = new Map<string, PreparedPolicy>();
    for (const policy of policies) {
      const prepared = this.#prepare(policy);
      if (wanted.has(prepared.key)) {
        throw new CompileError('DUPLICATE_POLICY', `there are two policies ${prepared.key}`);
      }
      wanted.set(prepared.key, prepared);
    }
    const left: Member[] = [];
    const joining: PreparedPolicy[] = [];
    for (const [key, member] of this.#members) if (wanted.get(key) !== member.prepared) left.push(member);
    for (const [key, prepared] of wanted) if (this.#members.get(key)?.prepared !== prepared) joining.push(prepared);
    if (left.length === 0 && joining.length === 0) return { left, joined: [] };

    for (const { prepared } of left) {
      for (const rule of prepared.rules) this.#numbers.release({ ...rule, owner: prepared });
      this.#members.delete(prepared.key);
    }
    for (const owner of joining) for (const rule of owner.rules) this.#numbers.claim({ ...rule, owner });
    for (const prepared of this.#numbers.settle()) {
      const member = this.#members.get(prepared.key);
      if (member?.prepared !== prepared) continue;
      left.push(member);
      joining.push(prepared);
    }
    const joined = joining.map((prepared) => {
      const member = { prepared, compiled: prepared.compile((rule) => this.#numbers.numberOf(rule)) };
      this.#members.set(prepared.key, member);
      return member;
    });
    this.#replaceRules(left, joined);
    return { left, joined };
  }

  #prepare(policy: Policy): PreparedPolicy {
    const known = this.#prepared.get(policy);
    if (known !== undefined) return known;
    // Read again from a file that changed elsewhere, a policy is another object with the same content.
    const member = this.#members.get(policyKey(policy))?.prepared;
    const prepared = member !== undefined && member.hash === policyHash(policy) ? member : new PreparedPolicy(policy);
    this.#prepared.set(policy, prepared);
    return prepared;
  }

  #replaceRules(left: readonly Member[], joined: readonly Member[]): void {
    const rules = new Map(this.#rules);
    for (const { compiled } of left) for (const { id } of compiled.infos) rules.delete(id);
    for (const { compiled } of joined) for (const info of compiled.infos) rules.set(info.id, info);
    this.#rules = rules;
  }
}
