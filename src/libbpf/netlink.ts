import { LITTLE_ENDIAN, viewOf } from './byte-order.ts';
import { BpfError, fail } from './errors.ts';
import { type NetlinkHandle, native } from './native.ts';
import { checkPath, opened, Resource } from './resource.ts';

const NETLINK_ROUTE = 0;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLM_F_DUMP = 0x300;
const NLM_F_DUMP_INTR = 0x10;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const HEADER = 16;
const EINTR = -4;
const EAGAIN = -11;

/** The kernel writes dumps in parts of at most 32 KiB. */
const RECEIVE_BYTES = 64 * 1024;
/** A dump that the tables changed under is asked for again; after this many times it is taken as it is. */
const MAX_TRIES = 8;

/** A message's type and body, behind its header. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly body: Buffer;
}

/** Whose network: a path like /proc/PID/ns/net or /run/netns/NAME; our own by default. */
export interface NamespaceOptions {
  readonly netns?: string | undefined;
}

/** A rtnetlink socket, in the namespace it was opened in for good. */
export class RouteSocket extends Resource<NetlinkHandle> {
  readonly #where: string;

  constructor(options: NamespaceOptions, groups: number) {
    const { netns } = options;
    if (netns !== undefined) checkPath(netns, 'a network namespace');
    const where = netns === undefined ? 'this network namespace' : `network namespace "${netns}"`;
    const handle = native.openNetlink(NETLINK_ROUTE, groups, netns);
    const attempted = `open a netlink socket in ${where}`;
    if (handle === -2)
      throw new BpfError('NOT_FOUND', { attempted, errno: handle, hint: 'the process or namespace has gone' });
    super(opened(handle, 'NETLINK', attempted));
    this.#where = where;
  }

  protected override describe(): string {
    return `the netlink socket of ${this.#where}`;
  }

  handle(): NetlinkHandle {
    return this.live();
  }

  /** Everything the kernel answers to a dump request with this family header. Throws `BpfError` NETLINK. */
  dump(type: number, header: Buffer): NetlinkMessage[] {
    let messages: NetlinkMessage[] = [];
    for (let sequence = 1; sequence <= MAX_TRIES; sequence++) {
      this.#request(type, header, NLM_F_DUMP, sequence);
      const answer = this.#answers(sequence);
      messages = answer.messages;
      if (!answer.interrupted) break;
    }
    return messages;
  }

  /** What the kernel answers to a request for one thing; undefined for no more than that it is done. */
  ask(type: number, body: Buffer): NetlinkMessage | undefined {
    this.#request(type, body, NLM_F_ACK, 1);
    return this.#answers(1).messages[0];
  }

  /** One datagram that is there, or why none could be read: EAGAIN, ENOBUFS when some were lost. */
  receive(buffer: Buffer): NetlinkMessage[] | { readonly errno: number } {
    const size = native.receiveNetlink(this.live('read'), buffer, false);
    return size < 0 ? { errno: size } : parseMessages(buffer.subarray(0, size)).map(({ message }) => message);
  }

  #request(type: number, header: Buffer, flags: number, sequence: number): void {
    const request = Buffer.alloc(HEADER + header.length);
    const view = viewOf(request);
    view.setUint32(0, request.length, LITTLE_ENDIAN);
    view.setUint16(4, type, LITTLE_ENDIAN);
    view.setUint16(6, NLM_F_REQUEST | flags, LITTLE_ENDIAN);
    view.setUint32(8, sequence, LITTLE_ENDIAN);
    header.copy(request, HEADER);
    const errno = native.sendNetlink(this.live('ask'), request);
    if (errno < 0) fail('NETLINK', errno, `ask ${this.describe()}`);
  }

  #answers(sequence: number): { messages: NetlinkMessage[]; interrupted: boolean } {
    const messages: NetlinkMessage[] = [];
    let interrupted = false;
    for (;;) {
      const buffer = Buffer.allocUnsafeSlow(RECEIVE_BYTES);
      const size = native.receiveNetlink(this.live('read'), buffer, true);
      if (size === EINTR) continue;
      if (size < 0) {
        fail(
          'NETLINK',
          size,
          `read an answer of ${this.describe()}`,
          size === EAGAIN ? { reason: 'the kernel did not answer in 5 s' } : {},
        );
      }
      for (const { message, sequence: answered } of parseMessages(buffer.subarray(0, size))) {
        if (answered !== sequence) continue;
        if ((message.flags & NLM_F_DUMP_INTR) !== 0) interrupted = true;
        if (message.type === NLMSG_DONE || message.type === NLMSG_ERROR) {
          const errno = message.body.length < 4 ? 0 : viewOf(message.body).getInt32(0, LITTLE_ENDIAN);
          if (errno < 0) fail('NETLINK', errno, `ask ${this.describe()}`);
          return { messages, interrupted };
        }
        messages.push(message);
      }
    }
  }
}

/** The messages of one datagram. Throws `BpfError` NETLINK when lengths make no sense. */
function parseMessages(datagram: Buffer): { message: NetlinkMessage; sequence: number }[] {
  const view = viewOf(datagram);
  const messages: { message: NetlinkMessage; sequence: number }[] = [];
  for (let at = 0; at + HEADER <= datagram.length; ) {
    const length = view.getUint32(at, LITTLE_ENDIAN);
    if (length < HEADER || at + length > datagram.length) {
      throw new BpfError('NETLINK', {
        attempted: 'read a netlink message',
        reason: `it claims ${length} bytes of ${datagram.length - at}`,
      });
    }
    messages.push({
      message: {
        type: view.getUint16(at + 4, LITTLE_ENDIAN),
        flags: view.getUint16(at + 6, LITTLE_ENDIAN),
        body: datagram.subarray(at + HEADER, at + length),
      },
      sequence: view.getUint32(at + 8, LITTLE_ENDIAN),
    });
    at += align(length);
  }
  return messages;
}

function align(length: number): number {
  return (length + 3) & ~3;
}

/** Netlink attributes by type; the last of several wins. */
export class Attributes {
  readonly #values = new Map<number, Buffer>();

  /** Throws `BpfError` NETLINK when lengths make no sense. */
  constructor(bytes: Buffer) {
    const view = viewOf(bytes);
    for (let at = 0; at + 4 <= bytes.length; ) {
      const length = view.getUint16(at, LITTLE_ENDIAN);
      if (length < 4 || at + length > bytes.length) {
        throw new BpfError('NETLINK', {
          attempted: 'read a netlink attribute',
          reason: `it claims ${length} bytes of ${bytes.length - at}`,
        });
      }
      // The upper bits say nested and network order.
      this.#values.set(view.getUint16(at + 2, LITTLE_ENDIAN) & 0x3fff, bytes.subarray(at + 4, at + length));
      at += align(length);
    }
  }

  bytes(type: number): Buffer | undefined {
    return this.#values.get(type);
  }

  u32(type: number): number | undefined {
    const value = this.#values.get(type);
    return value === undefined || value.length < 4 ? undefined : viewOf(value).getUint32(0, LITTLE_ENDIAN);
  }

  i32(type: number): number | undefined {
    const value = this.#values.get(type);
    return value === undefined || value.length < 4 ? undefined : viewOf(value).getInt32(0, LITTLE_ENDIAN);
  }

  text(type: number): string | undefined {
    const value = this.#values.get(type);
    if (value === undefined) return undefined;
    const end = value.indexOf(0);
    return value.toString('utf8', 0, end === -1 ? value.length : end);
  }

  nested(type: number): Attributes | undefined {
    const value = this.#values.get(type);
    return value === undefined ? undefined : new Attributes(value);
  }
}
