import * as z from 'zod';
import { formatAddress, parseAddress } from '../model/address.ts';
import { formatIdentity } from '../model/identity.ts';
import type { Verified } from './verified.ts';

const hex = z.string().regex(/^[0-9a-f]{16}$/);
const instant = z.int().nonnegative();
const side = z.object({ address: z.string().refine(isCanonical), port: z.int().min(0).max(65_535) });

const savedSchema = z.object({
  handshake: hex,
  end: z.enum(['source', 'destination']),
  agent: z.string().min(1).max(253),
  endpoint: z.string().min(1).max(512),
  local: hex,
  peer: hex,
  conversation: z.object({ protocol: z.int().min(0).max(255), source: side, destination: side }),
  direct: z.boolean(),
  port: z.int().min(0).max(65_535),
  rule: z.string().max(1_024),
  since: instant,
  lifetime: z.int().positive(),
  renewedAt: instant,
  expiresAt: instant,
});

/** A verified handshake as it is stored: plain values that JSON can hold. */
export type SavedHandshake = z.infer<typeof savedSchema>;

/** What tells one saved handshake from all others, and when it began, by which they lie together. */
export type SavedKey = Pick<SavedHandshake, 'since' | 'handshake' | 'end' | 'agent'>;

/** What is to be stored anew, and what no longer. */
export interface SavedChanges {
  readonly saved: readonly SavedHandshake[];
  readonly gone: readonly SavedKey[];
}

export function savedKey({ since, id, end, agent }: Verified): SavedKey {
  return { since, handshake: formatIdentity(id), end, agent };
}

export function save(one: Verified): SavedHandshake {
  const { id, local, peer, end, agent, endpoint, conversation, direct, port, rule } = one;
  const { since, lifetime, renewedAt, expiresAt } = one;
  return {
    handshake: formatIdentity(id),
    end,
    agent,
    endpoint,
    local: formatIdentity(local),
    peer: formatIdentity(peer),
    conversation,
    direct,
    port,
    rule,
    since,
    lifetime,
    renewedAt,
    expiresAt,
  };
}

/** Undefined: not what {@link save} writes. */
export function load(value: unknown): Verified | undefined {
  const parsed = savedSchema.safeParse(value);
  if (!parsed.success) return undefined;
  const { handshake, local, peer, ...rest } = parsed.data;
  const [id, here, there] = [handshake, local, peer].map((digits) => BigInt(`0x${digits}`)) as [bigint, bigint, bigint];
  if (id === 0n || here === 0n || there === 0n) return undefined;
  return { ...rest, id, local: here, peer: there, confirmed: true, renewing: false };
}

function isCanonical(text: string): boolean {
  const bytes = parseAddress(text);
  return bytes !== undefined && formatAddress(bytes) === text;
}
