import type { Socket } from 'node:net';

/** Who is at the other end of a UNIX socket, as the kernel says (SO_PEERCRED). */
export interface Credentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

export interface CallerRules {
  /** Besides 0. */
  readonly uids: readonly number[];
  /** Effective group of the caller at the time it connected. */
  readonly gids: readonly number[];
  readonly credentialsOf: (fd: number) => Credentials;
}

export type Caller =
  | { readonly allowed: true; readonly credentials: Credentials }
  | { readonly allowed: false; readonly reason: string };

/** Decides once for each connection; a connection nothing is known of is refused. */
export class Callers {
  readonly #rules: CallerRules;
  readonly #known = new WeakMap<Socket, Caller>();

  constructor(rules: CallerRules) {
    this.#rules = rules;
  }

  /** Asks the kernel who connected. */
  admit(socket: Socket): Caller {
    const caller = this.#judge(socket);
    this.#known.set(socket, caller);
    return caller;
  }

  of(socket: Socket): Caller {
    return this.#known.get(socket) ?? { allowed: false, reason: 'the connection has no credentials' };
  }

  #judge(socket: Socket): Caller {
    const fd = descriptorOf(socket);
    if (fd === undefined) return { allowed: false, reason: 'the connection is closed' };
    let credentials: Credentials;
    try {
      credentials = this.#rules.credentialsOf(fd);
    } catch (error) {
      return { allowed: false, reason: `the caller is unknown: ${error instanceof Error ? error.message : error}` };
    }
    const { uid, gid } = credentials;
    const allowed = uid === 0 || this.#rules.uids.includes(uid) || this.#rules.gids.includes(gid);
    return allowed ? { allowed, credentials } : { allowed, reason: `uid ${uid}, gid ${gid} may not call the agent` };
  }
}

/** Node has no public name for a socket's descriptor. */
function descriptorOf(socket: Socket): number | undefined {
  const handle = (socket as Socket & { readonly _handle?: { readonly fd?: unknown } | null })._handle;
  const fd = handle?.fd;
  return typeof fd === 'number' && fd >= 0 ? fd : undefined;
}
