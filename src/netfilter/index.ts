/** Our binding to NFQUEUE: packets wait in the kernel for our verdict. Usable without Sallyport: docs/netfilter.md. */
export { Conntrack } from './conntrack.ts';
export { ERROR_TABLE, type NetfilterErrorCode } from './error-table.ts';
export { NetfilterError, type NetfilterErrorDetails } from './errors.ts';
export type {
  InstalledRule,
  OriginalTuple,
  PacketQueueOptions,
  QueuedPacket,
  QueueRule,
  QueueStatistics,
  QueueVerdict,
  RuleBackend,
  TrackedPacket,
} from './port.ts';
export { PacketQueue } from './queue.ts';
export { installQueueRule, removeQueueRules } from './rules.ts';
export { PacketSender } from './sender.ts';
