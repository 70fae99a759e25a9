import { statSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { AnyPolicy } from '../model/any-policy.ts';
import type { HardeningPolicy } from '../model/hardening.ts';
import { hardeningSetErrors } from '../model/hardening-set.ts';
import type { LocatedHardeningPolicy, LocatedPolicy } from '../model/located-policy.ts';
import { canonicalJson } from '../model/manifest.ts';
import { type Policy, policyKey } from '../model/policy.ts';
import type { PolicyFile as ParsedFile } from '../model/policy-file.ts';
import { policySetErrors } from '../model/policy-set.ts';
import type { PolicyProblem } from '../model/problem.ts';
import { isClusterFile, type KubernetesPolicies } from '../sources/kubernetes/policies.ts';
import { PolicyDirectory, type PolicyFile } from '../sources/policies.ts';
import type { SourceStatus } from '../sources/source.ts';
import type { PolicyChange } from './api/contract.ts';
import { AgentError } from './errors.ts';
import { LastGood } from './last-good.ts';
import { pickPolicy } from './names.ts';
import { faultOf } from './policy-fault.ts';
import { fileOf, isApplied, removePolicy, textOf, writePolicies } from './policy-files.ts';
import { EMPTY_LEDGER, isFormer, type Ledger, type ParseCache, problemKey, settle } from './policy-ledger.ts';
import { PolicyParser } from './policy-parser.ts';
import { pathOfName } from './policy-place.ts';
import { READY_NAMES } from './ready-names.ts';

export interface PolicyStoreOptions {
  readonly directory: string;
  readonly state: string;
  /** Those that are kept in a cluster. Until it is synced, the ones that were in force before stay. */
  readonly cluster?: Pick<KubernetesPolicies, 'synced' | 'snapshot' | 'onChange' | 'expect'> | undefined;
  readonly now: () => number;
  /** The ledger changed. `since`: when the oldest of the changed files was written, milliseconds since the epoch. */
  readonly onChange: (ledger: Ledger, since: number) => void;
  /** A fault that was not there before. */
  readonly onProblem: (problem: PolicyProblem) => void;
  /** What does not stop the work: the last good versions cannot be kept. */
  readonly onFault: (error: Error) => void;
}

interface InputFile {
  readonly file: string;
  readonly text: string;
}

export interface ApplyPlan {
  readonly given: readonly AnyPolicy[];
  /** One for each that is given. */
  readonly changes: readonly PolicyChange[];
  /** Everything that would be in force. */
  readonly all: readonly Policy[];
  readonly hardening: readonly HardeningPolicy[];
}

/** How long parsing may keep others from working, milliseconds. */
const TURN_MS = 10;
/** How long a change through the API may take to be seen in the directory, milliseconds. */
const SEEN_MS_MOST = 10_000;

/**
 * The policies of this node. Files are the one place they are kept in: people write some, the API writes others, and
 * both come into force by being read back.
 */
export class PolicyStore {
  readonly #options: PolicyStoreOptions;
  readonly #files: PolicyDirectory;
  readonly #lastGood: LastGood;
  readonly #parser = new PolicyParser();
  readonly #cache: ParseCache = new WeakMap();
  #ledger: Ledger = EMPTY_LEDGER;
  #problems: ReadonlySet<string> = new Set();
  /** Called after each change of the ledger. */
  readonly #settled = new Set<() => void>();
  #working = false;
  #changes = 0;
  #again = false;
  #synced = false;
  /** Changes through the API and saves, one after the other. */
  #queue: Promise<unknown> = Promise.resolve();
  #saving: Promise<void> = Promise.resolve();
  /** When the change through the API began that is not read back yet. */
  #askedAt: number | undefined;

  constructor(options: PolicyStoreOptions) {
    this.#options = options;
    this.#files = new PolicyDirectory({ directory: options.directory, now: options.now });
    this.#lastGood = new LastGood(options.state);
  }

  /** How often files have been settled anew since the ledger was first read. */
  get changes(): number {
    return this.#changes;
  }

  get ledger(): Ledger {
    return this.#ledger;
  }

  /** The directory was read once. */
  get synced(): boolean {
    return this.#synced;
  }

  status(): SourceStatus {
    return this.#files.status();
  }

  /** Resolves when the policies are known, which may be never; rejects where the directory cannot be made. */
  async start(signal: AbortSignal): Promise<void> {
    const { directory, onFault } = this.#options;
    await mkdir(directory, { recursive: true, mode: 0o755 });
    const kept = await this.#lastGood.load().catch((error: unknown) => {
      onFault(new AgentError('INTERNAL', `Cannot read the last good policies: ${messageOf(error)}`, { cause: error }));
      return EMPTY_LEDGER.accepted;
    });
    this.#ledger = { ...EMPTY_LEDGER, accepted: kept };
    this.#files.onChange(() => this.#changed());
    this.#options.cluster?.expect(this.#keptOfCluster());
    this.#options.cluster?.onChange(() => this.#changed());
    await this.#files.start(signal);
    while (!this.#synced && !signal.aborted) await this.#nextChange(SEEN_MS_MOST);
  }

  async close(): Promise<void> {
    await this.#files.close();
    await this.#parser.close();
    await this.#saving;
  }

  /**
   * What applying these files would change.
   * @throws AgentError INVALID with every fault, CONFLICT for policies that people keep in files of their own
   */
  async plan(files: readonly InputFile[]): Promise<ApplyPlan> {
    const parsed: ParsedFile[] = [];
    for (const { file, text } of files) {
      const found = await this.#parser.parse(file, Buffer.from(text));
      if (found === undefined) throw new AgentError('NOT_READY', 'The agent is stopping; nothing was changed');
      parsed.push(found);
      await setImmediate();
    }
    const given = parsed.flatMap(({ policies, hardening }) => [...policies, ...hardening]);
    const keys = new Set(given.map(({ policy }) => policyKey(policy)));
    const other = ({ policy }: LocatedPolicy | LocatedHardeningPolicy): boolean => !keys.has(policyKey(policy));
    const all = [...this.#ledger.policies.filter(other), ...parsed.flatMap(({ policies }) => policies)];
    const hardening = [...this.#ledger.hardening.filter(other), ...parsed.flatMap((file) => file.hardening)];
    const problems = [
      ...parsed.flatMap((file) => file.problems),
      ...policySetErrors(all),
      ...hardeningSetErrors(hardening, READY_NAMES),
    ];
    const faults = problems.filter(({ severity }) => severity === 'error').map(faultOf);
    if (faults.length > 0) {
      throw new AgentError('INVALID', 'The policies do not validate; nothing was changed', { faults });
    }
    if (given.length === 0) throw new AgentError('INVALID', 'There is no policy in the input');
    const policies = given.map(({ policy }) => policy);
    return {
      given: policies,
      changes: policies.map((policy) => this.#changeOf(policy)),
      all: all.map(({ policy }) => policy),
      hardening: hardening.map(({ policy }) => policy),
    };
  }

  /** Stores the policies and resolves when they have been read back. @throws as `plan`; INTERNAL where the disk refuses */
  apply(files: readonly InputFile[]): Promise<readonly PolicyChange[]> {
    const askedAt = this.#options.now();
    return this.#serialized(async () => {
      const { changes, given } = await this.plan(files);
      const stored = given.filter((_, index) => changes[index]?.action !== 'unchanged');
      if (stored.length === 0) return changes;
      this.#askedAt = askedAt;
      await writePolicies(this.#options.directory, stored);
      const texts = new Map(stored.map((policy) => [fileOf(policy), Buffer.from(textOf(policy))]));
      await this.#seen((accepted) =>
        [...texts].every(([name, bytes]) => accepted.get(name)?.bytes.equals(bytes) === true),
      );
      return changes;
    });
  }

  /** The policy that a deletion means, and what is left without it. @throws AgentError NOT_FOUND, AMBIGUOUS, CONFLICT */
  #planDelete(
    name: string,
    where: Parameters<typeof pickPolicy>[2],
  ): { readonly policy: AnyPolicy; readonly change: PolicyChange } {
    const all = this.#located().map((located): AnyPolicy => located.policy);
    const policy = pickPolicy(name, all, where);
    const file = this.fileOf(policy);
    if (!isApplied(file)) throw foreign(policy, file, 'delete');
    const { kind, namespace } = policy;
    const change: PolicyChange = { kind, namespace, name: policy.name, action: 'deleted', file };
    return { policy, change };
  }

  /** Removes a policy that came through the API and resolves when the directory was read without it. */
  delete(name: string, where: Parameters<typeof pickPolicy>[2]): Promise<PolicyChange> {
    const askedAt = this.#options.now();
    return this.#serialized(async () => {
      const { change, policy } = this.#planDelete(name, where);
      this.#askedAt = askedAt;
      await removePolicy(this.#options.directory, policy);
      await this.#seen((accepted) => !accepted.has(fileOf(policy)));
      return change;
    });
  }

  /** The path of the file a policy in force is in. */
  fileOf(policy: AnyPolicy): string {
    return this.#locate(policy)?.origin.file ?? join(this.#options.directory, fileOf(policy));
  }

  #located(): readonly (LocatedPolicy | LocatedHardeningPolicy)[] {
    return [...this.#ledger.policies, ...this.#ledger.hardening];
  }

  #locate(policy: AnyPolicy): LocatedPolicy | LocatedHardeningPolicy | undefined {
    const key = policyKey(policy);
    return this.#located().find((located) => policyKey(located.policy) === key);
  }

  #changeOf(policy: AnyPolicy): PolicyChange {
    const { kind, namespace, name } = policy;
    const present = this.#locate(policy);
    const file = this.fileOf(policy);
    if (present === undefined) return { kind, namespace, name, action: 'created', file };
    if (canonicalJson(present.policy) === canonicalJson(policy))
      return { kind, namespace, name, action: 'unchanged', file };
    if (!isApplied(file)) throw foreign(policy, file, 'change');
    return { kind, namespace, name, action: 'configured', file };
  }

  /** The directory changed: at once, or after the change that is being worked on. */
  #changed(): void {
    this.#again = true;
    if (this.#working) return;
    this.#working = true;
    void this.#work();
  }

  async #work(): Promise<void> {
    try {
      while (this.#again) {
        this.#again = false;
        const files = [...this.#files.snapshot(), ...this.#clusterFiles()];
        const known = await this.#parse(files);
        if (known && !this.#again) this.#settle(files);
      }
    } finally {
      // In the same turn as the last look at `#again`: a change in between would be left lying.
      this.#working = false;
    }
  }

  /** What the cluster has; while it has not told, what was in force of it. */
  #clusterFiles(): readonly PolicyFile[] {
    const { cluster } = this.#options;
    if (cluster === undefined) return [];
    return cluster.synced ? cluster.snapshot() : this.#keptOfCluster();
  }

  #keptOfCluster(): readonly PolicyFile[] {
    const kept = [...this.#ledger.accepted].filter(([name]) => isClusterFile(name));
    return kept.map(([name, { bytes }]) => ({ name, content: { ok: true, bytes } }));
  }

  /**
   * Parses what is new, letting others work in between: thousands of rules take seconds.
   * @returns false where the store was closed before the end
   */
  async #parse(files: readonly PolicyFile[]): Promise<boolean> {
    const { directory } = this.#options;
    let turn = performance.now();
    for (const file of files) {
      const { name, content } = file;
      if (!content.ok || this.#cache.has(file) || isFormer(file, this.#ledger.accepted.get(name))) continue;
      const parsed = await this.#parser.parse(pathOfName(directory, name), content.bytes);
      if (parsed === undefined) return false;
      this.#cache.set(file, parsed);
      if (performance.now() - turn < TURN_MS) continue;
      await setImmediate();
      turn = performance.now();
    }
    return true;
  }

  #settle(files: readonly PolicyFile[]): void {
    const { directory, now, onChange, onFault, onProblem } = this.#options;
    const former = this.#ledger;
    this.#ledger = settle(former.accepted, files, directory, this.#cache);
    const { accepted, errors } = this.#ledger;
    for (const problem of errors) if (!this.#problems.has(problemKey(problem))) onProblem(problem);
    this.#problems = new Set(errors.map(problemKey));
    onChange(this.#ledger, this.#synced ? this.#since(former) : now());
    if (this.#synced) this.#changes += 1;
    this.#synced = true;
    for (const listener of [...this.#settled]) listener();
    this.#saving = this.#saving
      .then(() => this.#lastGood.save(accepted))
      .catch((error: unknown) => {
        const failure = `Cannot keep the last good policies: ${messageOf(error)}`;
        onFault(new AgentError('INTERNAL', failure, { hint: 'see state.directory', cause: error }));
      });
  }

  /** When the oldest change since the former ledger was asked for: the API called, or a file put in its place. */
  #since(former: Ledger): number {
    const { directory, now } = this.#options;
    const times = [now(), this.#askedAt ?? Number.POSITIVE_INFINITY];
    this.#askedAt = undefined;
    for (const [name, version] of this.#ledger.accepted) {
      if (former.accepted.get(name) === version) continue;
      if (isClusterFile(name)) continue;
      // ctime: a file that is renamed into place keeps its mtime.
      times.push(statSync(join(directory, name), { throwIfNoEntry: false })?.ctimeMs ?? Number.POSITIVE_INFINITY);
    }
    return Math.min(...times);
  }

  /** Waits until what was accepted is as wanted. */
  async #seen(wanted: (accepted: Ledger['accepted']) => boolean): Promise<void> {
    const until = performance.now() + SEEN_MS_MOST;
    while (!wanted(this.#ledger.accepted)) {
      const left = until - performance.now();
      if (left <= 0) {
        throw new AgentError(
          'NOT_APPLIED',
          `The change is stored in ${this.#options.directory}, but was not read back`,
          {
            hint: 'see "sallyport status" for errors of policies and of the source "policies"',
          },
        );
      }
      await this.#nextChange(left);
    }
  }

  /** Resolves when the ledger changed, at the latest after some milliseconds. */
  #nextChange(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#settled.delete(done);
        resolve();
      };
      const timer = setTimeout(done, milliseconds);
      this.#settled.add(done);
    });
  }

  #serialized<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    // The next one does not care how this one ended.
    this.#queue = result.catch(() => {});
    return result;
  }
}

function foreign(policy: AnyPolicy, file: string, what: 'change' | 'delete'): AgentError {
  if (isClusterFile(file)) {
    const { kind, namespace, name } = policy;
    const object = `${kind.toLowerCase()}.sallyport.dev ${name}${namespace === '' ? '' : ` -n ${namespace}`}`;
    return new AgentError('CONFLICT', `${policyKey(policy)} is kept in the cluster`, {
      hint: what === 'delete' ? `kubectl delete ${object}` : 'kubectl apply -f FILE',
    });
  }
  return new AgentError('CONFLICT', `${policyKey(policy)} is kept in ${file}, which "policy apply" did not write`, {
    hint: `${what} it there; changes of the file come into force by themselves`,
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
