/** What the binding gives and takes. */

/** Of a connection's first packet, before any address was rewritten. */
export interface OriginalTuple {
  readonly source: string;
  /** 0 for protocols without ports. */
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
  /** IP protocol number: 6, 17, … */
  readonly protocol: number;
}

/** A packet that waits in the kernel. */
export interface QueuedPacket {
  /** To be given with the verdict; unique in its queue while it waits. */
  readonly id: number;
  readonly mark: number;
  /** Netfilter hook: 4 is POSTROUTING. */
  readonly hook: number;
  /** Interface index, 0: none. */
  readonly input: number;
  readonly output: number;
  /**
   * The packet from its IP header on. A view that stays valid; whoever keeps one for long copies it, since it keeps up to
   * 128 KiB of others that came with it.
   */
  readonly packet: Buffer;
  /** Bytes the packet has, where `packet` was cut short. */
  readonly length: number;
  /**
   * The original direction of the connection this packet belongs to, as conntrack has it. Undefined where the kernel does
   * not tell (`PacketQueue.conntrack`), or does not track the packet.
   */
  readonly original: OriginalTuple | undefined;
}

/**
 * `repeat`: as `accept`, and the rules of the hook that queued it are gone through again from the first. With the same
 * mark that is for ever.
 */
export type QueueVerdict =
  | { readonly action: 'accept' | 'repeat'; readonly mark?: number; readonly packet?: Uint8Array }
  | { readonly action: 'drop' };

export interface PacketQueueOptions {
  /** 0–65535. */
  readonly number: number;
  /** Packets that may wait; more are dropped by the kernel and counted. */
  readonly maxPackets: number;
  /** Bytes of each that are copied to us. Default and most: 65,531. */
  readonly copyBytes?: number;
  /** What is queued while the queue is full passes. Default: false. */
  readonly failOpen?: boolean;
  /** Ask for `original`. Default: true. */
  readonly conntrack?: boolean;
  /** Kernel memory for packets on their way to us, taken only when needed. Default: 16 MiB. */
  readonly receiveBufferBytes?: number;
  /** Whether the open queue keeps the process alive. Default: true. */
  readonly keepAlive?: boolean;
  /** Up to 64 per wake-up, in the order they came; between two calls the event loop turns. Must not throw. */
  readonly onPackets: (packets: readonly QueuedPacket[]) => void;
  /** The queue does not work any more; it is closed. */
  readonly onError: (error: Error) => void;
}

export interface QueueStatistics {
  readonly received: bigint;
  /** Verdicts the kernel did not take: the packet was gone. Known once the event loop has turned. */
  readonly verdictErrors: bigint;
  /** Times the kernel told us that our socket was full: packets were lost. */
  readonly overruns: bigint;
  /** Packets that wait for a verdict now. */
  readonly waiting: number;
  /** Packets the kernel dropped because `maxPackets` waited (32 bits, by the kernel). */
  readonly droppedFull: number;
  /** Packets the kernel dropped because our socket was full (32 bits, by the kernel). */
  readonly droppedSocket: number;
}

/**
 * One NFQUEUE of this process's network namespace.
 *
 *   const queue = PacketQueue.open(options);   // throws NetfilterError
 *   queue.verdict(packet.id, { action: 'accept', mark: 0 });
 *   queue.close();                             // idempotent; the kernel drops what waits
 */
export interface PacketQueue {
  /** Whether the kernel tells `original` of packets. */
  readonly conntrack: boolean;
  verdict(id: number, verdict: QueueVerdict): void;
  /** The same for many, in order, as few system calls as there are 64 KiB of them. */
  verdicts(entries: readonly (readonly [id: number, verdict: QueueVerdict])[]): void;
  /**
   * Delivers now what has come and was not delivered yet, so that the caller knows all that came before this moment.
   * Does nothing while packets are being delivered.
   */
  drain(): void;
  statistics(): QueueStatistics;
  close(): void;
}

/** A packet before its source is rewritten, if that is. Ports: 0 for protocols without. */
export interface TrackedPacket {
  /** From its IP header on. */
  readonly packet: Uint8Array;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** Connection tracking of this network namespace, for whom the queue does not tell `original`. */
export interface Conntrack {
  /**
   * The original direction of the packet's connection, once a packet of it has gone on: before that nobody finds it.
   * Undefined: there is none, or its source is rewritten, too.
   * @throws NetfilterError CONNTRACK, PERMISSION
   */
  originalOf(packet: TrackedPacket): OriginalTuple | undefined;
  close(): void;
}

/** Sends whole IP packets, header included, with any source address, from this network namespace. */
export interface PacketSender {
  /**
   * Does not fragment: a packet larger than the way out takes is TOO_LARGE.
   * @throws NetfilterError where the kernel refuses it (EMSGSIZE, ENETUNREACH, EPERM by a firewall)
   */
  send(packet: Uint8Array, mark?: number): void;
  close(): void;
}

/** The one rule for each IP version that leads marked packets into the queue, after DNAT and before SNAT. */
export interface QueueRule {
  /** The bit of the mark. */
  readonly mark: number;
  readonly queue: number;
  /** Packets pass when nobody listens to the queue. */
  readonly bypass: boolean;
  /** Whose rule it is; letters, digits. An older rule of the same owner is replaced if it has the queue or the mark. Default: `sallyport`. */
  readonly owner?: string;
}

/** `nft`: native `queue` expression; `iptables`: xtables NFQUEUE target, legacy or through nft. */
export type RuleBackend = 'nft' | 'iptables-legacy' | 'iptables-nft';

/**
 *   const rules = await installQueueRule(rule, 'auto');   // replaces an older one of ours; throws NetfilterError
 *   rules.backend; rules.families;                        // what it was done with, for whom: [4, 6]
 *   await rules.verify();                                 // false: somebody has removed it
 *   await rules.remove();                                 // idempotent
 */
export interface InstalledRule {
  readonly backend: RuleBackend;
  readonly families: readonly (4 | 6)[];
  verify(): Promise<boolean>;
  remove(): Promise<void>;
}
