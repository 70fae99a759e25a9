/** HardeningProfiles: what all hardening policies of a workload come down to. Pure, but for what it remembers. */
import { READY_RULES, readyNames } from '../hardening/catalogue/index.ts';
import { type ProfileDocument, profileDocument } from '../hardening/document.ts';
import { HardeningError } from '../hardening/error.ts';
import { ExecutableBits } from '../hardening/executables.ts';
import { compileProfile } from '../hardening/profile.ts';
import { isHardening } from '../model/any-policy.ts';
import type { HardeningPolicy } from '../model/hardening.ts';
import { formatIdentity } from '../model/identity.ts';
import { HARDENING_PROFILE_LIMITS, type HardeningProfileResource } from '../model/schema/hardening-profile.ts';
import { SelectorIndex } from '../model/selector-index.ts';
import { formatWorkload } from '../model/workload.ts';
import type { PlacedIdentity, WorkloadFacts, Workloads } from './identities.ts';
import type { JudgedPolicy } from './policies.ts';

type Spec = HardeningProfileResource['spec'];
type Profile = Spec['profiles'][number];

export interface ProfileObject {
  readonly spec: Spec;
  /** What the kernel could not hold, for people. */
  readonly failures: readonly string[];
  /** What it is made of, for its status: who is under which policies. */
  readonly groups: readonly ProfileGroup[];
}

/** Containers with the same policies. */
export interface ProfileGroup {
  readonly policies: readonly JudgedPolicy[];
  readonly identities: readonly PlacedIdentity[];
}

interface Compiled {
  readonly document: ProfileDocument;
  readonly failure?: string;
}

type Told = Pick<ProfileObject, 'spec' | 'failures'> & { readonly from: string };

/** Compiled sets of policies kept between rounds; the oldest goes first. About 100 KiB each. */
const MOST_KEPT = 256;
/** A rule or profile beyond this is cut: the object must fit into 1.5 MiB. */
const MOST_BYTES = 1_000_000;

export class ProfileBuilder {
  readonly #kept = new Map<string, Compiled>();
  /** What was said of each workload last, and of what it was made: most rounds change nothing for most of them. */
  #told = new Map<string, Told>();

  /** The objects there should be, by `namespace/name`: of workloads with a container that a policy selects. */
  desired(workloads: Workloads, judged: readonly JudgedPolicy[]): Map<string, ProfileObject> {
    const index = new SelectorIndex<JudgedPolicy>();
    const rank = new Map<JudgedPolicy, number>();
    for (const one of judged) {
      if (one.policy === undefined || !isHardening(one.policy)) continue;
      index.add(one.policy.subject, one);
      rank.set(one, rank.size);
    }
    const objects = new Map<string, ProfileObject>();
    if (rank.size === 0) return objects;
    const told = new Map<string, Told>();
    for (const [key, facts] of workloads) {
      const groups = groupsOf(facts, index, rank);
      if (groups.size === 0) continue;
      const from = JSON.stringify(
        [...groups].map(([name, { identities }]) => [name, identities.map(({ id }) => `${id}`)]),
      );
      const last = this.#told.get(key);
      const said = last?.from === from ? last : { from, ...this.#say(facts, groups) };
      told.set(key, said);
      objects.set(key, { spec: said.spec, failures: said.failures, groups: [...groups.values()] });
    }
    this.#told = told;
    return objects;
  }

  #say(facts: WorkloadFacts, groups: ReadonlyMap<string, ProfileGroup>): Pick<ProfileObject, 'spec' | 'failures'> {
    const failures: string[] = [];
    const profiles = [...groups].map(([name, { policies, identities }]) => {
      const { document, failure } = this.#compiled(name, policies);
      if (failure !== undefined) failures.push(failure);
      return toProfile(document, policies, identities);
    });
    const ordered = profiles
      .sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))
      .slice(0, HARDENING_PROFILE_LIMITS.profiles);
    return { spec: { workload: formatWorkload(facts.workload), profiles: bounded(ordered) }, failures };
  }

  #compiled(name: string, judged: readonly JudgedPolicy[]): Compiled {
    const kept = this.#kept.get(name);
    if (kept !== undefined) {
      // The one used last goes last.
      this.#kept.delete(name);
      this.#kept.set(name, kept);
      return kept;
    }
    const compiled = compile(
      judged.map(({ policy }) => policy).filter((policy) => policy !== undefined && isHardening(policy)),
    );
    this.#kept.set(name, compiled);
    const oldest = this.#kept.size > MOST_KEPT ? this.#kept.keys().next() : undefined;
    if (oldest?.done === false) this.#kept.delete(oldest.value);
    return compiled;
  }
}

