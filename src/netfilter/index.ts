/** Our binding to NFQUEUE: packets wait in the kernel for our verdict. Usable without Sallyport. */
export type { PacketQueueOptions, QueuedPacket, QueueStatistics, QueueVerdict } from './port.ts';
