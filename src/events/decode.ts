import { formatIdentity, type Identity } from '../model/identity.ts';
import { protocolName } from '../model/protocol.ts';
import { Slot } from '../model/slot.ts';
import { verdictName } from '../model/verdict.ts';
import { formatWorkload } from '../model/workload.ts';
import type { Party, RuleReference, TrafficEvent } from './event.ts';

/** The kernel's word on one packet, as the datapath hands it over. */
export interface PacketRecord {
  readonly kind: 'verdict' | 'drop';
  /** Milliseconds since the epoch. */
  readonly time: number;
  readonly endpoint: string;
  /** Slots. */
  readonly local: number;
  readonly peer: number;
  readonly rule: number;
  readonly stagedRule: number;
  readonly verdict: number;
  readonly stagedVerdict: number;
  readonly direction: 'egress' | 'ingress';
  readonly reason: number;
  readonly protocol: number;
  readonly source: { readonly address: string; readonly port: number };
  readonly destination: { readonly address: string; readonly port: number };
  readonly bytes: number;
  readonly suppressed: number;
}

/** What the kernel's numbers stand for at this moment. */
export interface NameBook {
  identityOf(slot: number): Identity | undefined;
  ruleOf(id: number): { readonly policy: string; readonly name: string } | undefined;
  /** The metric's label of a drop reason. */
  reasonOf(reason: number): string;
}

/** Who a slot is. A slot whose identity is gone is `unknown`: names are never guessed. */
export function partyOf(names: NameBook, slot: number, address: string, port: number): Party {
  if (slot === Slot.Host) return { kind: 'host', name: 'host', address, port };
  if (slot === Slot.World) return { kind: 'world', name: 'world', address, port };
  const identity = names.identityOf(slot);
  if (identity === undefined) return { kind: 'unknown', name: 'unknown', address, port };
  return {
    kind: 'workload',
    name: formatWorkload(identity.workload),
    ...(identity.container === '' ? {} : { container: identity.container }),
    identity: formatIdentity(identity.id),
    address,
    port,
  };
}

/** A rule's names; the number alone where the rule was removed since, undefined where none decided. */
export function ruleReference(names: NameBook, id: number): RuleReference | undefined {
  if (id === 0) return undefined;
  const rule = names.ruleOf(id);
  return { id, policy: rule?.policy ?? '', name: rule?.name ?? '' };
}

/** Gives a record its names. */
export function decodePacket(record: PacketRecord, names: NameBook, sequence: number): TrafficEvent {
  const leaving = record.direction === 'egress';
  const from = leaving ? record.local : record.peer;
  const to = leaving ? record.peer : record.local;
  const rule = ruleReference(names, record.rule);
  const differs = record.stagedVerdict !== record.verdict || record.stagedRule !== record.rule;
  const stagedRule = ruleReference(names, record.stagedRule);
  return {
    sequence,
    time: new Date(record.time).toISOString(),
    type: record.kind,
    verdict: record.kind === 'drop' ? 'Deny' : verdictName(record.verdict),
    direction: record.direction,
    ...(record.reason === 0 ? {} : { reason: names.reasonOf(record.reason) }),
    endpoint: record.endpoint,
    protocol: protocolName(record.protocol),
    source: partyOf(names, from, record.source.address, record.source.port),
    destination: partyOf(names, to, record.destination.address, record.destination.port),
    ...(rule === undefined ? {} : { rule }),
    ...(record.kind === 'verdict' && record.stagedVerdict !== 0 && differs
      ? {
          staged: {
            verdict: verdictName(record.stagedVerdict),
            ...(stagedRule === undefined ? {} : { rule: stagedRule }),
          },
        }
      : {}),
    bytes: record.bytes,
    suppressed: record.suppressed,
  };
}
