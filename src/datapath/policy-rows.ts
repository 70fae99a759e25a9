/**
 * Policy tables as rows of the kernel's maps, and back. Pure: what is written, what is read back and what is
 * compared for drift all come from here.
 */

import type * as tables from '../compile/tables.ts';
import type { Decision as KernelDecision, NetworkKey } from './layouts.gen.ts';
import {
  type Class,
  ClassFlags,
  Direction,
  type PeerKey,
  type PortKey,
  type PortRangeKey,
  type Subject,
} from './layouts.gen.ts';

/** Bits of an LPM key before the part that matters: set or class, and protocol. */
const SET_BITS = 64;
const CLASS_BITS = 64 + 8;

export type Row<K, V> = readonly [K, V];

/** A class as a set holds it that has networks, or none. */
export function classValue(kind: tables.Class, hasNetworks: boolean): Class {
  let flags = 0;
  for (const entry of kind.ports) flags |= entry.prefix === 16 ? ClassFlags.Ports : ClassFlags.Ranges;
  if (hasNetworks) flags |= ClassFlags.Networks;
  return { id: kind.id, flags, any: kind.any };
}

export function subjectValue(subject: tables.Subject): Subject {
  const sets: bigint[] = [];
  sets[Direction.Egress] = subject.egress;
  sets[Direction.Ingress] = subject.ingress;
  return { identity: subject.identity, sets };
}

export function peerKey(set: bigint, slot: number): PeerKey {
  return { set, peer: slot };
}

export function networkKey(set: bigint, entry: tables.NetworkEntry): NetworkKey {
  return { prefix: SET_BITS + entry.prefix, set: nativeBytes(set), network: { bytes: entry.address } };
}

export function portKey(kind: bigint, entry: tables.PortEntry): PortKey {
  return { class: kind, protocol: entry.protocol, port: entry.port };
}

export function portRangeKey(kind: bigint, entry: tables.PortEntry): PortRangeKey {
  const port = Uint8Array.of(entry.port >> 8, entry.port & 0xff);
  return { prefix: CLASS_BITS + entry.prefix, class: nativeBytes(kind), protocol: entry.protocol, port };
}

/** Inverse of `portKey` and `portRangeKey`. */
export function portEntry(key: PortKey | PortRangeKey, decision: KernelDecision): tables.PortEntry {
  const value = decisionOf(decision);
  if (!('prefix' in key)) return { protocol: key.protocol, port: key.port, prefix: 16, decision: value };
  const port = ((key.port[0] ?? 0) << 8) | (key.port[1] ?? 0);
  return { protocol: key.protocol, port, prefix: key.prefix - CLASS_BITS, decision: value };
}

export function decisionOf(value: KernelDecision): tables.Decision {
  const { rank, rule, stagedRank, stagedRule, verdict, stagedVerdict } = value;
  return { rank, rule, stagedRank, stagedRule, verdict, stagedVerdict };
}

export function networkEntry(key: NetworkKey, kind: bigint): tables.NetworkEntry {
  return { address: Uint8Array.from(key.network.bytes), prefix: key.prefix - SET_BITS, class: kind };
}

/** Of a run of keys of one set. */
let lastNamed = { value: 0n, bytes: new Uint8Array(8) };

/** A 64-bit name as the kernel's integer lies in memory: little-endian on every machine we run on. */
function nativeBytes(value: bigint): Uint8Array {
  if (value !== lastNamed.value) {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value, true);
    lastNamed = { value, bytes };
  }
  return lastNamed.bytes;
}

export function nativeValue(bytes: Uint8Array): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
}
