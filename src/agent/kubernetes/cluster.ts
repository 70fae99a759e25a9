import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { KnownIdentity } from '../../compile/input.ts';
import { fairShare } from '../../model/fair-share.ts';
import type { Policy } from '../../model/policy.ts';
import { KubernetesClient } from '../../sources/kubernetes/client.ts';
import type { Connection } from '../../sources/kubernetes/connection.ts';
import { type KnownSlice, projectSlice, WRITTEN_SLICES } from '../../sources/kubernetes/endpoint-slices.ts';
import { type AnnouncedWorkload, identitiesOf, projectIdentities } from '../../sources/kubernetes/identities.ts';
import { type GivenOwner, PodOwners } from '../../sources/kubernetes/owners.ts';
import { type KnownPod, projectPod } from '../../sources/kubernetes/pods.ts';
import { KubernetesPolicies } from '../../sources/kubernetes/policies.ts';
import { Reflector, type ReflectorStatistics } from '../../sources/kubernetes/reflector.ts';
import {
  ENDPOINT_SLICES,
  NODES,
  OLDER_ENDPOINT_SLICES,
  PODS,
  SERVICES,
  WORKLOAD_IDENTITIES,
} from '../../sources/kubernetes/resource.ts';
import { type KnownService, projectService } from '../../sources/kubernetes/services.ts';
import type { Source, SourceStatus } from '../../sources/source.ts';
import type { CredentialFiles } from '../../trust/credentials.ts';
import type { Neighbours } from '../between/domains.ts';
import type { KubernetesSettings } from '../config-kubernetes.ts';
import type { Wanted } from '../enforcement.ts';
import type { SourceHealth } from '../notices.ts';
import { agentsOf, type FoundAgents } from './agents.ts';
import { Enrolment } from './enrolment.ts';
import { Followed } from './followed.ts';
import { Naming } from './naming.ts';
import { type KnownNode, NETWORKS_MOST, networksOf, projectNode } from './nodes.ts';
import { PROBES } from './probes.ts';
import { RememberedMap } from './remembered.ts';
import { UpstreamPolicies } from './upstream.ts';

export interface ClusterOptions {
  readonly connection: Connection;
  readonly settings: KubernetesSettings;
  /** As the cluster calls this node. */
  readonly node: string;
  readonly domain: string;
  /** Identities of the cluster there is room for; namespaces share it. */
  readonly identitiesMost: number;
  /** The agent's own. */
  readonly state: string;
  /** Where agents listen for each other; undefined: they do not shake hands. */
  readonly handshakePort?: number;
  /** Where certificate and key of this agent are, and whom it believes. */
  readonly credentials: CredentialFiles;
  readonly now: () => number;
  readonly onFault: (error: Error) => void;
  /** There is no certificate, or no newer one. */
  readonly onNoCertificate: (error: Error) => void;
}

/** What the cluster says about other nodes; the same object while that does not change. */
interface Found extends Pick<FoundAgents, 'disputed' | 'beyond'> {
  readonly neighbours: Neighbours;
}

const NOBODY: Found = { neighbours: { prefixes: [], nodes: [], agents: [] }, disputed: [], beyond: 0 };

/** How often what is remembered may be written, milliseconds: of a few objects, and of those there are many of. */
const SAVE_MS = 2_000;
const SAVE_MANY_MS = 30_000;
/** Of all WorkloadIdentities: 100,000 identities with labels of a kilobyte. */
const IDENTITIES_BYTES = 128 << 20;
/** Of all slices that no selector has made: 100,000 addresses and more. */
const SLICES_BYTES = 16 << 20;
/** A rollout makes identities by the dozen, and each round looks at all of them, milliseconds. */
const GATHER_MANY_MS = 100;

/** A reflector, whatever it keeps. */
interface Following extends Pick<Source<unknown>, 'synced'> {
  status(): SourceStatus;
  statistics(): ReflectorStatistics;
}

/**
 * What the agent learns from its cluster: policies, who owns this node's pods, who runs elsewhere. What it knows stays
 * while the API server is away, also for the next agent.
 */
