import type { Logger } from 'pino';
import type { Datapath, VerdictRecord } from '../../datapath/port.ts';
import type { HandshakeRecord, RecordEnd } from '../../handshake/port.ts';
import type { DropReason, HeldFlow } from '../../hold/port.ts';
import type { Conversation } from '../../model/conversation.ts';
import { formatWorkload } from '../../model/workload.ts';
import type { Store } from '../../store/index.ts';
import type { Enforcement } from '../enforcement.ts';
import type { EndpointBook } from '../local-node.ts';
import type { Measurements } from '../metrics/registry.ts';
import { refusedConnection } from './refused-connection.ts';

export interface ChronicleParts {
  readonly node: string;
  readonly datapath: Datapath;
  readonly enforcement: Enforcement;
  readonly measurements: Measurements;
  readonly logger: Logger;
  readonly now: () => number;
  readonly book: EndpointBook;
  readonly store: () => Store | undefined;
  /** The node whose agent speaks for an address. */
  readonly agentAt: (address: string) => string | undefined;
  /** Somebody can be asked for what is held. */
  readonly asks: () => boolean;
}

/** A connection that came from another node and was refused by policy. */
export interface Refused {
  readonly source: bigint;
  readonly destination: bigint;
  readonly conversation: Conversation;
  readonly rule: string;
}

/** Puts on record how handshakes end, and what was refused without one. */
export class Chronicle {
  readonly #parts: ChronicleParts;

  constructor(parts: ChronicleParts) {
    this.#parts = parts;
  }

  add(record: HandshakeRecord): void {
    const { measurements, logger, store } = this.#parts;
    const { result, step } = record;
    measurements.handshakes.inc({ result, step });
    if (result === 'verified') return;
    store()?.add({ ...record, source: this.#named(record.source), destination: this.#named(record.destination) });
    logger.debug({ handshake: record.handshake, result, step, reason: record.reason }, 'A handshake ended');
  }

  /** Held packets were dropped. Only what no handshake has told, or will tell, of is put on record here. */
  dropped({ conversation, since }: HeldFlow, reason: DropReason): void {
    const { node, now, book, agentAt, asks } = this.#parts;
    const full = reason.endsWith('-full');
    if (!full && (reason !== 'unreachable' || asks())) return;
    const sender = book.senderAt(conversation.source, conversation.protocol);
    const agent = agentAt(conversation.destination.address);
    this.add({
      handshake: '',
      time: now(),
      end: 'source',
      result: full ? 'limited' : 'unreachable',
      step: 'request',
      reason,
      rule: '',
      source: { node, ...(sender === undefined ? {} : { identity: sender.identity }) },
      destination: agent === undefined ? {} : { node: agent },
      conversation,
      duration: Math.max(0, now() - since),
    });
  }

  /** The kernel has judged a packet. @returns what the node it came from should hear of */
  judged(record: VerdictRecord): Refused | undefined {
    const { datapath, enforcement, node, book, agentAt } = this.#parts;
    const refused = refusedConnection(record, {
      identityOf: (slot) => {
        const id = datapath.identityOf(slot);
        return id === undefined ? undefined : enforcement.identities.get(id);
      },
      ruleOf: (rule) => datapath.currentTables().rules.get(rule),
      endpointOf: (address) => book.endpointOf(address),
      agentAt,
      node,
    });
    if (refused === undefined) return undefined;
    this.add(refused);
    const { end, conversation, rule } = refused;
    const [source, destination] = [refused.source.identity, refused.destination.identity];
    if (end === 'source' || source === undefined || destination === undefined) return undefined;
    return { source, destination, conversation, rule };
  }

  /** The handshake knows the names of what others run, not of what runs here. */
  #named(end: RecordEnd): RecordEnd {
    if (end.workload !== undefined || end.identity === undefined) return end;
    const known = this.#parts.enforcement.identities.get(end.identity);
    return known === undefined ? end : { ...end, workload: formatWorkload(known.workload) };
  }
}
