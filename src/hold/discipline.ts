/**
 * What is done with each packet that waits. The first one of a flow stays in the kernel until it is accepted, with a token
 * in its place or as it is; the others are taken out of the queue at once and sent from here, because each of them has
 * met connection tracking before the first one's entry was confirmed, and would get a port of its own behind NAT. Packets
 * that were taken from their senders have passed all of that already: each of them is sent from here.
 */

import { hasPorts } from '../model/protocol.ts';
import type { Conntrack, PacketQueue, PacketSender, QueuedPacket } from '../netfilter/port.ts';
import { type Arrival, fromQueue, fromSender, originalOf } from './arrival.ts';
import { Book, type Flow, type Outgoing, type Queued, type Waiting } from './book.ts';
import { Outbox } from './outbox.ts';
import {
  conversationKey,
  conversationOf,
  destinationKey,
  type IpPacket,
  parsePacket,
  sourceAddress,
} from './packet.ts';
import type { DropReason, HeldFlow, Hold, HoldOptions, HoldStatistics, TakenPacket, TakenPackets } from './port.ts';
import { Overflow, Recent } from './recent.ts';
import { claimPayload, type Destination, sendable, withPayload } from './rewrite.ts';

export interface DisciplineParts {
  readonly queue: PacketQueue;
  readonly sender: PacketSender;
  readonly taken?: TakenPackets;
  /** For what the queue does not tell, and for what was taken. */
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
    this.#arrive(packets.map(fromQueue));
  }

  /** Packets taken from their senders, in the order they came. */
  takeOver(packets: readonly TakenPacket[]): void {
    this.#arrive(packets.flatMap(fromSender));
  }

  #arrive(arrivals: readonly Arrival[]): void {
    const began: Flow[] = [];
    try {
      const now = this.#parts.monotonic();
      for (const arrival of arrivals) this.#take(arrival, now, began);
      for (const flow of began) if (this.#book.get(flow.told.id) === flow) this.#options.onFlow(flow.told);
    } finally {
      this.#outbox.flush();
      this.#arm();
    }
  }

  #take(arrival: Arrival, now: number, began: Flow[]): void {
    this.#received += 1;
    const packet = parsePacket(arrival.packet);
    if (this.#closed || 'malformed' in packet || !arrival.whole) {
      this.#refuse(arrival, this.#closed ? 'closed' : 'malformed');
      return;
    }
    const key = conversationKey(packet);
    const known = this.#book.find(key);
    const endpoint =
      arrival.endpoint ?? this.#options.endpointOf(known?.told.conversation.source.address ?? sourceAddress(packet));
    if (known !== undefined && known.endpoint === endpoint) {
      this.#takeFurther(known, arrival, packet, now);
      return;
    }
    // The address, or the port, has changed hands: what one has sent must not open the way for another.
    if (known !== undefined) this.#end(known, 'closed');
    if (endpoint === undefined) this.#refuse(arrival, 'malformed');
    else this.#takeNew(arrival, packet, endpoint, key, now, began);
  }

  #takeNew(arrival: Arrival, packet: IpPacket, endpoint: string, key: string, now: number, began: Flow[]): void {
    const decision = this.#recent.find(`${endpoint}\0${key}`, now);
    if (decision === 'refused') {
      this.#refuse(arrival, 'refused');
    } else if (decision === 'released') {
      this.#discard(arrival.queued);
      const original = this.#originalOf(arrival, packet);
      this.#send(outgoing(packet, this.#destinationOf({ packet, original })));
    } else {
      const flow = this.#takeFirst(arrival, packet, endpoint, key, now);
      if (flow !== undefined) began.push(flow);
    }
  }

  #takeFirst(arrival: Arrival, packet: IpPacket, endpoint: string, key: string, now: number): Flow | undefined {
    const remote = destinationKey(packet);
    const size = packet.bytes.length;
    const refusal = this.#book.refusalOf(endpoint, remote, size);
    if (refusal !== undefined) {
      this.#overflow.note(`${endpoint}\0${key}`, refusal, size, now, () => this.#describe(packet, arrival));
      this.#refuse(arrival, refusal);
      return undefined;
    }
    return this.#book.begin({
      key,
      endpoint,
      remote,
      told: this.#describe(packet, arrival),
      began: now,
      first: { ...this.#waiting(arrival, packet), queued: arrival.queued },
      size,
    });
  }

  #takeFurther(flow: Flow, arrival: Arrival, packet: IpPacket, now: number): void {
    const size = packet.bytes.length;
    const refusal = this.#book.refusalIn(flow, size);
    if (refusal !== undefined) {
      this.#overflow.note(`${flow.endpoint}\0${flow.key}`, refusal, size, now, () => this.#describe(packet, arrival));
      this.#refuse(arrival, refusal);
      return;
    }
    if (!packet.tagged) flow.told.tagged = false;
    this.#book.add(flow, this.#waiting(arrival, packet), size);
    this.#discard(arrival.queued);
  }

  /** A copy: what is held must not keep alive the buffer of all that came with it. */
  #waiting(arrival: Arrival, packet: IpPacket): Waiting {
    return { packet: { ...packet, bytes: Buffer.from(packet.bytes) }, original: this.#originalOf(arrival, packet) };
  }

  #originalOf({ queued, original }: Arrival, packet: IpPacket): Waiting['original'] {
    return queued === undefined || !this.#parts.queue.conntrack ? 'untold' : originalOf(original, packet);
  }

  /**
   * What was taken was met behind every rewriting, by the kernel's program too: it is told as it is, and what was written is
   * of no account. Only to send it on it matters.
   */
  #describe(packet: IpPacket, arrival: Arrival): Flow['told'] {
    this.#lastId += 1;
    const conversation = conversationOf(packet);
    const { address, port } = conversation.destination;
    const original = this.#originalOf(arrival, packet);
    const rewritten =
      original !== undefined &&
      original !== 'untold' &&
      (original.address !== address || (hasPorts(packet.protocol) && original.port !== port));
    return {
      id: this.#lastId,
      conversation,
      ...(rewritten
        ? { addressed: { address: original.address, port: hasPorts(packet.protocol) ? original.port : port } }
        : {}),
      ...(original === 'untold' && arrival.queued !== undefined ? { untold: true } : {}),
      ...(arrival.endpoint === undefined ? {} : { endpoint: arrival.endpoint }),
      tagged: packet.tagged,
      since: this.#options.now(),
    };
  }

  #refuse({ queued }: Arrival, reason: DropReason): void {
    this.#count(reason, 1);
    this.#discard(queued);
  }

  #discard(queued: Queued | undefined): void {
    if (queued !== undefined) this.#outbox.verdict(queued.id, { action: 'drop' });
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
    if (flow.queued === undefined) {
      const destination = this.#destinationOf(flow.first);
      this.#outbox.send({ ...of(packet, withPayload(packet, payload, destination)), isToken: true });
      return true;
    }
    this.#accept(flow.queued, withPayload(packet, payload));
    flow.queued = undefined;
    return true;
  }

  /** Others have bits in the mark too. Repeated, so that the rules after ours see the packet as they would have. */
  #accept({ id, mark: before }: Queued, packet?: Buffer): void {
    const mark = (before & ~this.#options.mark) >>> 0;
    this.#outbox.verdict(id, { action: 'repeat', mark, ...(packet && { packet }) });
  }

  /**
   * Where the container sent a packet of a flow whose first one goes on, or has, or was taken. Connection tracking finds it
   * from then on, and what is sent to anywhere else would be another conversation.
   */
  #destinationOf({ packet, original }: Waiting): Destination | undefined {
    const { conntrack, onError } = this.#parts;
    if (original !== 'untold') return original;
    if (conntrack === undefined || !hasPorts(packet.protocol)) return undefined;
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
    this.#drain();
    const flow = this.#book.get(id);
    if (flow === undefined || !this.#book.remove(flow)) return false;
    // A tag goes on when nobody could be asked: that speaks for no other packet.
    if (!flow.told.tagged) this.#recent.note(`${flow.endpoint}\0${flow.key}`, 'released', this.#parts.monotonic());
    if (flow.queued !== undefined) {
      this.#released += 1;
      this.#accept(flow.queued);
    }
    const unsent = flow.queued === undefined ? [flow.first, ...flow.further] : flow.further;
    const destination = unsent.length === 0 ? undefined : this.#destinationOf(flow.first);
    for (const { packet, original } of unsent) {
      this.#send(outgoing(packet, original === 'untold' ? destination : (original ?? destination)));
    }
    this.#outbox.flush();
    this.#drain();
    this.#arm();
    return true;
  }

  #drain(): void {
    this.#parts.queue.drain();
    this.#parts.taken?.drain();
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
    this.#discard(flow.queued);
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

function outgoing(packet: IpPacket, original: Destination | undefined): Outgoing {
  return of(packet, sendable(packet, original));
}

function of({ version, divisible }: IpPacket, bytes: Buffer): Outgoing {
  return { bytes, version, divisible, isToken: false };
}
