/** What the binding gives and takes. */

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
  /** The packet from its IP header on. A view that stays valid. */
  readonly packet: Buffer;
  /** Bytes the packet has, where `packet` was cut short. */
  readonly length: number;
}

export type QueueVerdict =
  | { readonly action: 'accept'; readonly mark?: number; readonly packet?: Uint8Array }
  | { readonly action: 'drop' };

export interface PacketQueueOptions {
  /** 0–65535. */
  readonly number: number;
  /** Packets that may wait; more are dropped by the kernel and counted. */
  readonly maxPackets: number;
  /** Bytes of each that are copied to us. Default: 65,535. */
  readonly copyBytes?: number;
  /** What is queued while the queue is full passes. Default: false. */
  readonly failOpen?: boolean;
  /** Many per wake-up, in the order they came. Must not throw. */
  readonly onPackets: (packets: readonly QueuedPacket[]) => void;
  /** The queue does not work any more. */
  readonly onError: (error: Error) => void;
}

export interface QueueStatistics {
  readonly received: bigint;
  /** Verdicts the kernel did not take: the packet was gone. */
  readonly verdictErrors: bigint;
  /** Messages the kernel could not give us because our socket was full. */
  readonly overruns: bigint;
}

/**
 * One NFQUEUE of this process's network namespace.
 *
 *   const queue = PacketQueue.open(options);   // throws NetfilterError
 *   queue.verdict(packet.id, { action: 'accept', mark: 0 });
 *   queue.close();                             // idempotent; the kernel drops what waits
 */
export interface PacketQueue {
  verdict(id: number, verdict: QueueVerdict): void;
  /** The same for many, in order, in one system call where the kernel can. */
  verdicts(entries: readonly (readonly [id: number, verdict: QueueVerdict])[]): void;
  statistics(): QueueStatistics;
  close(): void;
}

/** Sends whole IP packets, header included, with any source address, from this network namespace. */
export interface PacketSender {
  /** @throws NetfilterError where the kernel refuses it (EMSGSIZE, ENETUNREACH, EPERM by a firewall) */
  send(packet: Uint8Array, mark?: number): void;
  close(): void;
}

/** The one rule for each IP version that leads marked packets into the queue; mangle POSTROUTING. */
export interface QueueRule {
  /** The bit of the mark. */
  readonly mark: number;
  readonly queue: number;
  /** Packets pass when nobody listens to the queue. */
  readonly bypass: boolean;
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
