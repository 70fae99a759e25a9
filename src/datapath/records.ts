/** What the event ring brings, read into values. */
import type { RecordBatch } from '../libbpf/index.ts';
import { formatAddress } from '../model/address.ts';
import {
  CgroupEventLayout,
  CgroupOperation,
  Direction,
  EventHeadLayout,
  EventKind,
  PeerEventLayout,
  VerdictEventLayout,
} from './layouts.gen.ts';
import type { ClaimRecord, StrangerRecord } from './peer-port.ts';
import type { CgroupRecord, KernelRecord, VerdictRecord } from './port.ts';

const OPERATIONS: ReadonlyMap<number, CgroupRecord['operation']> = new Map([
  [CgroupOperation.Created, 'created'],
  [CgroupOperation.Entered, 'entered'],
  [CgroupOperation.Removed, 'removed'],
]);

/** What turns the kernel's numbers and times into ours. */
export interface RecordContext {
  readonly endpointName: (number: number) => string;
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
  if ((kind === EventKind.Claim || kind === EventKind.Stranger) && size >= PeerEventLayout.size) {
    return peerRecord(buffer, offset, kind, context);
  }
  return undefined;
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
