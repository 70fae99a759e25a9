import type { EventFilter, EventJournal } from '../../events/journal.ts';
import type { BetweenService } from './between-routes.ts';
import type {
  ApplyView,
  DigestView,
  DriftView,
  EndpointView,
  ExplainRequest,
  FlowView,
  IdentityView,
  PolicyRequest,
  PolicyView,
  StatusView,
  VersionView,
} from './contract.ts';
import type { ExplainView } from './explanation.ts';
import type { ProfileService } from './profile-routes.ts';

export interface FlowFilter {
  readonly about?: string | undefined;
  readonly verdicts?: readonly string[] | undefined;
  readonly limit: number;
}

export interface PolicySelector {
  readonly namespace?: string | undefined;
  readonly kind?: string | undefined;
}

/** What the API asks of the agent. Everything that changes something says who asked. */
export interface AgentService extends BetweenService, ProfileService {
  readonly journal: EventJournal;
  version(): VersionView;
  status(): StatusView;
  endpoints(): readonly EndpointView[];
  endpoint(name: string, namespace?: string): EndpointView;
  identities(): readonly IdentityView[];
  identity(name: string, namespace?: string): IdentityView;
  policies(): readonly PolicyView[];
  policy(name: string, where: PolicySelector): PolicyView;
  /** Stores the policies and waits until they are in the kernel. */
  applyPolicies(request: PolicyRequest, caller: string): Promise<ApplyView>;
  deletePolicy(name: string, where: PolicySelector, caller: string): Promise<ApplyView>;
  explain(request: ExplainRequest): ExplainView;
  flows(filter: FlowFilter): readonly FlowView[];
  /** Kept events, the same ones counted as one, the latest last. */
  digest(filter: EventFilter, limit: number): DigestView[];
  drift(): readonly DriftView[];
  /** Prometheus text. */
  metrics(): Promise<string>;
}
