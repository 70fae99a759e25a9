import { policyHash } from '../model/manifest.ts';
import type { Direction, Policy } from '../model/policy.ts';
import { Slot } from '../model/slot.ts';
import { IdentityIndex } from './identity-index.ts';
import type { CompileInput, KnownIdentity } from './input.ts';
import { type CompiledPolicy, PreparedPolicy } from './prepared.ts';
import { assignRuleIds } from './rule-ids.ts';
import type { CompiledDirection } from './rules.ts';
import { type ClassStore, distinctNames, lookedUp, SetBuilder } from './sets.ts';
import type { Class, PolicySet, PolicyTables, RuleInfo, Subject } from './tables.ts';

/** Input no tables can be made from. Validation and slot assignment keep it from happening. */
export class CompileError extends Error {
  readonly code: 'DUPLICATE_POLICY' | 'RESERVED_SLOT';

  constructor(code: 'DUPLICATE_POLICY' | 'RESERVED_SLOT', message: string) {
    super(message);
    this.name = 'CompileError';
    this.code = code;
  }
}

/**
 * Turns policies into decision tables. Keeps what it made before, by content: sets and classes that did not change
 * are the same objects in the next result, which makes both compiling and diffing cheap. What the last input did not
 * need any more is forgotten.
 */
export class Compiler {
  readonly #index = new IdentityIndex();
  #prepared = new WeakMap<Policy, PreparedPolicy>();
  #byContent = new Map<string, PreparedPolicy>();
  #serials = new WeakMap<CompiledDirection, number>();
  #nextSerial = 0;
  #builders = new Map<string, SetBuilder>();
  #classes = new Map<bigint, Class>();
  #subjects: ReadonlyMap<number, Subject> = new Map();

  /**
   * @throws CompileError where two policies have one name, or an identity has a reserved slot
   */
  compile(input: CompileInput): PolicyTables {
    for (const slot of input.identities.keys()) {
      if (slot < Slot.First) throw new CompileError('RESERVED_SLOT', `slot ${slot} is not for identities`);
    }
    const policies = this.#prepare(input.policies);
    const { compiled, rules } = numberRules(policies);
    this.#index.update(input.identities);
    const selected = this.#select(policies, compiled);
    const builders = new Map<string, SetBuilder>();
    const sets = new Map<bigint, PolicySet>();
    const classes = new Map<bigint, Class>();
    const setOf = (direction: Direction, slot: number, identity: KnownIdentity): bigint => {
      const parts = selected[direction].get(slot);
      if (parts === undefined) return 0n;
      const { key, ownPorts } = this.#keyOf(direction, parts, identity);
      let builder = builders.get(key);
      if (builder === undefined) {
        builder = this.#builders.get(key) ?? new SetBuilder(parts, ownPorts, this.#store);
        builders.set(key, builder);
      }
      return builder.id;
    };
    const subjects = this.#subjectsOf(input.identities, setOf);
    for (const builder of builders.values()) {
      const set = builder.build(this.#index);
      sets.set(set.id, set);
      for (const one of builder.classes) classes.set(one.id, one);
    }
    this.#builders = builders;
    this.#classes = classes;
    this.#subjects = subjects;
    return { subjects, sets, classes: new Map(classes), rules };
  }

  #store: ClassStore = (built) => {
    const known = this.#classes.get(built.id);
    if (known !== undefined) return known;
    this.#classes.set(built.id, built);
    return built;
  };

  #prepare(policies: readonly Policy[]): PreparedPolicy[] {
    const byContent = new Map<string, PreparedPolicy>();
    const names = new Set<string>();
    const prepared = policies.map((policy) => {
      let found = this.#prepared.get(policy);
      if (found === undefined) {
        const hash = policyHash(policy);
        found = this.#byContent.get(hash) ?? new PreparedPolicy(policy, hash);
        this.#prepared.set(policy, found);
      }
      byContent.set(found.hash, found);
      if (names.has(found.key)) throw new CompileError('DUPLICATE_POLICY', `there are two policies ${found.key}`);
      names.add(found.key);
      return found;
    });
    this.#byContent = byContent;
    return prepared;
  }

  #select(policies: readonly PreparedPolicy[], compiled: readonly CompiledPolicy[]) {
    const selected = {
      egress: new Map<number, CompiledDirection[]>(),
      ingress: new Map<number, CompiledDirection[]>(),
    };
    for (const [i, policy] of policies.entries()) {
      for (const slot of this.#index.slotsOf(policy.subject)) {
        for (const direction of ['egress', 'ingress'] as const) {
          const part = compiled[i]?.[direction];
          if (part === undefined) continue;
          const parts = selected[direction].get(slot);
          if (parts === undefined) selected[direction].set(slot, [part]);
          else parts.push(part);
        }
      }
    }
    return selected;
  }

  /** Equal for subjects that share a set. */
  #keyOf(direction: Direction, parts: readonly CompiledDirection[], identity: KnownIdentity) {
    const serials = parts.map((part) => this.#serialOf(part)).sort((a, b) => a - b);
    if (direction === 'egress') return { key: `egress ${serials.join()}`, ownPorts: undefined };
    const key = `ingress ${serials.join()} ${lookedUp(distinctNames(parts), identity.ports)}`;
    return { key, ownPorts: identity.ports };
  }

  #serialOf(part: CompiledDirection): number {
    let serial = this.#serials.get(part);
    if (serial === undefined) {
      serial = this.#nextSerial++;
      this.#serials.set(part, serial);
    }
    return serial;
  }

  #subjectsOf(
    identities: ReadonlyMap<number, KnownIdentity>,
    setOf: (direction: Direction, slot: number, identity: KnownIdentity) => bigint,
  ): Map<number, Subject> {
    const subjects = new Map<number, Subject>();
    for (const [slot, identity] of identities) {
      const egress = setOf('egress', slot, identity);
      const ingress = setOf('ingress', slot, identity);
      const known = this.#subjects.get(slot);
      const same = known?.identity === identity.id && known.egress === egress && known.ingress === ingress;
      subjects.set(slot, same ? known : { slot, identity: identity.id, egress, ingress });
    }
    return subjects;
  }
}

/** One compilation that remembers nothing. */
export function compile(input: CompileInput): PolicyTables {
  return new Compiler().compile(input);
}

/** Gives rules their numbers, the preferred ones unless two collide. */
function numberRules(policies: readonly PreparedPolicy[]): {
  compiled: readonly CompiledPolicy[];
  rules: ReadonlyMap<number, RuleInfo>;
} {
  const rules = new Map<number, RuleInfo>();
  let compiled = policies.map((policy) => policy.compiled());
  let count = 0;
  for (const { infos } of compiled) {
    count += infos.length;
    for (const info of infos) rules.set(info.id, info);
  }
  if (rules.size === count) return { compiled, rules };
  rules.clear();
  const ids = assignRuleIds(
    policies.flatMap((policy) => policy.rules.map(({ key, preferredId: id }) => ({ key, id }))),
  );
  let from = 0;
  compiled = policies.map((policy) => {
    const own = ids.slice(from, from + policy.rules.length);
    from += own.length;
    const moved = policy.rules.some((rule, i) => rule.preferredId !== own[i]);
    return policy.compiled(moved ? own : undefined);
  });
  for (const { infos } of compiled) for (const info of infos) rules.set(info.id, info);
  return { compiled, rules };
}
