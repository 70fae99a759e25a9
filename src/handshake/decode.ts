import { formatAddress, samePrefix, V4_MAPPED, V4_MAPPED_PREFIX } from '../model/address.ts';
import type { Conversation, Side } from '../model/conversation.ts';
import type { NamedPort } from '../model/endpoint.ts';
import { ProtocolError } from './errors.ts';
import { MESSAGE_MOST } from './frames.ts';
import {
  type Accept,
  type Announce,
  type AnnouncedWorkload,
  BOUNDS,
  type Message,
  type MessageKind,
  REASONS,
  type Reason,
  type Refuse,
  TOKEN_BYTES,
} from './messages.ts';
import { envelopeType, fromHalves, type Halves } from './schema.ts';

/** A message as the library gives it: absent fields are their defaults, 64-bit numbers are halves. */
type Raw = Readonly<Record<string, unknown>>;

/** First byte of an Envelope whose body is an Announce: field 2, length-delimited. */
const ANNOUNCE_FIRST = 0x12;

/** In no text of a peer: what a terminal or a log would take for something else, and what was no UTF-8. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\ufffd]/;

const PORT_PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const;

/**
 * Reads one frame. Every field is bounded; what is returned shares no memory with the frame.
 * @throws ProtocolError MALFORMED or BOUNDS
 */
export function decode(frame: Uint8Array): Message {
  // One that begins with an Announce is one, or has two bodies.
  if (frame.length > MESSAGE_MOST && frame[0] !== ANNOUNCE_FIRST) {
    throw new ProtocolError('BOUNDS', `A message of ${frame.length} bytes, wanted at most ${MESSAGE_MOST}`);
  }
  const bodies = Object.entries(parse(frame));
  const [kind, body] = bodies[0] ?? [];
  if (bodies.length !== 1 || kind === undefined) {
    throw new ProtocolError('MALFORMED', `An envelope with ${bodies.length} bodies, wanted one`);
  }
  return READERS[kind as MessageKind](body as Raw);
}

/** Whether others take this workload; what they would refuse must not be sent. */
export function announceable(one: AnnouncedWorkload): boolean {
  try {
    checkWorkload(one);
    return true;
  } catch (thrown) {
    if (thrown instanceof ProtocolError) return false;
    throw thrown;
  }
}

function parse(frame: Uint8Array): Raw {
  try {
    // Own properties only: those of the prototype are the defaults.
    return Object.fromEntries(Object.entries(envelopeType().decode(frame)));
  } catch (cause) {
    // The library throws RangeError and Error, and overflows the stack on groups nested deep.
    throw new ProtocolError('MALFORMED', `A frame of ${frame.length} bytes is no message`, { cause });
  }
}

const READERS: Readonly<Record<MessageKind, (raw: Raw) => Message>> = {
  hello: (raw) => ({
    kind: 'hello',
    versionLeast: number(raw, 'versionLeast', 0xffff),
    versionMost: number(raw, 'versionMost', 0xffff),
    domain: text(raw, 'domain', BOUNDS.name, 1),
    node: text(raw, 'node', BOUNDS.name, 1),
    instance: wide(raw, 'instance'),
    time: safe(raw, 'time'),
  }),
  announce: readAnnounce,
  request: (raw) => ({
    kind: 'request',
    id: nonZero(raw, 'id'),
    source: nonZero(raw, 'source'),
    conversation: readFlow(raw.flow),
    shared: flag(raw, 'shared'),
    direct: flag(raw, 'direct'),
  }),
  accept: readAccept,
  arrived: (raw) => ({
    kind: 'arrived',
    id: nonZero(raw, 'id'),
    destination: nonZero(raw, 'destination'),
    direct: flag(raw, 'direct'),
    lifetime: number(raw, 'lifetime', BOUNDS.lifetime, 1),
  }),
  confirm: (raw) => ({ kind: 'confirm', id: nonZero(raw, 'id') }),
  refuse: readRefuse,
  renew: (raw) => ({ kind: 'renew', id: nonZero(raw, 'id') }),
  renewed: (raw) => ({
    kind: 'renewed',
    id: nonZero(raw, 'id'),
    lifetime: number(raw, 'lifetime', BOUNDS.lifetime, 1),
  }),
  revoke: (raw) => ({ kind: 'revoke', id: nonZero(raw, 'id'), reason: reason(raw), yours: flag(raw, 'yours') }),
  query: (raw) => ({ kind: 'query', identity: nonZero(raw, 'identity') }),
  ping: (raw) => ({ kind: 'ping', nonce: wide(raw, 'nonce') }),
  pong: (raw) => ({ kind: 'pong', nonce: wide(raw, 'nonce') }),
};

function readAnnounce(raw: Raw): Announce {
  return {
    kind: 'announce',
    complete: flag(raw, 'complete'),
    more: flag(raw, 'more'),
    revision: safe(raw, 'revision'),
    workloads: list(raw, 'workloads', BOUNDS.workloads).map((one) => readWorkload(one as Raw)),
    withdrawn: list(raw, 'withdrawn', BOUNDS.withdrawn).map((one) => fromHalves(one as Halves)),
  };
}

function readWorkload(raw: Raw): AnnouncedWorkload {
  const labels: Record<string, string> = Object.create(null) as Record<string, string>;
  const pairs = list(raw, 'labels', BOUNDS.labels) as readonly Raw[];
  for (const pair of pairs) labels[text(pair, 'key', BOUNDS.label)] = text(pair, 'value', BOUNDS.label);
  if (Object.keys(labels).length !== pairs.length) throw outOfBounds('labels', 'named twice');
  const workload = { namespace: string(raw, 'namespace'), kind: string(raw, 'kind'), name: string(raw, 'name') };
  const ports = list(raw, 'ports', BOUNDS.ports).map((one): NamedPort => {
    const port = one as Raw;
    return {
      name: string(port, 'name'),
      protocol: string(port, 'protocol') as NamedPort['protocol'],
      port: number(port, 'port', 65_535),
    };
  });
  return checkWorkload({ workload, container: string(raw, 'container'), labels, ports });
}

