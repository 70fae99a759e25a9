import { argumentError, fail } from './errors.ts';
import { native, type PollHandle } from './native.ts';
import { type NamespaceOptions, type NetlinkMessage, RouteSocket } from './netlink.ts';
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
}

export interface LinkWatcher {
  /** Idempotent. */
  close(): void;
}

/**
 * Reports changes of interfaces (addresses, routes) from now on: list after starting to watch, not before. Throws
 * `BpfError` NETLINK; later errors of the socket are uncaught exceptions.
 */
export function watchLinks(options: WatchOptions): LinkWatcher {
  const { onChange, kinds = ['link'], signal } = options;
  if (typeof onChange !== 'function') throw argumentError('watch links', 'onChange must be a function');
  const groups = groupsOf(kinds);
  const socket = new RouteSocket(options, groups);
  const buffer = Buffer.alloc(RECEIVE_BYTES);
  let poll: PollHandle | undefined;

  const close = (): void => {
    signal?.removeEventListener('abort', close);
    if (poll !== undefined) native.close(poll);
    socket.close();
  };

  const read = (): void => {
    const changes: NetworkChange[] = [];
    for (let i = 0; i < MAX_DATAGRAMS; i++) {
      const received = socket.receive(buffer);
      if (Array.isArray(received)) {
        // Decoded values hold nothing of the buffer.
        for (const message of received as NetlinkMessage[]) {
          const change = decodeChange(message);
          if (change !== undefined) changes.push(change);
        }
      } else if ('errno' in received) {
        if (received.errno === EINTR) continue;
        if (received.errno === EAGAIN) break;
        if (received.errno !== ENOBUFS) {
          close();
          fail('NETLINK', received.errno, 'watch links');
        }
        changes.push({ kind: 'resync' });
      }
    }
    if (changes.length > 0) onChange(changes);
  };

  try {
    poll = opened(
      native.createPoll(socket.handle(), (status) => {
        if (status < 0) {
          close();
          fail('NETLINK', status, 'watch links');
        }
        read();
      }),
      'NETLINK',
      'watch links',
    );
    expectOk(native.resumePoll(poll), 'NETLINK', 'watch links');
  } catch (error) {
    close();
    throw error;
  }
  if (signal?.aborted) close();
  else signal?.addEventListener('abort', close, { once: true });
  return { close };
}
