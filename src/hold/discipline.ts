/**
 * What is done with each packet that waits. The first one of a flow stays in the kernel until it is accepted, with a token
 * in its place or as it is; the others are taken out of the queue at once and sent from here, because each of them has
 * met connection tracking before the first one's entry was confirmed, and would get a port of its own behind NAT.
 */

import { hasPorts } from '../model/protocol.ts';
import type { Conntrack, OriginalTuple, PacketQueue, PacketSender, QueuedPacket } from '../netfilter/port.ts';
import { Book, type First, type Flow, type Outgoing, type Waiting } from './book.ts';
import { Outbox } from './outbox.ts';
import {
  conversationKey,
  conversationOf,
  destinationKey,
  type IpPacket,
  parsePacket,
  sourceAddress,
} from './packet.ts';
import type { DropReason, HeldFlow, Hold, HoldOptions, HoldStatistics } from './port.ts';
import { Overflow, Recent } from './recent.ts';
import { claimPayload, type Destination, sendable, withPayload } from './rewrite.ts';

export interface DisciplineParts {
  readonly queue: PacketQueue;
  readonly sender: PacketSender;
  /** Where the queue does not tell what was rewritten. */
  readonly conntrack?: Conntrack;
  /** Milliseconds, never going back. */
  readonly monotonic: () => number;
  readonly onError: (error: Error) => void;
}

const REASONS = [
  ...['refused', 'expired', 'unreachable', 'endpoint-full', 'peer-full', 'node-full', 'malformed', 'closed'],
] as readonly DropReason[];

export class Discipline implements Hold {
  readonly #options: HoldOptions;
  readonly #parts: DisciplineParts;
  readonly #book: Book;
  readonly #outbox: Outbox;
  readonly #recent = new Recent();
  readonly #overflow: Overflow;
  readonly #dropped = new Map<DropReason, number>(REASONS.map((reason) => [reason, 0]));
  #received = 0;
  #released = 0;
  #lastId = 0;
  #timer: NodeJS.Timeout | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #closed = false;
  /** That connection tracking cannot be asked has been told. */
  #untracked = false;