/** The containers of a workload by the policies that select them; each policy by its version. */
function groupsOf(
  facts: WorkloadFacts,
  index: SelectorIndex<JudgedPolicy>,
  rank: ReadonlyMap<JudgedPolicy, number>,
): Map<string, ProfileGroup> {
  const groups = new Map<string, ProfileGroup & { readonly identities: PlacedIdentity[] }>();
  for (const identity of facts.identities.values()) {
    if (identity.container === '') continue;
    const policies = [...index.selecting(identity)]
      .filter(({ policy }) => policy !== undefined)
      .sort((a, b) => rank.get(a)! - rank.get(b)!);
    if (policies.length === 0) continue;
    const name = policies.map(({ object }) => `${object.uid}/${object.generation}`).join(' ');
    const group = groups.get(name) ?? { policies, identities: [] };
    group.identities.push(identity);
    groups.set(name, group);
  }
  return groups;
}

function compile(policies: readonly HardeningPolicy[]): Compiled {
  const resolved = policies.map(withoutGroups);
  const options = { executables: new ExecutableBits(), ready: READY_RULES };
  try {
    return { document: profileDocument('', resolved, compileProfile(resolved, options), READY_RULES) };
  } catch (thrown) {
    if (!(thrown instanceof HardeningError)) throw thrown;
    // What the rules are can still be told.
    const nothing = { id: 0n, pages: [], rules: new Map(), executables: [], size: { states: 0, cells: 0, pages: 0 } };
    return { document: profileDocument('', resolved, nothing, READY_RULES), failure: thrown.message };
  }
}

function withoutGroups(policy: HardeningPolicy): HardeningPolicy {
  const rules = policy.rules.map((rule) => ({ ...rule, ready: [...new Set(rule.ready.flatMap(readyNames))] }));
  return { ...policy, rules };
}

function toProfile(
  { spec, status }: ProfileDocument,
  judged: readonly JudgedPolicy[],
  identities: readonly PlacedIdentity[],
): Profile {
  const generations = new Map(
    judged.map(({ object }) => [
      object.namespace === '' ? object.name : `${object.namespace}/${object.name}`,
      object.generation,
    ]),
  );
  const containers = identities.map(({ container, id }) => ({ name: container, id: formatIdentity(id) }));
  const { policies, containers: mostContainers, rules } = HARDENING_PROFILE_LIMITS;
  const omitted = spec.rules.length - rules;
  return {
    containers: containers
      .sort((a, b) => (`${a.name} ${a.id}` < `${b.name} ${b.id}` ? -1 : 1))
      .slice(0, mostContainers),
    profile: status.profile,
    policies: spec.policies.slice(0, policies).map((policy) => {
      const generation = generations.get(policy.name);
      return { ...(policy as Profile['policies'][number]), ...(generation === undefined ? {} : { generation }) };
    }),
    defaults: spec.defaults as Profile['defaults'],
    ...(spec.stagedDefaults === undefined ? {} : { stagedDefaults: spec.stagedDefaults as Profile['defaults'] }),
    rules: spec.rules.slice(0, rules) as Profile['rules'],
    ...(omitted > 0 ? { omittedRules: omitted } : {}),
    size: status.size,
  };
}

function nameOf({ containers }: Profile): string {
  const [first] = containers;
  return first === undefined ? '' : `${first.name} ${first.id}`;
}

/** Leaves out rules from the last profile on until the whole fits. */
function bounded(profiles: Profile[]): Profile[] {
  let left = MOST_BYTES;
  return profiles.map((profile) => {
    const kept: Profile['rules'] = [];
    for (const rule of profile.rules) {
      left -= JSON.stringify(rule).length;
      if (left < 0) break;
      kept.push(rule);
    }
    const omitted = (profile.omittedRules ?? 0) + profile.rules.length - kept.length;
    return { ...profile, rules: kept, ...(omitted > 0 ? { omittedRules: omitted } : {}) };
  });
}
