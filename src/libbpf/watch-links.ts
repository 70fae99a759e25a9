import { argumentError, fail } from './errors.ts';
import { native, type PollHandle } from './native.ts';
import { type NamespaceOptions, RouteSocket } from './netlink.ts';
import { decodeChange, groupsOf, type NetworkChange, type WatchedKind } from './network.ts';
import { expectOk, opened } from './resource.ts';

const EINTR = -4;
const EAGAIN = -11;
const ENOBUFS = -105;
const RECEIVE_BYTES = 64 * 1024;
/** Datagrams read before the event loop may turn. */
const MAX_DATAGRAMS = 64;

export interface WatchOptions extends NamespaceOptions {
  /** Changes since the last call, in order. After `resync`, what is known of the namespace must be read anew. */
  readonly onChange: (changes: readonly NetworkChange[]) => void;
  /** Default link. */
  readonly kinds?: readonly WatchedKind[];
  /** Ends the watching. */
  readonly signal?: AbortSignal;
  /** Whether it keeps the process alive. Default true. */
  readonly keepAlive?: boolean;
}

/**
 * Reports changes of interfaces (addresses, routes) from now on: list after starting to watch, not before. Throws
 * `BpfError` NETLINK; later errors of the socket are uncaught exceptions.
 */
export function watchLinks(options: WatchOptions): LinkWatcher {
  return new LinkWatcher(options);
}

export class LinkWatcher {
  readonly #socket: RouteSocket;
  readonly #poll: PollHandle;
  readonly #buffer = Buffer.alloc(RECEIVE_BYTES);
  readonly #onChange: WatchOptions['onChange'];
  readonly #signal: AbortSignal | undefined;
  readonly #abort = (): void => this.close();

  constructor(options: WatchOptions) {
    const { onChange, kinds = ['link'], signal, keepAlive = true } = options;
    if (typeof onChange !== 'function') throw argumentError('watch links', 'onChange must be a function');
    this.#onChange = onChange;
    this.#signal = signal;
    this.#socket = new RouteSocket(options, groupsOf(kinds));
    const poll = native.createPoll(this.#socket.handle(), (status) => this.#wake(status));
    if (typeof poll === 'number') this.#socket.close();
    this.#poll = opened(poll, 'NETLINK', 'watch links');
    if (!keepAlive) native.refPoll(this.#poll, false);
    this.#resume();
    if (signal?.aborted) this.close();
    else signal?.addEventListener('abort', this.#abort, { once: true });
  }

  /** Idempotent. */
  close(): void {
    this.#signal?.removeEventListener('abort', this.#abort);
    native.close(this.#poll);
    this.#socket.close();
  }

  #resume(): void {
    expectOk(native.resumePoll(this.#poll), 'NETLINK', 'watch links');
  }

  #wake(status: number): void {
    try {
      const changes = this.#read();
      if (changes.length > 0) this.#onChange(changes);
    } finally {
      // libuv reports a pending error of the socket, such as a loss, with a status of its own and stops polling.
      if (status < 0 && !this.#socket.closed) this.#resume();
    }
  }

  #read(): NetworkChange[] {
    const changes: NetworkChange[] = [];
    for (let i = 0; i < MAX_DATAGRAMS; i++) {
      const received = this.#socket.receive(this.#buffer);
      if (Array.isArray(received)) {
        // Decoded values hold nothing of the buffer.
        for (const message of received) {
          const change = decodeChange(message);
          if (change !== undefined) changes.push(change);
        }
        continue;
      }
      if (received.errno === EAGAIN) break;
      if (received.errno === EINTR) continue;
      if (received.errno !== ENOBUFS) {
        this.close();
        fail('NETLINK', received.errno, 'watch links');
      }
      changes.push({ kind: 'resync' });
    }
    return changes;
  }
}
