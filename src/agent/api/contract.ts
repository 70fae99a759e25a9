import * as z from 'zod';
import type { Event } from '../../events/event.ts';
import type { AnyPolicyKind } from '../../model/any-policy.ts';
import type { EndpointMode, NamedPort } from '../../model/endpoint.ts';
import type { PolicyMode } from '../../model/policy.ts';
import type { Fault } from '../errors.ts';
import { BODY_BYTES_MOST } from './limits.ts';
import type { HardeningStatusView } from './profile-contract.ts';

/**
 * The API's words (docs/api.md): what a request may say, checked, and what an answer says, typed. Fields are only
 * ever added to answers. Times are RFC 3339, identities 16 hexadecimal digits, cgroup ids decimal text (64 bits do
 * not fit a JSON number).
 */

const name = z.string().min(1).max(400);
const list = z
  .string()
  .max(400)
  .transform((text) => text.split(',').filter((part) => part !== ''));
const number = (most: number) => z.coerce.number<string>().int().min(0).max(most);

export const namedParameters = z.strictObject({ name });
export const namespaceQuery = z.strictObject({ namespace: name.optional() });
export const policyQuery = z.strictObject({ namespace: z.string().max(63).optional(), kind: name.optional() });

export const eventQuery = z.strictObject({
  types: list.optional(),
  verdicts: list.optional(),
  about: name.optional(),
  limit: number(1_048_576).default(1_000),
});

export const flowQuery = z.strictObject({
  /** Endpoint id or workload. */
  about: name.optional(),
  verdicts: list.optional(),
  limit: number(1_048_576).default(10_000),
});

export const followQuery = eventQuery.omit({ limit: true });

export const policyBody = z.strictObject({
  /** Each of YAML documents; the names are those of the caller's files, for messages. */
  files: z
    .array(z.strictObject({ file: z.string().min(1).max(4096), text: z.string().max(BODY_BYTES_MOST) }))
    .min(1)
    .max(256),
  dryRun: z.boolean().default(false),
});

export type PolicyRequest = z.output<typeof policyBody>;

export const explainBody = z.strictObject({
  /** Workload (`web`, `Service/web`, `shop/Service/web`), identity, `host`, `world` or an address. */
  from: name,
  to: name,
  protocol: z.union([z.string().max(16), z.int().min(0).max(255)]).default('TCP'),
  /** A number, or a name the destination gives one of its ports. */
  port: z.union([z.int().min(0).max(65_535), name]).default(0),
  /** Looked in first for names without one. */
  namespace: name.optional(),
});

export type ExplainRequest = z.output<typeof explainBody>;

export interface ErrorView {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly hint?: string;
    readonly faults?: readonly Fault[];
  };
}

export interface VersionView {
  readonly version: string;
  readonly api: 'v1';
  readonly node: string;
  readonly kernel: string;
  readonly pid: number;
}

export interface CountView {
  readonly packets: number;
  readonly bytes: number;
}

export interface SourceView {
  readonly name: string;
  readonly healthy: boolean;
  readonly since: string;
  readonly restarts: number;
  readonly endpoints: number;
  readonly error?: string;
}

export interface ProblemView extends Fault {
  /** What keeps being enforced instead; absent: nothing. */
  readonly inForce?: string;
}

export interface DriftView {
  readonly map: string;
  readonly key: string;
  readonly desired?: string;
  readonly actual?: string;
}

export interface MapView {
  readonly name: string;
  readonly type: string;
  readonly entries: number;
  readonly maxEntries: number;
}

export interface ProgramView {
  readonly name: string;
  readonly id: number;
  readonly attachments: readonly string[];
  readonly runCount: number;
  readonly runTimeNs: number;
}

export interface ReconcileView {
  readonly rounds: number;
  readonly failures: number;
  readonly lastAt?: string;
  /** Of the last round, what it took. */
  readonly lastMs?: number;
  /** Kept until a round succeeds. */
  readonly error?: string;
}

export interface StatusView {
  readonly version: string;
  readonly node: string;
  readonly domain: string;
  readonly pid: number;
  readonly startedAt: string;
  /** Everything known is enforced. */
  readonly ready: boolean;
  /** What keeps it from being ready, or wants a person's eye. Empty when all is well. */
  readonly problems: readonly string[];
  readonly kernel: string;
  readonly datapath: {
    /** A former agent's pins were taken over. */
    readonly adopted: boolean;
    readonly revision: number;
    readonly pins: string;
    readonly programs: readonly ProgramView[];
    readonly maps: readonly MapView[];
  };
  readonly endpoints: {
    readonly total: number;
    readonly enforced: number;
    readonly unprotected: number;
    readonly failed: number;
  };
  readonly identities: number;
  readonly policies: {
    readonly enforce: number;
    readonly stage: number;
    /** How many of them are hardening policies. */
    readonly hardening: number;
    readonly directory: string;
    readonly errors: readonly ProblemView[];
  };
  readonly sources: readonly SourceView[];
  readonly warnings: readonly { readonly code: string; readonly subject: string; readonly message: string }[];
  readonly reconcile: ReconcileView;
  readonly events: { readonly lost: number; readonly followers: number; readonly lostToFollowers: number };
  readonly drift: readonly DriftView[];
  readonly between: BetweenView;
  readonly hardening: HardeningStatusView;
  readonly gate: GateView;
}

/** Where new containers wait until their tables are in the kernel. */
export interface GateView {
  /** They do. */
  readonly on: boolean;
  /** Why the kernel cannot stop them. */
  readonly missing?: string;
  /** BPF LSM refuses whoever else would let go what waits. */
  readonly guarded: boolean;
  readonly waiting: readonly WaitingView[];
}

