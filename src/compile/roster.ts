import { type Policy, policyKey } from '../model/policy.ts';
import { CompileError } from './input.ts';
import { PatchedMap } from './patched-map.ts';
import { type Member, PreparedPolicy } from './prepared.ts';
import { RuleNumbers } from './rule-ids.ts';
import type { RuleInfo } from './tables.ts';

export interface RosterChange {
  readonly left: readonly Member[];
  readonly joined: readonly Member[];
}

/** The policies in force. Told of all of them each time, it finds out which ones are new. */
export class Roster {
  #members = new Map<string, Member>();
  /** As in the last update. */
  #policies: readonly Policy[] = [];
  #rules = new PatchedMap<number, RuleInfo>();
  readonly #numbers = new RuleNumbers<string>();
  readonly #prepared = new WeakMap<Policy, PreparedPolicy>();

  /** All rules and defaults by their numbers; the same object until one changes. */
  get rules(): ReadonlyMap<number, RuleInfo> {
    return this.#rules;
  }

  /** @throws CompileError where two policies have one name; nothing has changed then */
  update(policies: readonly Policy[]): RosterChange {
    const before = this.#policies;
    if (policies.length === before.length && policies.every((policy, i) => policy === before[i])) {
      return { left: [], joined: [] };
    }
    const change = this.#update(policies);
    this.#policies = policies;
    return change;
  }

  #update(policies: readonly Policy[]): RosterChange {
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

    const before = new Map(left.map((member) => [member.prepared.key, member]));
    this.#renumber(before, joining);
    for (const key of before.keys()) this.#members.delete(key);
    for (const key of this.#numbers.settle()) {
      const member = this.#members.get(key);
      if (member === undefined) continue;
      left.push(member);
      before.set(key, member);
      joining.push(member.prepared);
    }
    const joined = joining.map((prepared) => {
      const compiled = prepared.compile((rule) => this.#numbers.numberOf(rule), before.get(prepared.key));
      const member = { prepared, compiled };
      this.#members.set(prepared.key, member);
      return member;
    });
    this.#replaceRules(before, joined);
    return { left, joined };
  }

  #prepare(policy: Policy): PreparedPolicy {
    const known = this.#prepared.get(policy);
    if (known !== undefined) return known;
    // Read again from a file that changed elsewhere, a policy is another object with the same content.
    const before = this.#members.get(policyKey(policy))?.prepared;
    const prepared = before?.says(policy) === true ? before : new PreparedPolicy(policy, before);
    this.#prepared.set(policy, prepared);
    return prepared;
  }

  /** What both versions of a policy have is the same object in the same place, and keeps what it claimed. */
  #renumber(before: ReadonlyMap<string, Member>, joining: readonly PreparedPolicy[]): void {
    const after = new Map(joining.map((prepared) => [prepared.key, prepared]));
    for (const { prepared } of before.values()) {
      const kept = after.get(prepared.key)?.rules;
      for (const [i, rule] of prepared.rules.entries()) if (kept?.[i] !== rule) this.#numbers.release(rule);
    }
    for (const { key, rules } of joining) {
      const known = before.get(key)?.prepared.rules;
      for (const [i, rule] of rules.entries()) if (known?.[i] !== rule) this.#numbers.claim(rule);
    }
  }

  #replaceRules(before: ReadonlyMap<string, Member>, joined: readonly Member[]): void {
    const rules = this.#rules.edit();
    for (const [key, { compiled }] of before) {
      const kept = this.#members.get(key)?.compiled.infos;
      for (const [i, info] of compiled.infos.entries()) if (kept?.[i] !== info) rules.delete(info.id);
    }
    for (const { prepared, compiled } of joined) {
      const known = before.get(prepared.key)?.compiled.infos;
      for (const [i, info] of compiled.infos.entries()) if (known?.[i] !== info) rules.set(info.id, info);
    }
    this.#rules = rules.done();
  }
}
