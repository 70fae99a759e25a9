/** What the kernel tells of a container that did, or tried, what a hardening rule is about, given its names. */
import { capabilityName } from '../model/capabilities.ts';
import { FILE_ACCESSES, type HardeningPolicy, MOUNT_OPERATIONS, OPERATIONS } from '../model/hardening.ts';
import { formatIdentity, type Identity } from '../model/identity.ts';
import { protocolName } from '../model/protocol.ts';
import { socketFamilyName, socketTypeName } from '../model/sockets.ts';
import { Verdict, verdictName } from '../model/verdict.ts';
import { formatWorkload } from '../model/workload.ts';
import { type HardeningRuleReference, VIOLATION_CLASSES, type ViolationClass, type ViolationEvent } from './event.ts';

/** The kernel's word on one operation, as the datapath hands it over. */
export interface ViolationRecord {
  readonly kind: 'violation';
  /** Milliseconds since the epoch. */
  readonly time: number;
  /** The container's id. */
  readonly container: string;
  /** `enum hardening_class` of `bpf/api/harden.h`. */
  readonly class: number;
  readonly detail: bigint;
  readonly rule: number;
  readonly stagedRule: number;
  readonly verdict: number;
  readonly stagedVerdict: number;
  readonly suppressed: number;
  readonly process: ViolationEvent['process'];
  readonly ancestors: ViolationEvent['ancestors'];
  readonly executable?: string;
  readonly path?: string;
  readonly address?: string;
}

export interface ViolationNames {
  /** Who a container is, by its id. */
  containerOf(id: string): { readonly name: string; readonly identity: Identity } | undefined;
  hardeningRuleOf(
    container: string,
    rule: number,
  ):
    | (Pick<HardeningPolicy, 'namespace'> & { readonly policy: string; readonly rule: string; readonly ready?: string })
    | undefined;
}

/** Of a capability's number: asked of a user namespace that the container made. */
const IN_USER_NAMESPACE = 64;

/** The name of `enum hardening_class`, which begins with 1. */
export function violationClass(number: number): ViolationClass | 'unknown' {
  return VIOLATION_CLASSES[number - 1] ?? 'unknown';
}

/** Gives a record its names. */
export function decodeViolation(record: ViolationRecord, names: ViolationNames, sequence: number): ViolationEvent {
  const { container: containerId, verdict, stagedVerdict, process, ancestors, executable, suppressed } = record;
  const known = names.containerOf(containerId);
  const rule = reference(names, containerId, record.rule);
  const stagedRule = reference(names, containerId, record.stagedRule);
  const differs = stagedVerdict !== verdict || record.stagedRule !== record.rule;
  const object = objectOf(record);
  return {
    sequence,
    time: new Date(record.time).toISOString(),
    type: 'violation',
    verdict: verdictName(verdict === Verdict.None ? Verdict.Allow : verdict),
    class: violationClass(record.class),
    action: actionOf(record),
    ...(object === undefined ? {} : { object }),
    workload: known === undefined ? 'unknown' : formatWorkload(known.identity.workload),
    container: known?.name ?? '',
    containerId,
    ...(known === undefined ? {} : { identity: formatIdentity(known.identity.id) }),
    ...(rule === undefined ? {} : { rule }),
    ...(stagedVerdict !== Verdict.None && differs
      ? {
          staged: {
            verdict: verdictName(stagedVerdict),
            ...(stagedRule === undefined ? {} : { rule: stagedRule }),
          },
        }
      : {}),
    ...(executable === undefined ? {} : { executable }),
    process,
    ancestors,
    suppressed,
  };
}

function reference(names: ViolationNames, container: string, id: number): HardeningRuleReference | undefined {
  if (id === 0) return undefined;
  const rule = names.hardeningRuleOf(container, id);
  if (rule === undefined) return { id, policy: '', name: '' };
  const { namespace, policy, rule: name, ready } = rule;
  return {
    id,
    policy: namespace === '' ? policy : `${namespace}/${policy}`,
    name,
    ...(ready === undefined ? {} : { ready }),
  };
}

/** What was done, in one or two words. */
function actionOf(record: ViolationRecord): string {
  const { class: number, detail, address } = record;
  const value = Number(BigInt.asUintN(32, detail));
  switch (violationClass(number)) {
    case 'file':
      return FILE_ACCESSES[value] ?? String(value);
    case 'capability':
      return value < IN_USER_NAMESPACE
        ? capabilityName(value)
        : `${capabilityName(value - IN_USER_NAMESPACE)} in a user namespace`;
    case 'operation':
      return OPERATIONS[value] ?? String(value);
    case 'socket': {
      const [family, type, protocol] = [Number(detail >> 32n), (value >>> 16) & 0xffff, value & 0xffff];
      const words = [socketFamilyName(family) ?? family, socketTypeName(type) ?? type];
      return [...words, ...(protocol === 0 ? [] : [protocol])].join(' ');
    }
    case 'mount': {
      const done = MOUNT_OPERATIONS.filter((_, bit) => (value & (1 << bit)) !== 0);
      return done.length === 0 ? String(value) : done.join(' ');
    }
    case 'network':
      return address === undefined ? String(value) : protocolName((value >>> 16) & 0xff);
    case 'orphan':
      return orphanAction(record);
    case 'unknown':
      return String(detail);
  }
}

/** Of an orphan everything is refused: the upper half of the detail is the class of what it tried. */
function orphanAction(record: ViolationRecord): string {
  const tried = Number(record.detail >> 32n);
  const name = violationClass(tried);
  if (name === 'orphan' || name === 'unknown') return String(record.detail);
  return `${name} ${actionOf({ ...record, class: tried, detail: BigInt.asUintN(32, record.detail) })}`;
}

function objectOf({ class: number, detail, path, address }: ViolationRecord): string | undefined {
  if (violationClass(number) !== 'network' || address === undefined) return path;
  const port = Number(detail & 0xffffn);
  return `${address.includes(':') ? `[${address}]` : address}:${port}`;
}
