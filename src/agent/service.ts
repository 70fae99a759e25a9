import { release } from 'node:os';
import { diff, formatPlan } from '../compile/diff.ts';
import type { CompileInput, KnownIdentity } from '../compile/input.ts';
import type { RuleInfo } from '../compile/tables.ts';
import type { FlowRecord } from '../datapath/port.ts';
import type { EventFilter, EventJournal } from '../events/journal.ts';
import { wants } from '../events/journal.ts';
import { type AnyPolicy, isHardening } from '../model/any-policy.ts';
import { formatIdentity } from '../model/identity.ts';
import { type Policy, policyKey, policyTitle } from '../model/policy.ts';
import type { Agent } from './agent.ts';
import type { RecordQuery, RevokeRequest } from './api/between-contract.ts';
import type {
  ApplyView,
  DigestView,
  DriftView,
  EndpointView,
  ExplainRequest,
  FlowView,
  IdentityView,
  PolicyChange,
  PolicyRequest,
  PolicyView,
  StatusView,
  VersionView,
} from './api/contract.ts';
import type { ExplainView } from './api/explanation.ts';
import type { AgentService, FlowFilter, PolicySelector } from './api/service.ts';
import { endpointView, flowView, identityView, policyView } from './api/views.ts';
import { BetweenAnswers } from './between/service.ts';
import { AgentError, asAgentError } from './errors.ts';
import { explainRequest } from './explain.ts';
import { HardeningAnswers } from './hardening/answers.ts';
import { placeOf } from './kubernetes/probes.ts';
import { pickEndpoint, pickIdentity, pickPolicy } from './names.ts';
import { statusOf } from './status.ts';
import { VERSION } from './version.ts';

/** A policy in force, and where it is kept. */
interface Listed {
  readonly policy: AnyPolicy;
  readonly file: string;
}

/** The API's answers, from the agent's state. */
export class Service implements AgentService {
  readonly #agent: Agent;
  readonly #between: BetweenAnswers;
  readonly #hardening: HardeningAnswers;

  constructor(agent: Agent) {
    this.#agent = agent;
    this.#between = new BetweenAnswers(agent);
    this.#hardening = new HardeningAnswers(agent.parts.datapath.hardening, agent.hardening);
  }

  get journal(): EventJournal {
    return this.#agent.journal;
  }