export class Cluster {
  readonly connection: Connection;
  readonly client: KubernetesClient;
  readonly policies: KubernetesPolicies;
  readonly owners: PodOwners;
  readonly #options: ClusterOptions;
  readonly #pods: Reflector<KnownPod>;
  readonly #owners: RememberedMap<GivenOwner>;
  readonly #identities: Followed<AnnouncedWorkload>;
  readonly #nodes: Followed<KnownNode>;
  readonly #services: Followed<KnownService>;
  readonly #slices: Followed<KnownSlice>;
  readonly #naming: Naming;
  readonly #upstream: UpstreamPolicies | undefined;
  readonly #listeners = new Set<() => void>();
  readonly #enrolment: Enrolment | undefined;
  readonly #ending = new AbortController();
  #found: { readonly from: ReadonlyMap<string, KnownNode> | undefined; readonly found: Found } = {
    from: undefined,
    found: NOBODY,
  };
  #networks = 0;
  #settled = false;
  #known: {
    readonly from: unknown;
    readonly identities: readonly KnownIdentity[];
    readonly refused: number;
    readonly beyond: number;
  } = { from: undefined, identities: [], refused: 0, beyond: 0 };
  #made = new WeakMap<AnnouncedWorkload, ReturnType<typeof identitiesOf>>();
  #policies: { readonly upstream: readonly Policy[] | undefined; readonly all: readonly Policy[] } | undefined;

  constructor(options: ClusterOptions) {
    const { connection, settings, node, state, now, onFault } = options;
    const directory = join(state, 'kubernetes');
    const shared = { connection, now, relistMs: settings.resync };
    const followed = { ...shared, directory, onFault, optional: true };
    this.#options = options;
    this.connection = connection;
    this.client = new KubernetesClient(connection);
    this.#pods = new Reflector({
      ...shared,
      resource: PODS,
      project: projectPod,
      fieldSelector: `spec.nodeName=${node}`,
      fromCache: true,
    });
    this.owners = new PodOwners({
      client: this.client,
      pods: this.#pods,
      now,
      waitMs: settings.wait,
      onGiven: () => this.#owners.changed(),
    });
    this.#owners = new RememberedMap({
      path: join(directory, 'owners.json'),
      now: () => this.owners.given,
      everyMs: SAVE_MS,
      onFault,
    });
    this.#identities = new Followed({
      ...followed,
      resource: WORKLOAD_IDENTITIES,
      project: projectIdentities,
      mostBytes: IDENTITIES_BYTES,
      saveMs: SAVE_MANY_MS,
      gatherMs: GATHER_MANY_MS,
    });
    this.#enrolment = settings.certificates
      ? new Enrolment({
          client: this.client,
          domain: options.domain,
          node,
          signer: settings.signer,
          files: options.credentials,
          now,
          onProblem: options.onNoCertificate,
        })
      : undefined;
    this.policies = new KubernetesPolicies(shared);
    this.#nodes = new Followed({ ...followed, resource: NODES, project: projectNode, saveMs: SAVE_MS });
    this.#services = new Followed({ ...followed, resource: SERVICES, project: projectService, saveMs: SAVE_MS });
    this.#slices = new Followed({
      ...followed,
      resource: ENDPOINT_SLICES,
      older: OLDER_ENDPOINT_SLICES,
      labelSelector: WRITTEN_SLICES,
      project: projectSlice,
      mostBytes: SLICES_BYTES,
      saveMs: SAVE_MS,
    });
    this.#naming = new Naming({
      services: () => this.#services.snapshot(),
      slices: () => this.#slices.snapshot(),
      nodes: () => this.#nodes.snapshot(),
      node,
    });
    this.#upstream = settings.networkPolicies
      ? new UpstreamPolicies({ ...followed, nodes: this.#nodes, saveMs: SAVE_MS })
      : undefined;
  }

  /** The server has told all, or has been waited for long enough: then what was known before counts. */
  get settled(): boolean {
    return this.#settled;
  }

  /** Calls the listener when what rounds are made of has changed; policies of our kinds tell of themselves. */
  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** What the server said to the last agent. To be called before `start`. */
  async load(): Promise<void> {
    this.owners.remember(await this.#owners.load());
    const [identities, nodes, services, slices] = [this.#identities, this.#nodes, this.#services, this.#slices];
    await Promise.all([identities, nodes, services, slices, this.#upstream].map((one) => one?.load()));
  }

  /** Resolves when settled. */
  async start(signal: AbortSignal): Promise<void> {
    const { settings } = this.#options;
    this.#enrolment?.start(AbortSignal.any([signal, this.#ending.signal]));
    this.#identities.reflector.onChange(() => this.#tell());
    this.#nodes.reflector.onChange(() => this.#tell());
    this.#services.reflector.onChange(() => this.#tell());
    this.#slices.reflector.onChange(() => this.#tell());
    this.#upstream?.onChange(() => this.#tell());
    const told = Promise.all([
      this.#pods.start(signal),
      this.#identities.start(signal),
      this.#nodes.start(signal),
      this.#services.start(signal),
      this.#slices.start(signal),
      this.policies.start(signal),
      this.#upstream?.start(signal),
    ]);
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, settings.wait);
    await Promise.race([told, late.promise]);
    clearTimeout(timer);
    this.#settled = true;
    this.#tell();
  }

  /** What is wanted, with all names that the cluster has for pods, and what its nodes mean. */
  named(wanted: Wanted): Wanted {
    return this.#naming.named(wanted);
  }

  /** Policies that no file says: the built-in one, and Kubernetes' own kinds in our words. */
  extraPolicies(): readonly Policy[] {
    const upstream = this.#upstream?.policies();
    if (this.#policies === undefined || this.#policies.upstream !== upstream) {
      const { probes } = this.#options.settings;
      this.#policies = { upstream, all: [...(probes ? [PROBES] : []), ...(upstream ?? [])] };
    }
    return this.#policies.all;
  }

  /** Networks of all pods, this node's too; the other nodes, and their agents. The same object while they do not change. */
  neighbours(): Neighbours {
    return this.#look().neighbours;
  }

  /** Asked for at every change of anything; nodes seldom change, and when they do it is mostly their heartbeat. */
  #look(): Found {
    const { settings, node, handshakePort } = this.#options;
    const from = this.#nodes.snapshot();
    const last = this.#found;
    if (last.from === from) return last.found;
    const networks = settings.podNetworks ? networksOf(from, node) : { pods: [], nodes: [] };
    const known =
      settings.agents && handshakePort !== undefined ? agentsOf(from, node, handshakePort) : { ...NOBODY, agents: [] };
    const { agents, disputed, beyond } = known;
    const prefixes = networks.pods.slice(0, NETWORKS_MOST);
    const nodes = networks.nodes.slice(0, NETWORKS_MOST - prefixes.length);
    const found = { neighbours: { prefixes, nodes, agents }, disputed, beyond };
    this.#networks = networks.pods.length + networks.nodes.length;
    this.#found = { from, found: isDeepStrictEqual(last.found, found) ? last.found : found };
    return this.#found.found;
  }

  /** Who runs in the cluster, wherever; the same array while nothing changes. */
  identities(): readonly KnownIdentity[] {
    const from = this.#identities.snapshot();
    if (from === this.#known.from) return this.#known.identities;
    const made = Array.from(from.values(), (announced) => {
      const known = this.#made.get(announced) ?? identitiesOf(this.#options.domain, announced);
      this.#made.set(announced, known);
      return known;
    });
    const refused = made.reduce((sum, one) => sum + one.refused, 0);
    const all = made.flatMap(({ known }) => known);
    const identities = fairShare(all, this.#options.identitiesMost, ({ workload }) => workload.namespace);
    this.#known = { from, identities, refused, beyond: all.length - identities.length };
    return this.#known.identities;
  }

  /** Identities that are not made from the attributes beside them. */
  get refusedIdentities(): number {
    return this.#known.refused;
  }

  /** What could not be taken over from Kubernetes' own kinds. */
  get upstreamProblems(): readonly string[] {
    return this.#upstream?.problems() ?? [];
  }

  /** What wants a person's eye, beside the source itself. */
  problems(): string[] {
    const { refused, beyond: unknown } = this.#known;
    const { problem } = this.policies;
    const { disputed, beyond: agentless } = this.#look();
    const beyond = this.#networks - NETWORKS_MOST;
    const certificate = this.#enrolment?.problem;
    return [
      ...(problem === undefined ? [] : [problem]),
      ...this.upstreamProblems,
      ...(beyond > 0
        ? [`${beyond} networks of pods and nodes are too many: name ones that cover them, network.prefixes`]
        : []),
      ...(agentless > 0 ? [`${agentless} nodes are too many: their agents shake no hands`] : []),
      ...(disputed.length === 0 ? [] : [`more than one node claims ${disputed.slice(0, 3).join(', ')}`]),
      ...(certificate === undefined ? [] : [certificate]),
      ...(unknown === 0 ? [] : [`${unknown} identities are too many, of namespaces that have most: nobody knows them`]),
      ...(refused === 0 ? [] : [`${refused} WorkloadIdentity entries are not made from their attributes`]),
    ];
  }

  /** By the plural of what it follows. */
  reflectors(): ReadonlyMap<string, Following> {
    const all = [
      this.#pods,
      this.#identities.reflector,
      this.#nodes.reflector,
      this.#services.reflector,
      this.#slices.reflector,
      ...this.policies.reflectors,
      ...(this.#upstream?.reflectors ?? []),
    ];
    return new Map(all.map((one) => [one.name.replace('kubernetes/', ''), one]));
  }

  /** As one source: it works when all of it does. */
  health(): SourceHealth {
    const all = [...this.reflectors().values()].map((one) => ({ synced: one.synced, ...one.status() }));
    const worst = all.find(({ healthy }) => !healthy);
    return {
      name: 'kubernetes',
      synced: all.every(({ synced }) => synced),
      healthy: worst === undefined,
      since: worst?.since ?? Math.max(...all.map(({ since }) => since)),
      restarts: all.reduce((sum, { restarts }) => sum + restarts, 0),
      endpoints: this.#pods.snapshot().size,
      ...(worst?.error === undefined ? {} : { error: worst.error.message }),
    };
  }

  async close(): Promise<void> {
    this.#ending.abort();
    this.owners.close();
    await this.#enrolment?.ended();
    await Promise.all([
      this.#pods.close(),
      this.#identities.close(),
      this.#nodes.close(),
      this.#services.close(),
      this.#slices.close(),
      this.policies.close(),
    ]);
    await this.#upstream?.close();
    await this.#owners.close();
    await this.connection.close();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
