/** One row per error code: what it means, what to do about it, and the exit code of a command that ends with it. */
export interface ErrorRow {
  readonly meaning: string;
  /** Shown when the place that raised the error knows no better one. */
  readonly hint?: string;
  /** sysexits(3). */
  readonly exitCode: number;
}

const UNAVAILABLE = 69;
const SOFTWARE = 70;
const SYSTEM = 71;
const PERMISSION = 77;

export const ERROR_TABLE = {
  ARGUMENT: { meaning: 'a value of the wrong type, size or range was passed', exitCode: SOFTWARE },
  CLOSED: { meaning: 'the object was used after close()', exitCode: SOFTWARE },
  ADDON: {
    meaning: 'the native addon could not be loaded',
    hint: 'build it: make addon; it needs libnetfilter_queue and libmnl',
    exitCode: UNAVAILABLE,
  },
  QUEUE: { meaning: 'a queue could not be opened or read', exitCode: SYSTEM },
  QUEUE_BUSY: {
    meaning: 'somebody else listens to the queue',
    hint: 'end that process, or use another queue number; /proc/net/netfilter/nfnetlink_queue lists them',
    exitCode: UNAVAILABLE,
  },
  VERDICT: { meaning: 'verdicts could not be sent', exitCode: SYSTEM },
  SENDER: { meaning: 'raw sockets could not be opened', exitCode: SYSTEM },
  CONNTRACK: { meaning: 'connection tracking could not be asked', exitCode: SYSTEM },
  SEND: { meaning: 'the kernel refused to send a packet', exitCode: SYSTEM },
  TOO_LARGE: { meaning: 'a packet is larger than the way out takes', exitCode: SYSTEM },
  RULE: {
    meaning: 'a rule that leads packets to a queue could not be made, found or removed',
    hint: 'nft with the queue expression, or iptables with the NFQUEUE target is needed',
    exitCode: UNAVAILABLE,
  },
  PERMISSION: {
    meaning: 'the process may not do this',
    hint: 'run as root or with CAP_NET_ADMIN and CAP_NET_RAW',
    exitCode: PERMISSION,
  },
} as const satisfies Record<string, ErrorRow>;

export type NetfilterErrorCode = keyof typeof ERROR_TABLE;
