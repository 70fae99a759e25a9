import type { Container, Frontend, NamedPort } from '../model/endpoint.ts';
import type { IdentityAttributes } from '../model/identity.ts';
import type { SeenAddress } from './source.ts';

/** A port of a container that the node answers for. */
export interface PublishedPort {
  /** Canonical text; `0.0.0.0` and `::` stand for all the node's own. */
  readonly address: string;
  readonly protocol: Frontend['protocol'];
  readonly port: number;
  readonly targetPort: number;
}

/** A container as its runtime tells of it, not yet checked against the kernel. */
export interface Candidate {
  readonly id: string;
  readonly name: string;
  readonly runtime: Container['runtime'];
  readonly attributes: IdentityAttributes;
  /** Its first process; 0 where a sandbox needs none. */
  readonly pid: number;
  /** Milliseconds since the epoch; 0 where the runtime does not tell. */
  readonly startedAt: number;
  readonly image?: string;
  /** Its cgroup where it is known otherwise than by the container's id. */
  readonly cgroup?: string;
  /** What it shares with the containers of its sandbox. */
  readonly sandbox: string;
  /** `owner` of its network namespace, `member` of another's, or a sandbox that is itself no container. */
  readonly role: 'owner' | 'member' | 'sandbox';
  /** Its processes are known to be in several network namespaces. */
  readonly scattered?: boolean;
  /** Addresses the runtime says it assigned. */
  readonly declared: readonly SeenAddress[];
  readonly published: readonly PublishedPort[];
  readonly ports: readonly NamedPort[];
}