export interface WaitingView {
  /** Its cgroup's name, with the container's id. */
  readonly name: string;
  /** Id of its cgroup. */
  readonly cgroup: string;
  readonly pid: number;
  readonly since: string;
}

/** How this node stands among others. */
export interface BetweenView {
  readonly tags: {
    /** Tags are written. */
    readonly on: boolean;
    /** Keys that are accepted; the epoch of the one that signs. */
    readonly keys: number;
    readonly signing?: number;
  };
  readonly hold: {
    /** Packets can wait here. */
    readonly on: boolean;
    /** What made the rule that leads them into the queue. */
    readonly backend?: string;
    /** What nobody can hold passes. */
    readonly open: boolean;
    readonly flows: number;
    readonly packets: number;
    /** Milliseconds the oldest has waited. */
    readonly oldest: number;
  };
  readonly handshake: {
    readonly on: boolean;
    readonly agents: number;
    readonly connected: number;
    readonly underWay: number;
    readonly verified: number;
  };
  /** What is wanted, is not in force, and why. */
  readonly missing: readonly { readonly what: string; readonly why: string }[];
}

export interface ContainerView {
  readonly id: string;
  readonly name: string;
  readonly runtime: string;
  readonly identity: string;
  readonly cgroup: { readonly id: string; readonly path: string };
  readonly pid: number;
  readonly startedAt: string;
  readonly image?: string;
}

export interface EndpointView {
  readonly id: string;
  readonly namespace: string;
  readonly kind: string;
  readonly name: string;
  readonly identity: string;
  readonly mode: EndpointMode;
  /** Why it is not judged at an interface of its own. */
  readonly reason?: string;
  /** Programs attached and tables in. */
  readonly enforced: boolean;
  readonly error?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly containers: readonly ContainerView[];
  readonly interfaces: readonly { readonly ifindex: number; readonly name: string }[];
  readonly addresses: readonly string[];
  readonly ports: readonly NamedPort[];
  readonly netns: number;
  /** Names of the policies that select it or one of its containers: by direction, and what hardens them. */
  readonly policies: SelectingView;
  readonly denied: CountView;
}

export interface IdentityView {
  readonly identity: string;
  readonly namespace: string;
  readonly kind: string;
  readonly name: string;
  readonly container: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly slot: number;
  /** Ids of the endpoints that have it. */
  readonly endpoints: readonly string[];
  readonly policies: SelectingView;
}

export interface SelectingView {
  readonly ingress: readonly string[];
  readonly egress: readonly string[];
  readonly hardening: readonly string[];
}

export interface RuleView extends CountView {
  readonly id: number;
  readonly direction: 'egress' | 'ingress';
  readonly name: string;
  readonly action: string;
}

/** What a hardening policy says. */
export interface HardeningView {
  /** Actions by class: `files`, `execution`, … */
  readonly defaults: Readonly<Record<string, string>>;
  readonly rules: readonly HardeningRuleView[];
}

export interface HardeningRuleView {
  readonly name: string;
  readonly action: string;
  /** Paths of executables it is for; empty: whatever runs. */
  readonly executables: readonly string[];
  /** Fields of the rule that say what it is about: `files`, `sockets`, … */
  readonly about: readonly string[];
  /** Ready rules, and groups of them. */
  readonly ready: readonly string[];
}

export interface PolicyView {
  readonly kind: AnyPolicyKind;
  /** Empty for cluster-wide ones. */
  readonly namespace: string;
  readonly name: string;
  readonly mode: PolicyMode;
  readonly priority: number;
  /** Pattern of the workloads it is about. */
  readonly subject: string;
  /** Identities it selects on this node. */
  readonly selected: number;
  readonly ingress?: { readonly default: string; readonly rules: number };
  readonly egress?: { readonly default: string; readonly rules: number };
  /** Of hardening policies. */
  readonly hardening?: HardeningView;
  readonly file: string;
  /** Written by `policy apply`; others are edited where they are. */
  readonly managed: boolean;
  /** Of network policies, with what they decided. */
  readonly rules: readonly RuleView[];
  /** The document as it was written. */
  readonly source: string;
}

export type PolicyAction = 'created' | 'configured' | 'unchanged' | 'deleted';

export interface PolicyChange {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly action: PolicyAction;
  readonly file: string;
}

export interface ApplyView {
  readonly changes: readonly PolicyChange[];
  readonly dryRun: boolean;
  /** What the kernel's tables go through, one line a step. */
  readonly plan: string;
  /** From the call to the kernel; absent for a dry run. */
  readonly latencyMs?: number;
}

export interface FlowEndView {
  readonly name: string;
  readonly identity?: string;
  readonly container?: string;
  readonly address: string;
  readonly port: number;
}

export interface FlowView {
  readonly endpoint: string;
  readonly direction: 'egress' | 'ingress';
  readonly protocol: string;
  readonly source: FlowEndView;
  readonly destination: FlowEndView;
  readonly verdict: string;
  readonly rule?: { readonly id: number; readonly policy: string; readonly name: string };
  readonly staged?: { readonly verdict: string; readonly rule?: { readonly policy: string; readonly name: string } };
  readonly state: string;
  /** False: decided under a policy that has changed since; the next packet is decided anew. */
  readonly current: boolean;
  /** Found mid-stream: who opened it is a guess. */
  readonly adopted: boolean;
  readonly createdAt: string;
  readonly seenAt: string;
  /** From source to destination. */
  readonly forward: CountView;
  readonly backward: CountView;
}

export interface DigestView {
  readonly first: string;
  readonly last: string;
  readonly count: number;
  readonly event: Event;
}

/** A line of a stream that only says that it lives. */
export interface HeartbeatLine {
  readonly type: 'heartbeat';
  readonly time: string;
}
