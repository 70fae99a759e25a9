/** The flow table, read into values. */
import { formatAddress } from '../model/address.ts';
import { Direction, type Flow, FlowFlags, type FlowKey, FlowState } from './layouts.gen.ts';
import type { Tables } from './maps.ts';
import type { FlowRecord } from './port.ts';
import type { RecordContext } from './records.ts';

/** `SCOPE_CONTAINER` in `bpf/lib/flow.h`: the entry of one container behind a shared interface. */
const SCOPE_CONTAINER = 0x80000000;

const STATES: Readonly<Record<number, FlowRecord['state']>> = {
  [FlowState.New]: 'new',
  [FlowState.Established]: 'established',
  [FlowState.Closing]: 'closing',
  [FlowState.Closed]: 'closed',
};

/** Reads all entries, in no order; the table changes underneath. */
export function* readFlows(flows: Tables['flows'], revision: number, context: RecordContext): Generator<FlowRecord> {
  for (const [key, flow] of flows.entries()) yield flowRecord(key, flow, revision, context);
}

function flowRecord(key: FlowKey, flow: Flow, revision: number, context: RecordContext): FlowRecord {
  const both = (values: readonly bigint[]) => ({
    egress: values[Direction.Egress] ?? 0n,
    ingress: values[Direction.Ingress] ?? 0n,
  });
  return {
    endpoint: context.endpointName(key.endpoint % SCOPE_CONTAINER),
    direction: flow.direction === Direction.Egress ? 'egress' : 'ingress',
    protocol: key.protocol,
    local: { address: formatAddress(key.local.bytes), port: key.localPort, slot: flow.local },
    remote: { address: formatAddress(key.remote.bytes), port: key.remotePort, slot: flow.peer },
    verdict: flow.verdict,
    stagedVerdict: flow.stagedVerdict,
    rule: flow.rule,
    stagedRule: flow.stagedRule,
    state: STATES[flow.state] ?? 'closed',
    current: flow.revision === revision,
    adopted: (flow.flags & FlowFlags.Adopted) !== 0,
    pending: (flow.flags & FlowFlags.Pending) !== 0,
    ...(flow.identity === 0n ? {} : { identity: flow.identity }),
    createdAt: context.wallClock(flow.created),
    seenAt: context.wallClock(flow.seen),
    packets: both(flow.packets),
    bytes: both(flow.bytes),
  };
}