  constructor(options: HoldOptions, parts: DisciplineParts) {
    this.#options = options;
    this.#parts = parts;
    this.#book = new Book(options.limits);
    this.#overflow = new Overflow(options.onDropped);
    this.#outbox = new Outbox(parts.queue, parts.sender, {
      onError: parts.onError,
      onUnsent: (packet) => {
        if (packet.isToken) return; // it is sent again
        this.#released -= 1;
        this.#count('unreachable', 1);
      },
    });
  }

  /** Packets of the queue, in the order they came. */
  take(packets: readonly QueuedPacket[]): void {
    const began: Flow[] = [];
    try {
      const now = this.#parts.monotonic();
      for (const queued of packets) this.#take(queued, now, began);
      for (const flow of began) if (this.#book.get(flow.told.id) === flow) this.#options.onFlow(flow.told);
    } finally {
      this.#outbox.flush();
      this.#arm();
    }
  }

  #take(queued: QueuedPacket, now: number, began: Flow[]): void {
    this.#received += 1;
    const packet = parsePacket(queued.packet);
    if (this.#closed || 'malformed' in packet || queued.length > queued.packet.length) {
      this.#refuse(queued, this.#closed ? 'closed' : 'malformed');
      return;
    }
    const key = conversationKey(packet);
    const known = this.#book.find(key);
    const endpoint = this.#options.endpointOf(known?.told.conversation.source.address ?? sourceAddress(packet));
    if (known !== undefined && known.endpoint === endpoint) {
      this.#takeFurther(known, queued, packet, now);
      return;
    }
    // The address has changed hands: what one has sent must not open the way for another.
    if (known !== undefined) this.#end(known, 'closed');
    if (endpoint === undefined) this.#refuse(queued, 'malformed');
    else this.#takeNew(queued, packet, endpoint, key, now, began);
  }

  #takeNew(queued: QueuedPacket, packet: IpPacket, endpoint: string, key: string, now: number, began: Flow[]): void {
    const decision = this.#recent.find(`${endpoint}\0${key}`, now);
    if (decision === 'refused') {
      this.#refuse(queued, 'refused');
    } else if (decision === 'released') {
      this.#outbox.verdict(queued.id, { action: 'drop' });
      const original = originalOf(queued.original, packet);
      this.#send(outgoing(packet, this.#destinationOf({ packet, original })));
    } else {
      const flow = this.#takeFirst(queued, packet, endpoint, key, now);
      if (flow !== undefined) began.push(flow);
    }
  }

  #takeFirst(queued: QueuedPacket, packet: IpPacket, endpoint: string, key: string, now: number): Flow | undefined {
    const remote = destinationKey(packet);
    const size = packet.bytes.length;
    const refusal = this.#book.refusalOf(endpoint, remote, size);
    if (refusal !== undefined) {
      this.#overflow.note(`${endpoint}\0${key}`, refusal, size, now, () => this.#describe(packet));
      this.#refuse(queued, refusal);
      return undefined;
    }
    const first: First = { ...waiting(queued, packet), id: queued.id, mark: queued.mark };
    return this.#book.begin({
      key,
      endpoint,
      remote,
      told: this.#describe(packet, first.original),
      began: now,
      first,
      size,
    });
  }

  #takeFurther(flow: Flow, queued: QueuedPacket, packet: IpPacket, now: number): void {
    const size = packet.bytes.length;
    const refusal = this.#book.refusalIn(flow, size);
    if (refusal !== undefined) {
      this.#overflow.note(`${flow.endpoint}\0${flow.key}`, refusal, size, now, () => this.#describe(packet));
      this.#refuse(queued, refusal);
      return;
    }
    if (!packet.tagged) flow.told.tagged = false;
    this.#book.add(flow, waiting(queued, packet), size);
    this.#outbox.verdict(queued.id, { action: 'drop' });
  }

  #describe(packet: IpPacket, original?: Destination): Flow['told'] {
    this.#lastId += 1;
    const conversation = conversationOf(packet);
    const { address, port } = conversation.destination;
    const rewritten =
      original !== undefined && (original.address !== address || (hasPorts(packet.protocol) && original.port !== port));
    return {
      id: this.#lastId,
      conversation,
      ...(rewritten
        ? { addressed: { address: original.address, port: hasPorts(packet.protocol) ? original.port : port } }
        : {}),
      ...(this.#parts.conntrack === undefined ? {} : { untold: true }),
      tagged: packet.tagged,
      since: this.#options.now(),
    };
  }

  #refuse(queued: QueuedPacket, reason: DropReason): void {
    this.#count(reason, 1);
    this.#outbox.verdict(queued.id, { action: 'drop' });
  }

  #count(reason: DropReason, packets: number): void {
    this.#dropped.set(reason, (this.#dropped.get(reason) ?? 0) + packets);
  }

  #send(packet: Outgoing): void {
    this.#released += 1;
    this.#outbox.send(packet);
  }

  sendToken(id: number, token: Uint8Array): boolean {
    const payload = claimPayload(token);
    const flow = this.#book.get(id);
    if (flow === undefined || !flow.first.packet.replaceable) return false;
    const { packet } = flow.first;
    if (flow.tokenSent) {
      const destination = this.#destinationOf(flow.first);
      this.#outbox.send({ ...of(packet, withPayload(packet, payload, destination)), isToken: true });
      return true;
    }
    flow.tokenSent = true;
    this.#accept(flow.first, withPayload(packet, payload));
    return true;
  }

  /** Others have bits in the mark too. Repeated, so that the rules after ours see the packet as they would have. */
  #accept(first: First, packet?: Buffer): void {
    const mark = (first.mark & ~this.#options.mark) >>> 0;
    this.#outbox.verdict(first.id, { action: 'repeat', mark, ...(packet && { packet }) });
  }

  /**
   * Where the container sent a packet of a flow whose first one goes on, or has. Connection tracking finds it from then on,
   * and what is sent to anywhere else would be another conversation.
   */
  #destinationOf({ packet, original }: Waiting): Destination | undefined {
    const { conntrack, onError } = this.#parts;
    if (original !== undefined || conntrack === undefined || !hasPorts(packet.protocol)) return original;
    this.#outbox.flush();
    const { bytes, protocol, sourcePort, destinationPort } = packet;
    try {
      return originalOf(conntrack.originalOf({ packet: bytes, protocol, sourcePort, destinationPort }), packet);
    } catch (error) {
      if (!this.#untracked) onError(error instanceof Error ? error : new Error(String(error)));
      this.#untracked = true;
      return undefined;
    }
  }

  /**
   * What has come and was not read yet goes with what is held, and all of it leaves before this returns: packets that
   * come from now on may take the kernel's way, and shall not overtake.
   */
  release(id: number): boolean {
    this.#parts.queue.drain();
    const flow = this.#book.get(id);
    if (flow === undefined || !this.#book.remove(flow)) return false;
    // A tag goes on when nobody could be asked: that speaks for no other packet.
    if (!flow.told.tagged) this.#recent.note(`${flow.endpoint}\0${flow.key}`, 'released', this.#parts.monotonic());
    if (!flow.tokenSent) {
      this.#released += 1;
      this.#accept(flow.first);
    }
    const unsent = flow.tokenSent ? [flow.first, ...flow.further] : flow.further;
    const destination = unsent.length === 0 ? undefined : this.#destinationOf(flow.first);
    for (const { packet, original = destination } of unsent) this.#send(outgoing(packet, original));
    this.#outbox.flush();
    this.#parts.queue.drain();
    this.#arm();
    return true;
  }

  drop(id: number, reason: DropReason): boolean {
    const flow = this.#book.get(id);
    if (flow === undefined) return false;
    this.#end(flow, reason);
    this.#arm();
    return true;
  }

  #end(flow: Flow, reason: DropReason): void {
    if (!this.#book.remove(flow)) return;
    if (reason === 'refused') {
      this.#recent.note(`${flow.endpoint}\0${flow.key}`, 'refused', this.#parts.monotonic());
    }
    if (!flow.tokenSent) this.#outbox.verdict(flow.first.id, { action: 'drop' });
    this.#count(reason, flow.packets);
    this.#options.onDropped(flow.told, reason, flow.packets, flow.bytes);
  }

  /** Drops whose deadline has passed. Deadlines are all equally long, so the first in the book is the first to pass. */
  #expire(): void {
    const now = this.#parts.monotonic();
    for (
      let flow = this.#book.oldest();
      flow && flow.began + this.#options.deadline <= now;
      flow = this.#book.oldest()
    ) {
      this.#end(flow, 'expired');
    }
    this.#overflow.tell(now);
    this.#recent.prune(now);
  }

  /** One timer for everything that has a time. */
  #arm(): void {
    const oldest = this.#book.oldest();
    const at = Math.min(
      oldest === undefined ? Number.POSITIVE_INFINITY : oldest.began + this.#options.deadline,
      this.#overflow.next ?? Number.POSITIVE_INFINITY,
      this.#recent.next ?? Number.POSITIVE_INFINITY,
    );
    // One that comes too early finds nothing to do and is set again: cheaper than setting it at each change.
    if (this.#closed || (this.#timer !== undefined && this.#timerAt <= at)) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (at === Number.POSITIVE_INFINITY) return;
    this.#timerAt = at;
    this.#timer = setTimeout(() => this.#onTimer(), Math.max(1, Math.ceil(at - this.#parts.monotonic())));
    this.#timer.unref();
  }

  #onTimer(): void {
    this.#timer = undefined;
    try {
      this.#expire();
    } finally {
      this.#outbox.flush();
      this.#arm();
    }
  }

  held(): readonly HeldFlow[] {
    return Array.from(this.#book.flows(), ({ told }) => told);
  }

  statistics(): HoldStatistics {
    const oldest = this.#book.oldest();
    return {
      flows: this.#book.size,
      packets: this.#book.waiting.packets,
      bytes: this.#book.waiting.bytes,
      oldest: oldest === undefined ? 0 : Math.max(0, this.#parts.monotonic() - oldest.began),
      received: BigInt(this.#received),
      released: BigInt(this.#released),
      dropped: new Map(Array.from(this.#dropped, ([reason, packets]) => [reason, BigInt(packets)])),
    };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    try {
      for (const flow of [...this.#book.flows()]) this.#end(flow, 'closed');
    } finally {
      this.#outbox.flush();
      this.#parts.queue.close();
      this.#parts.sender.close();
      this.#parts.conntrack?.close();
    }
  }
}

/** A copy: what is held must not keep alive the buffer of all that came with it. */
function waiting(queued: QueuedPacket, packet: IpPacket): Waiting {
  const original = originalOf(queued.original, packet);
  return { packet: { ...packet, bytes: Buffer.from(packet.bytes) }, original };
}

function outgoing(packet: IpPacket, original: Destination | undefined): Outgoing {
  return of(packet, sendable(packet, original));
}

function of({ version, divisible }: IpPacket, bytes: Buffer): Outgoing {
  return { bytes, version, divisible, isToken: false };
}

/**
 * Where the container sent it: what goes out from here meets the same rewriting again. What connection tracking tells is
 * of the connection's first packet, so it counts only for packets in the direction of that one.
 */
function originalOf(original: OriginalTuple | undefined, packet: IpPacket): Destination | undefined {
  if (original === undefined || original.protocol !== packet.protocol) return undefined;
  if (hasPorts(packet.protocol) && original.sourcePort !== packet.sourcePort) return undefined;
  if (original.source !== sourceAddress(packet)) return undefined;
  return { address: original.destination, port: original.destinationPort };
}
