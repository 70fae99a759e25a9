/** Domains, tag keys, verified peers and claims as rows of the kernel's tables, and back. Pure. */
import {
  formatAddress,
  parseAddress,
  parseNetwork,
  samePrefix,
  V4_MAPPED,
  V4_MAPPED_PREFIX,
} from '../model/address.ts';
import type { Clock } from './clock.ts';
import type {
  ClaimKey,
  DomainKey,
  Claim as KernelClaim,
  TagKey as KernelTagKey,
  Verified,
  VerifiedKey,
} from './layouts.gen.ts';
import { DomainFlags, VerifiedFlags } from './layouts.gen.ts';
import type { Claim, DomainNetwork, TagKey, TagKeys, VerifiedPeer } from './peer-port.ts';

/** Keys that are accepted at one time; `tag_keys` in bpf/lib/maps.h. */
export const TAG_KEYS = 4;
const KEY_BYTES = 16;
const TOKEN_BYTES = 16;
const MAX_U32 = 0xffff_ffff;
const NO_KEY: KernelTagKey = { halves: [0n, 0n], epoch: 0, valid: 0 };

/** How endpoints and identities are called in the kernel. */
export interface PeerNumbering {
  readonly endpointNumber: (id: string) => number | undefined;
  readonly endpointId: (number: number) => string | undefined;
  readonly slotOf: (identity: bigint) => number | undefined;
  readonly identityOf: (slot: number) => bigint | undefined;
}

/** By the text of the network. */
export type DomainRows = ReadonlyMap<string, { readonly key: DomainKey; readonly flags: number }>;

/** @throws TypeError where a network is none */
export function domainRows(networks: readonly DomainNetwork[]): DomainRows {
  const rows = new Map<string, { key: DomainKey; flags: number }>();
  const add = (prefix: number, address: Uint8Array, flags: number) => {
    const text = domainText(prefix, address);
    const known = rows.get(text)?.flags ?? 0;
    rows.set(text, { key: { prefix, network: { bytes: address } }, flags: known | flags });
  };
  let coversV4 = false;
  const nodes = networks.filter(({ node }) => node);
  for (const { cidr, hold, node } of [...networks.filter(({ node }) => !node), ...nodes]) {
    const network = parseNetwork(cidr);
    if ('reason' in network) throw new TypeError(`"${cidr}" is no network of the domain: ${network.reason}`);
    const { family, address, prefix } = network;
    if (node && rows.has(domainText(prefix, address))) continue;
    add(prefix, address, DomainFlags.Tag | (hold ? DomainFlags.Hold : 0) | (node ? DomainFlags.Node : 0));
    coversV4 ||= family === 6 && prefix <= V4_MAPPED_PREFIX && samePrefix(address, V4_MAPPED, prefix);
  }
  // IPv4 lies inside "::/0" in the table, and is not meant by it.
  if (coversV4) add(V4_MAPPED_PREFIX, V4_MAPPED, 0);
  return rows;
}

export function domainText(prefix: number, address: Uint8Array): string {
  return `${formatAddress(address)}/${prefix}`;
}

/** What the settings and `tag_keys` say of tags. */
export interface TagRows {
  /** By index; those not valid are empty. */
  readonly keys: readonly KernelTagKey[];
  readonly tagWindow: number;
  readonly tagEpoch: number;
}

/** @throws TypeError where the keys are not what `TagKeys` says */
export function tagRows({ keys, signing, window }: TagKeys): TagRows {
  const rows: KernelTagKey[] = Array.from({ length: TAG_KEYS }, () => NO_KEY);
  if (keys.length > TAG_KEYS) throw new TypeError(`${keys.length} tag keys, the kernel takes ${TAG_KEYS}`);
  for (const { epoch, key } of keys) {
    if (!Number.isInteger(epoch) || epoch < 0 || epoch > MAX_U32) throw new TypeError(`${epoch} is no epoch`);
    if (key.length !== KEY_BYTES)
      throw new TypeError(`The tag key of epoch ${epoch} has ${key.length} bytes, not ${KEY_BYTES}`);
    const index = epoch % TAG_KEYS;
    const other = rows[index];
    if (other?.valid === 1) {
      throw new TypeError(
        `The tag keys of epochs ${other.epoch} and ${epoch} cannot be told apart: both are ${index} modulo ${TAG_KEYS}`,
      );
    }
    rows[index] = { halves: halvesOf(key), epoch, valid: 1 };
  }
  if (!Number.isInteger(window) || window < 1 || window > MAX_U32)
    throw new TypeError(`${window} is no window in seconds`);
  if (signing !== undefined && !keys.some(({ epoch }) => epoch === signing)) {
    throw new TypeError(`There is no key of epoch ${signing}, which should sign`);
  }
  return { keys: rows, tagWindow: keys.length === 0 ? 0 : window, tagEpoch: signing ?? unusedEpoch(keys) };
}