  version(): VersionView {
    return { version: VERSION, api: 'v1', node: this.#agent.parts.node, kernel: release(), pid: process.pid };
  }

  status(): StatusView {
    return statusOf(this.#agent);
  }

  drift(): readonly DriftView[] {
    return this.#agent.drift();
  }

  endpoints(): readonly EndpointView[] {
    const { applied } = this.#agent.enforcement;
    const status = this.#endpointStatus();
    return applied.endpoints.map((endpoint) => endpointView(endpoint, status.get(endpoint.id), applied));
  }

  endpoint(name: string, namespace?: string): EndpointView {
    const { applied } = this.#agent.enforcement;
    const endpoint = pickEndpoint(name, applied.endpoints, namespace);
    return endpointView(endpoint, this.#endpointStatus().get(endpoint.id), applied);
  }

  identities(): readonly IdentityView[] {
    return this.#identities().map((identity) => this.#identityView(identity));
  }

  identity(name: string, namespace?: string): IdentityView {
    return this.#identityView(pickIdentity(name, this.#identities(), namespace));
  }

  policies(): readonly PolicyView[] {
    return this.#policyViews(this.#listed());
  }

  policy(name: string, where: PolicySelector): PolicyView {
    const listed = this.#listed();
    const policy = pickPolicy(
      name,
      listed.map((one) => one.policy),
      where,
    );
    const [view] = this.#policyViews(listed.filter((one) => one.policy === policy));
    if (view === undefined) throw new AgentError('NOT_FOUND', `Policy ${name} has just gone`);
    return view;
  }

  async applyPolicies({ files, dryRun }: PolicyRequest, caller: string): Promise<ApplyView> {
    const { policies } = this.#agent;
    if (dryRun) {
      const { changes, all } = await policies.plan(files);
      return { changes, dryRun, plan: formatPlan(this.#agent.enforcement.preview([...all, ...this.#extra()])) };
    }
    return await this.#changed(caller, () => policies.apply(files));
  }

  async deletePolicy(name: string, where: PolicySelector, caller: string): Promise<ApplyView> {
    const { policies } = this.#agent;
    return await this.#changed(caller, async () => [
      await policies.delete(name, where).catch((error: unknown) => {
        throw this.#isExtra(name, where) ?? error;
      }),
    ]);
  }

  explain(request: ExplainRequest): ExplainView {
    const { enforcement, parts } = this.#agent;
    const bySlot = new Map<number, KnownIdentity>();
    for (const [id, identity] of enforcement.identities) {
      const slot = parts.datapath.slotOf(id);
      if (slot !== undefined) bySlot.set(slot, identity);
    }
    const input: CompileInput = { policies: enforcement.meant, identities: bySlot };
    return explainRequest(request, {
      input,
      tables: parts.datapath.currentTables(),
      endpoints: enforcement.applied.endpoints,
      nodes: enforcement.applied.nodes,
      slotOf: (id) => parts.datapath.slotOf(id),
    });
  }

  flows({ about, verdicts, limit }: FlowFilter): readonly FlowView[] {
    const { datapath } = this.#agent.parts;
    const { names } = this.#agent;
    const found: { readonly flow: FlowRecord; readonly view: FlowView }[] = [];
    for (const flow of datapath.flows()) {
      const view = flowView(flow, names);
      if (verdicts !== undefined && !verdicts.includes(view.verdict)) continue;
      if (about !== undefined && ![view.endpoint, view.source.name, view.destination.name].includes(about)) continue;
      found.push({ flow, view });
    }
    found.sort((a, b) => b.flow.seenAt - a.flow.seenAt);
    return found.slice(0, limit).map(({ view }) => view);
  }

  digest(filter: EventFilter, limit: number): DigestView[] {
    const entries = this.journal.digest.list().filter((entry) => wants(filter, entry.last));
    return (limit === 0 ? [] : entries.slice(-limit)).map(({ first, last, count }) => ({
      first: first.time,
      last: last.time,
      count,
      event: last,
    }));
  }

  profiles() {
    return this.#hardening.profiles();
  }

  profile(name: string, namespace?: string) {
    return this.#hardening.profile(name, namespace);
  }

  handshakes() {
    return this.#between.handshakes();
  }

  handshake(id: string) {
    return this.#between.handshake(id);
  }

  records(query: RecordQuery) {
    return this.#between.records(query);
  }

  peers() {
    return this.#between.peers();
  }

  peerAgents() {
    return this.#between.peerAgents();
  }

  revoke(request: RevokeRequest, caller: string) {
    return this.#between.revoke(request, caller);
  }

  async metrics(): Promise<string> {
    return await this.#agent.measurements.registry.metrics();
  }

  /** Why a policy that no file says cannot be deleted here; undefined where none is called so. */
  #isExtra(name: string, where: PolicySelector): AgentError | undefined {
    const named = ({ namespace, name: own }: AnyPolicy): boolean => name === own || name === `${namespace}/${own}`;
    const found = this.#extra().find((policy) => named(policy) && (where.kind ?? policy.kind) === policy.kind);
    if (found === undefined) return undefined;
    const { kind, namespace, name: own } = found;
    if (placeOf(found) === 'built in') {
      return new AgentError('CONFLICT', `${policyKey(found)} is built in`, { hint: 'see kubernetes.probes' });
    }
    const object = `${kind.toLowerCase()} ${own}${namespace === '' ? '' : ` -n ${namespace}`}`;
    return new AgentError('CONFLICT', `${policyKey(found)} is kept in the cluster`, {
      hint: `kubectl delete ${object}`,
    });
  }

  /** Makes a change, waits until the kernel has it, and says what that took. */
  async #changed(caller: string, change: () => Promise<readonly PolicyChange[]>): Promise<ApplyView> {
    const { parts, reconciler } = this.#agent;
    const tables = parts.datapath.currentTables();
    const began = performance.now();
    const changes = await change();
    parts.logger.info({ caller, changes }, 'Policies were changed through the API');
    try {
      await reconciler.applied();
    } catch (error) {
      const { message, hint } = asAgentError(error);
      throw new AgentError('NOT_APPLIED', `The change is stored, but the kernel does not have it yet: ${message}`, {
        hint: hint ?? 'it is tried again by itself; see "sallyport status"',
        cause: error,
      });
    }
    const latencyMs = performance.now() - began;
    return { changes, dryRun: false, plan: formatPlan(diff(tables, parts.datapath.currentTables())), latencyMs };
  }

  #endpointStatus() {
    return new Map(this.#agent.parts.datapath.endpointStatus().map((status) => [status.id, status]));
  }

  #identities(): KnownIdentity[] {
    const identities = [...this.#agent.enforcement.identities.values()];
    return identities.sort((a, b) => (formatIdentity(a.id) < formatIdentity(b.id) ? -1 : 1));
  }

  #identityView(identity: KnownIdentity): IdentityView {
    const { applied } = this.#agent.enforcement;
    return identityView(identity, this.#agent.parts.datapath.slotOf(identity.id) ?? 0, applied.endpoints, applied);
  }

  /** All that is in force: of files and of the cluster, and what no file says. */
  #listed(): Listed[] {
    const { policies, hardening } = this.#agent.policies.ledger;
    const located = [...policies, ...hardening].map(({ policy, origin }) => ({ policy, file: origin.file }));
    return [...located, ...this.#extra().map((policy) => ({ policy, file: placeOf(policy) }))];
  }

  #extra(): readonly Policy[] {
    return this.#agent.parts.cluster?.extraPolicies() ?? [];
  }

  #policyViews(listed: readonly Listed[]): PolicyView[] {
    const { datapath } = this.#agent.parts;
    const counters = datapath.ruleCounters();
    const rules = Map.groupBy(datapath.currentTables().rules.values(), (rule: RuleInfo) => rule.policy);
    const identities = [...this.#agent.enforcement.identities.values()];
    const view = (policy: AnyPolicy, file: string): PolicyView => {
      // Rules are known by their policy's name alone.
      const mine = isHardening(policy) ? [] : (rules.get(policyTitle(policy)) ?? []);
      return policyView({ policy, file, identities, rules: mine, counters });
    };
    return listed
      .map(({ policy, file }) => view(policy, file))
      .sort((a, b) => (`${a.namespace}/${a.name}` < `${b.namespace}/${b.name}` ? -1 : 1));
  }
}
