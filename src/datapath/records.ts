/** What the event ring brings, read into values. */
import type { RecordBatch } from '../libbpf/index.ts';
import { formatAddress } from '../model/address.ts';
import type { GateRecord } from './gate/port.ts';
import type { ViolationRecord } from './hardening-port.ts';
import {
  CgroupEventLayout,
  CgroupOperation,
  Direction,
  EventHeadLayout,
  EventKind,
  GateEventLayout,
  GateOperation,
  HardeningClass,
  PeerEventLayout,
  VerdictEventLayout,
  ViolationEventLayout,
} from './layouts.gen.ts';
import type { ClaimRecord, StrangerRecord } from './peer-port.ts';
import type { CgroupRecord, KernelRecord, VerdictRecord } from './port.ts';

const ADDRESS_BYTES = 16;

const OPERATIONS: ReadonlyMap<number, CgroupRecord['operation']> = new Map([
  [CgroupOperation.Created, 'created'],
  [CgroupOperation.Entered, 'entered'],
  [CgroupOperation.Removed, 'removed'],
]);

const GATE_OPERATIONS: ReadonlyMap<number, GateRecord['operation']> = new Map([
  [GateOperation.Stopped, 'stopped'],
  [GateOperation.Stale, 'stale'],
  [GateOperation.Full, 'full'],
  [GateOperation.Killed, 'killed'],
  [GateOperation.Continued, 'continued'],
  [GateOperation.Condemned, 'condemned'],
  [GateOperation.Refused, 'refused'],
]);

/** What turns the kernel's numbers and times into ours. */
export interface RecordContext {
  readonly endpointName: (number: number) => string;
  /** By its number as a hardened one. */
  readonly containerName: (subject: number) => string;
  readonly wallClock: (monotonic: bigint) => number;
}

/** Reads all records of a batch whose kind is known. */
export function decodeRecords(batch: RecordBatch, context: RecordContext): KernelRecord[] {
  const records: KernelRecord[] = [];
  for (let index = 0; index < batch.count; index++) {
    const record = decodeRecord(batch.buffer, batch.offset(index), batch.length(index), context);
    if (record !== undefined) records.push(record);
  }
  return records;
}

/**
 * Reads one record at `offset`. Undefined where its kind is not known: written by a newer program.
 * @param size bytes the record has
 */
export function decodeRecord(
  buffer: Buffer,
  offset: number,
  size: number,
  context: RecordContext,
): KernelRecord | undefined {
  if (size < EventHeadLayout.size) return undefined;
  const { kind, time } = EventHeadLayout.read(buffer, offset);
  if ((kind === EventKind.Verdict || kind === EventKind.Drop) && size >= VerdictEventLayout.size) {
    return verdictRecord(buffer, offset, kind === EventKind.Drop ? 'drop' : 'verdict', context);
  }
  if (kind === EventKind.Cgroup && size >= CgroupEventLayout.size) {
    const event = CgroupEventLayout.read(buffer, offset);
    const operation = OPERATIONS.get(event.operation);
    if (operation === undefined) return undefined;
    return {
      kind: 'cgroup',
      time: context.wallClock(time),
      cgroup: event.cgroup,
      operation,
      level: event.level,
      pid: event.pid,
    };
  }
  if (kind === EventKind.Gate && size >= GateEventLayout.size) {
    const { owner, cgroup, name, pid, operation: number } = GateEventLayout.read(buffer, offset);
    const operation = GATE_OPERATIONS.get(number);
    if (operation === undefined) return undefined;
    return { kind: 'gate', time: context.wallClock(time), operation, cgroup: owner, name, pid, by: cgroup };
  }
  if ((kind === EventKind.Claim || kind === EventKind.Stranger) && size >= PeerEventLayout.size) {
    return peerRecord(buffer, offset, kind, context);
  }
  if (kind === EventKind.Violation && size >= ViolationEventLayout.size) {
    return violationRecord(buffer, offset, context);
  }
  return undefined;
}

/** A name that is longer than the kernel's field begins with this. */
const CUT = '…';

function violationRecord(buffer: Buffer, offset: number, context: RecordContext): ViolationRecord {
  const event = ViolationEventLayout.read(buffer, offset);
  const path = textOf(event.path);
  const executable = textOf(event.executable);
  const network = event.class === HardeningClass.Network;
  return {
    kind: 'violation',
    time: context.wallClock(event.head.time),
    container: context.containerName(event.subject),
    class: event.class,
    detail: event.detail,
    rule: event.rule,
    stagedRule: event.stagedRule,
    verdict: event.verdict,
    stagedVerdict: event.stagedVerdict,
    suppressed: event.suppressed,
    process: { pid: event.pid, thread: event.thread, user: event.user },
    ancestors: event.ancestors.filter(({ pid }) => pid !== 0).map(({ pid, name }) => ({ pid, name: textOf(name) })),
    ...(executable === '' ? {} : { executable }),
    ...(network ? { address: formatAddress(event.path.subarray(0, ADDRESS_BYTES)) } : {}),
    ...(network || path === '' ? {} : { path: event.cut === 0 ? path : `${CUT}${path}` }),
  };
}

/** Up to the first 0. The names are the container's: what is no character of UTF-8 is replaced. */
function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(end === -1 ? bytes : bytes.subarray(0, end)).toString('utf8');
}

function peerRecord(
  buffer: Buffer,
  offset: number,
  kind: typeof EventKind.Claim | typeof EventKind.Stranger,
  context: RecordContext,
): ClaimRecord | StrangerRecord {
  const event = PeerEventLayout.read(buffer, offset);
  const { identity, protocol, token } = event;
  const what = {
    time: context.wallClock(event.head.time),
    identity,
    endpoint: context.endpointName(event.endpoint),
    conversation: {
      protocol,
      source: { address: formatAddress(event.source.bytes), port: event.sourcePort },
      destination: { address: formatAddress(event.destination.bytes), port: event.destinationPort },
    },
  };
  return kind === EventKind.Claim ? { kind: 'claim', token, ...what } : { kind: 'stranger', ...what };
}

function verdictRecord(
  buffer: Buffer,
  offset: number,
  kind: VerdictRecord['kind'],
  context: RecordContext,
): VerdictRecord {
  const event = VerdictEventLayout.read(buffer, offset);
  return {
    kind,
    time: context.wallClock(event.head.time),
    endpoint: context.endpointName(event.endpoint),
    local: event.local,
    peer: event.peer,
    rule: event.rule,
    stagedRule: event.stagedRule,
    verdict: event.verdict,
    stagedVerdict: event.stagedVerdict,
    direction: event.direction === Direction.Egress ? 'egress' : 'ingress',
    reason: event.reason,
    protocol: event.protocol,
    source: { address: formatAddress(event.source.bytes), port: event.sourcePort },
    destination: { address: formatAddress(event.destination.bytes), port: event.destinationPort },
    bytes: event.bytes,
    suppressed: event.suppressed,
  };
}
