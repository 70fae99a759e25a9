import * as z from 'zod';
import type { CountView } from './contract.ts';

/** The API's words on what goes on between nodes; otherwise as `contract.ts`. */

const text = z.string().min(1).max(400);
const time = z.iso.datetime({ offset: true }).transform((written) => Date.parse(written));

export const RESULTS = ['verified', 'refused', 'timeout', 'unreachable', 'world', 'revoked', 'limited'] as const;
export const ENDS = ['source', 'destination'] as const;

/** The id of a handshake: 16 hexadecimal digits. */
export const handshakeParameters = z.strictObject({ id: z.string().regex(/^[0-9a-f]{16}$/, 'wanted 16 digits') });

/** Records in one answer; with `after` one goes on. */
export const RECORDS_MOST = 1_000;

export const recordQuery = z.strictObject({
  since: time.optional(),
  until: time.optional(),
  result: z.enum(RESULTS).optional(),
  /** `name`, `Kind/name` or `namespace/Kind/name`, each with `*` and `?`, at either end. */
  workload: text.optional(),
  /** At either end. */
  identity: z
    .string()
    .regex(/^[0-9a-fA-F]{16}$/, 'wanted 16 digits')
    .optional(),
  /** What this agent was. */
  end: z.enum(ENDS).optional(),
  limit: z.coerce.number<string>().int().min(1).max(RECORDS_MOST).default(100),
  /** `after` of the answer before. */
  after: z.string().max(64).optional(),
});

export const revokeBody = z
  .strictObject({
    /** An address or CIDR, a workload, the 16 digits of an identity, the id of a local endpoint, or an agent's name. */
    selector: text.optional(),
    all: z.boolean().default(false),
    dryRun: z.boolean().default(false),
  })
  .refine(({ selector, all }) => (selector === undefined) === all, 'wanted either a selector or all');

export type RecordQuery = z.output<typeof recordQuery>;
export type RevokeRequest = z.output<typeof revokeBody>;

/** One end of a handshake, as far as it is known. */
export interface HandshakeEndView {
  readonly node?: string;
  readonly identity?: string;
  /** `shop/Deployment/web`. */
  readonly workload?: string;
  readonly address: string;
  readonly port: number;
}

/** `GET /v1/handshakes`: under way now. */
export interface HandshakeView {
  readonly id: string;
  /** What this agent is in it. */
  readonly end: (typeof ENDS)[number];
  /** docs/protocol.md, States. */
  readonly state: string;
  /** The agent at the other end, by its name in the configuration or its node. */
  readonly agent?: string;
  readonly protocol: string;
  readonly source: HandshakeEndView;
  readonly destination: HandshakeEndView;
  readonly startedAt: string;
  readonly deadline: string;
  /** What waits here for its end. */
  readonly held?: CountView;
}

/** How a handshake ended, or that the kernel refused a connection between two identities. */
export interface HandshakeRecordView {
  /** Empty: no handshake. */
  readonly id: string;
  readonly time: string;
  readonly end: (typeof ENDS)[number];
  readonly result: (typeof RESULTS)[number];
  readonly step: string;
  readonly reason: string;
  /** `shop/web.egress[0]`; empty: none. */
  readonly rule: string;
  readonly protocol: string;
  readonly source: HandshakeEndView;
  readonly destination: HandshakeEndView;
  readonly durationMs: number;
}

/** `GET /v1/handshakes/records`: the newest first. */
export interface RecordPageView {
  readonly records: readonly HandshakeRecordView[];
  /** Where the next page begins; absent: this is the last one. */
  readonly after?: string;
}

/** `GET /v1/handshakes/{id}`: all that is known. 404 where that is nothing. */
export interface HandshakeDetailView {
  readonly id: string;
  readonly underWay?: HandshakeView;
  readonly records: readonly HandshakeRecordView[];
  /** What it verified and still is. */
  readonly peers: readonly PeerView[];
}

/** `GET /v1/peers`: what the kernel believes of the other ends of conversations. */
export interface PeerView {
  /** Id of the local endpoint. */
  readonly endpoint: string;
  /** Its workload, with the container where one is meant. */
  readonly workload: string;
  readonly address: string;
  /** This one conversation; absent: everything between the endpoint and the address. */
  readonly conversation?: { readonly protocol: string; readonly remotePort: number; readonly localPort: number };
  readonly kind: 'verified' | 'refused' | 'world';
  /** Whose the address is; absent where nobody of the domain is there. */
  readonly identity?: string;
  /** Absent where the identity is not known here (any more). */
  readonly remoteWorkload?: string;
  readonly verifiedAt?: string;
  readonly expiresAt: string;
  /** Absent: it has not decided a packet yet. */
  readonly usedAt?: string;
  /** Who vouched for it. */
  readonly agent?: string;
  readonly handshake?: string;
}

/** `POST /v1/peers/revoke`: what was believed and is not any more. */
export interface RevokeView {
  readonly revoked: readonly PeerView[];
  readonly dryRun: boolean;
}

/** `GET /v1/peers/agents`. */
export interface PeerAgentView {
  readonly name: string;
  readonly address: string;
  readonly state: 'connected' | 'connecting' | 'waiting' | 'refused';
  /** Since when it is in this state. */
  readonly since: string;
  /** What ended the last attempt or connection. */
  readonly error?: string;
  /** By its Hello. */
  readonly node?: string;
  /** Of the protocol, as agreed. */
  readonly version?: number;
  /** Its connection to us stands. */
  readonly inbound: boolean;
  /** Identities it announced and may speak for. */
  readonly identities: number;
  readonly cidrs: readonly string[];
}
