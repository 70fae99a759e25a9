/** Verdicts and packets on their way to the kernel: gathered while something is done, then given all at once. */
import { NetfilterError } from '../netfilter/errors.ts';
import type { PacketQueue, PacketSender, QueueVerdict } from '../netfilter/port.ts';
import type { Outgoing } from './book.ts';
import { fragments } from './rewrite.ts';

/** What every link of IPv6 takes whole, and what every link takes that carries anything of IPv4 nowadays. */
const FRAGMENT_SIZES = [1280, 576] as const;

export interface OutboxEvents {
  /** A packet could not be sent: there is no way, or a firewall forbids it. */
  readonly onUnsent: (packet: Outgoing) => void;
  /** The queue took no verdicts, or a firewall refused a packet; each told once. */
  readonly onError: (error: Error) => void;
}

/**
 * Verdicts go before packets, and both in the order they were put: what was accepted has its entry in connection
 * tracking before anything else of its flow meets it.
 */
export class Outbox {
  readonly #queue: PacketQueue;
  readonly #sender: PacketSender;
  readonly #events: OutboxEvents;
  #verdicts: [id: number, verdict: QueueVerdict][] = [];
  #packets: Outgoing[] = [];
  #fragmentId = (Math.random() * 0x1_0000_0000) >>> 0;
  #scheduled = false;
  #failed = false;
  #forbidden = false;

  constructor(queue: PacketQueue, sender: PacketSender, events: OutboxEvents) {
    this.#queue = queue;
    this.#sender = sender;
    this.#events = events;
  }

  verdict(id: number, verdict: QueueVerdict): void {
    this.#verdicts.push([id, verdict]);
    this.#schedule();
  }

  send(packet: Outgoing): void {
    this.#packets.push(packet);
    this.#schedule();
  }

  /** Many answers of a peer agent come in one read: they leave together. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => this.flush());
  }

  flush(): void {
    this.#scheduled = false;
    const verdicts = this.#verdicts;
    const packets = this.#packets;
    this.#verdicts = [];
    this.#packets = [];
    if (verdicts.length > 0) this.#judge(verdicts);
    for (const packet of packets) this.#send(packet);
  }

  #judge(verdicts: readonly [number, QueueVerdict][]): void {
    try {
      this.#queue.verdicts(verdicts);
    } catch (error) {
      if (this.#failed) return;
      this.#failed = true;
      this.#events.onError(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #send(packet: Outgoing): void {
    if (this.#attempt(packet, [packet.bytes]) !== 'too large') return;
    for (const size of FRAGMENT_SIZES) {
      this.#fragmentId = (this.#fragmentId + 1) >>> 0;
      const pieces = fragments(packet, packet.bytes, size, this.#fragmentId);
      if (pieces === undefined) break;
      if (this.#attempt(packet, pieces) !== 'too large') return;
    }
    this.#events.onUnsent(packet);
  }

  #tellForbidden(cause: NetfilterError): void {
    if (this.#forbidden) return;
    this.#forbidden = true;
    const remedy =
      'let out what bears no address of the host: iptables -I OUTPUT -m addrtype ! --src-type LOCAL -j ACCEPT';
    const message = `What was held cannot be sent: a firewall of this host refuses it in OUTPUT; ${remedy}`;
    this.#events.onError(new Error(message, { cause }));
  }

  #attempt(packet: Outgoing, pieces: readonly Buffer[]): 'sent' | 'unsent' | 'too large' {
    try {
      for (const piece of pieces) this.#sender.send(piece, 0);
      return 'sent';
    } catch (error) {
      if (isTooLarge(error)) return 'too large';
      if (isForbidden(error)) this.#tellForbidden(error);
      this.#events.onUnsent(packet);
      return 'unsent';
    }
  }
}

/** What the first packet of a flow passes as forwarded, those after it pass as the host's own. */
function isForbidden(error: unknown): error is NetfilterError {
  return error instanceof NetfilterError && error.code === 'SEND' && error.errno === 'EPERM';
}

function isTooLarge(error: unknown): boolean {
  return error instanceof NetfilterError && error.code === 'TOO_LARGE';
}
