import { addressFamily, parseAddress } from '../model/address.ts';
import type { Conversation } from '../model/conversation.ts';
import { type AnnouncedWorkload, BOUNDS, type Message, REASONS, type Reason } from './messages.ts';
import { envelopeType, toHalves } from './schema.ts';

/** A message with its length before it, as it goes on the wire. */
export function encode(message: Message): Buffer {
  const type = envelopeType();
  return Buffer.from(type.encodeDelimited(type.create({ [message.kind]: body(message) })).finish());
}

function body(message: Message): object {
  switch (message.kind) {
    case 'hello':
      return { ...message, instance: toHalves(message.instance), time: toHalves(BigInt(message.time)) };
    case 'announce':
      return {
        ...message,
        revision: toHalves(BigInt(message.revision)),
        workloads: message.workloads.map(workload),
        withdrawn: message.withdrawn.map(toHalves),
      };
    case 'request':
      return {
        ...message,
        id: toHalves(message.id),
        source: toHalves(message.source),
        flow: flow(message.conversation),
      };
    case 'accept': {
      const { token, ...rest } = message;
      const fields = { ...rest, id: toHalves(message.id), destination: toHalves(message.destination) };
      return token === undefined ? fields : { ...fields, token };
    }
    case 'arrived':
      return { ...message, id: toHalves(message.id), destination: toHalves(message.destination) };
    case 'refuse': {
      const { conversation } = message;
      return {
        ...message,
        id: toHalves(message.id),
        rule: message.rule.slice(0, BOUNDS.rule),
        reason: reason(message.reason),
        destination: toHalves(message.destination),
        source: toHalves(message.source),
        ...(conversation === undefined ? {} : { flow: flow(conversation) }),
      };
    }
    case 'revoke':
      return { ...message, id: toHalves(message.id), reason: reason(message.reason) };
    case 'confirm':
    case 'renew':
    case 'renewed':
      return { ...message, id: toHalves(message.id) };
    case 'query':
      return { identity: toHalves(message.identity) };
    case 'ping':
    case 'pong':
      return { nonce: toHalves(message.nonce) };
  }
}

function workload({ workload: { namespace, kind, name }, container, labels, ports }: AnnouncedWorkload): object {
  const pairs = Object.entries(labels).map(([key, value]) => ({ key, value }));
  return { namespace, kind, name, container, labels: pairs, ports };
}

function flow({ protocol, source, destination }: Conversation): object {
  return {
    protocol,
    source: address(source.address),
    sourcePort: source.port,
    destination: address(destination.address),
    destinationPort: destination.port,
  };
}

function address(text: string): Uint8Array {
  const bytes = parseAddress(text);
  if (bytes === undefined) throw new TypeError(`Cannot send "${text}": not an address`);
  return addressFamily(bytes) === 4 ? bytes.subarray(12) : bytes;
}

/** 0 for what has no number. */
function reason(value: Reason): number {
  return REASONS.indexOf(value) + 1;
}