function checkWorkload(one: AnnouncedWorkload): AnnouncedWorkload {
  const { workload, container, labels, ports } = one;
  checkText(workload.namespace, 'namespace', BOUNDS.namespace, 1);
  checkText(workload.kind, 'kind', BOUNDS.namespace, 1);
  checkText(workload.name, 'name', BOUNDS.name, 1);
  checkText(container, 'container', BOUNDS.name, 0);
  const pairs = Object.entries(labels);
  if (pairs.length > BOUNDS.labels) throw outOfBounds('labels', `${pairs.length} of them`);
  for (const [key, value] of pairs) {
    checkText(key, 'label', BOUNDS.label, 0);
    checkText(value, 'label', BOUNDS.label, 0);
  }
  if (ports.length > BOUNDS.ports) throw outOfBounds('ports', `${ports.length} of them`);
  for (const { name, protocol, port } of ports) {
    checkText(name, 'port name', BOUNDS.portName, 1);
    if (!PORT_PROTOCOLS.includes(protocol)) throw outOfBounds('protocol of a port', 'unknown');
    if (!Number.isInteger(port) || port < 1 || port > 65_535) throw outOfBounds('port', String(port));
  }
  return one;
}

function readAccept(raw: Raw): Accept {
  const token = bytes(raw, 'token');
  if (token.length !== 0 && token.length !== TOKEN_BYTES) throw outOfBounds('token', `${token.length} bytes`);
  const [destination, lifetime] = [wide(raw, 'destination'), number(raw, 'lifetime', BOUNDS.lifetime)];
  // Without a token nothing else comes: who it is and for how long must be said here.
  if (token.length === 0 && (destination === 0n || lifetime === 0)) throw outOfBounds('token', 'missing');
  return {
    kind: 'accept',
    id: nonZero(raw, 'id'),
    destination,
    token: token.length === 0 ? undefined : Uint8Array.from(token),
    lifetime,
    direct: flag(raw, 'direct'),
  };
}

function readRefuse(raw: Raw): Refuse {
  const id = wide(raw, 'id');
  return {
    kind: 'refuse',
    id,
    reason: reason(raw),
    destination: wide(raw, 'destination'),
    rule: text(raw, 'rule', BOUNDS.rule),
    source: id === 0n ? nonZero(raw, 'source') : 0n,
    conversation: id === 0n ? readFlow(raw.flow) : undefined,
    yours: flag(raw, 'yours'),
  };
}

function readFlow(value: unknown): Conversation {
  if (value === undefined || value === null) throw outOfBounds('flow', 'missing');
  const raw = value as Raw;
  const source = readSide(raw, 'source', 'sourcePort');
  const destination = readSide(raw, 'destination', 'destinationPort');
  if (source.address.includes(':') !== destination.address.includes(':')) {
    throw outOfBounds('flow', 'addresses of two families');
  }
  return { protocol: number(raw, 'protocol', 255), source, destination };
}

function readSide(raw: Raw, name: string, portName: string): Side {
  const address = bytes(raw, name);
  const port = number(raw, portName, 65_535);
  if (address.length === 4) return { address: address.join('.'), port };
  if (address.length !== 16) throw outOfBounds('address', `${address.length} bytes`);
  if (samePrefix(address, V4_MAPPED, V4_MAPPED_PREFIX)) throw outOfBounds('address', 'IPv4 written as IPv6');
  return { address: formatAddress(address), port };
}

function reason(raw: Raw): Reason {
  return REASONS[(Number(raw.reason ?? 0) | 0) - 1] ?? 'other';
}

function outOfBounds(field: string, what: string): ProtocolError {
  return new ProtocolError('BOUNDS', `A message with a field out of bounds, ${field}: ${what}`);
}

function number(raw: Raw, field: string, most: number, least = 0): number {
  const value = Number(raw[field] ?? 0);
  if (!Number.isInteger(value) || value < least || value > most) throw outOfBounds(field, String(value));
  return value;
}

function wide(raw: Raw, field: string): bigint {
  const value = raw[field];
  if (value === undefined || value === null) return 0n;
  return fromHalves(value as Halves);
}

function nonZero(raw: Raw, field: string): bigint {
  const value = wide(raw, field);
  if (value === 0n) throw outOfBounds(field, '0');
  return value;
}

/** A 64-bit number that must be exact as a `number`. */
function safe(raw: Raw, field: string): number {
  const value = wide(raw, field);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw outOfBounds(field, String(value));
  return Number(value);
}

function flag(raw: Raw, field: string): boolean {
  return raw[field] === true;
}

function string(raw: Raw, field: string): string {
  return (raw[field] as string | undefined) ?? '';
}

function text(raw: Raw, field: string, most: number, least = 0): string {
  return checkText(string(raw, field), field, most, least);
}

function checkText(value: string, field: string, most: number, least: number): string {
  if (value.length > most || value.length < least) throw outOfBounds(field, `${value.length} characters`);
  if (UNPRINTABLE.test(value)) throw outOfBounds(field, 'characters that cannot be shown');
  return value;
}

function bytes(raw: Raw, field: string): Uint8Array {
  return (raw[field] as Uint8Array | undefined) ?? new Uint8Array(0);
}

function list(raw: Raw, field: string, most: number): readonly unknown[] {
  const values = (raw[field] as readonly unknown[] | undefined) ?? [];
  if (values.length > most) throw outOfBounds(field, `${values.length} of them`);
  return values;
}