/** The key as SipHash reads it. */
function halvesOf(key: Uint8Array): bigint[] {
  const view = new DataView(key.buffer, key.byteOffset, key.length);
  return [view.getBigUint64(0, true), view.getBigUint64(8, true)];
}

/** An epoch that nothing can be signed under. */
function unusedEpoch(keys: readonly TagKey[]): number {
  const used = new Set(keys.map(({ epoch }) => epoch));
  for (let epoch = 0; ; epoch++) if (!used.has(epoch)) return epoch;
}

/**
 * Undefined where the endpoint or the sender is gone, or the entry would mean something else than it says: no address,
 * or a conversation of protocol 0, which the kernel reads as "everything".
 */
export function verifiedKey(peer: VerifiedPeer, numbering: PeerNumbering): VerifiedKey | undefined {
  const endpoint = numbering.endpointNumber(peer.endpoint);
  const local = peer.local === undefined ? 0 : numbering.slotOf(peer.local);
  const remote = parseAddress(peer.remote);
  if (endpoint === undefined || local === undefined || remote === undefined) return undefined;
  const { protocol, remotePort, localPort } = peer.conversation ?? { protocol: 0, remotePort: 0, localPort: 0 };
  if (peer.conversation !== undefined && protocol === 0) return undefined;
  return { endpoint, local, remote: { bytes: remote }, remotePort, localPort, protocol };
}

const FLAGS: Readonly<Record<VerifiedPeer['kind'], number>> = {
  verified: 0,
  refused: VerifiedFlags.Refused,
  world: VerifiedFlags.World,
};

export function verifiedValue(peer: VerifiedPeer, clock: Clock, used: number): Verified {
  return { identity: peer.identity, expires: clock.seconds(peer.expiresAt), used, flags: FLAGS[peer.kind] };
}

/** Undefined where the endpoint or the sender is gone. */
export function verifiedPeer(
  key: VerifiedKey,
  value: Verified,
  clock: Clock,
  numbering: PeerNumbering,
): VerifiedPeer | undefined {
  const endpoint = numbering.endpointId(key.endpoint);
  const local = key.local === 0 ? undefined : numbering.identityOf(key.local);
  if (endpoint === undefined || (key.local !== 0 && local === undefined)) return undefined;
  const { protocol, remotePort, localPort } = key;
  return {
    endpoint,
    remote: formatAddress(key.remote.bytes),
    identity: value.identity,
    kind: kindOf(value.flags),
    expiresAt: clock.wallOfSeconds(value.expires),
    usedAt: value.used === 0 ? 0 : clock.wallOfSeconds(value.used),
    ...(local === undefined ? {} : { local }),
    ...(protocol === 0 ? {} : { conversation: { protocol, remotePort, localPort } }),
  };
}

function kindOf(flags: number): VerifiedPeer['kind'] {
  if ((flags & VerifiedFlags.Refused) !== 0) return 'refused';
  return (flags & VerifiedFlags.World) !== 0 ? 'world' : 'verified';
}

/** Undefined where the endpoint is gone. @throws TypeError where the token is none */
export function claimRow(claim: Claim, clock: Clock, numbering: PeerNumbering): [ClaimKey, KernelClaim] | undefined {
  const endpoint = claim.endpoint === undefined ? 0 : numbering.endpointNumber(claim.endpoint);
  if (endpoint === undefined) return undefined;
  const { identity, protocol } = claim;
  return [
    claimKey(claim.token),
    { identity, expires: clock.nanoseconds(claim.expiresAt), endpoint, protocol, used: 0 },
  ];
}

/** @throws TypeError where the token is none */
export function claimKey(token: Uint8Array): ClaimKey {
  if (token.length !== TOKEN_BYTES) throw new TypeError(`A token of ${token.length} bytes, not ${TOKEN_BYTES}`);
  return { token };
}
