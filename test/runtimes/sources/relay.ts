/** A UNIX socket that leads to another: what stands between us and a daemon can fail without the daemon failing. */

import { rmSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import { createConnection, createServer } from 'node:net';

export class Relay {
  readonly path: string;
  readonly #target: string;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #silent = false;

  constructor(path: string, target: string) {
    this.path = path;
    this.#target = target;
  }

  /** Accepts connections from now on. */
  async open(): Promise<void> {
    rmSync(this.path, { force: true });
    this.#silent = false;
    const server = createServer((client) => this.#connect(client));
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.path, resolve));
  }

  /** Nothing passes any more, and nobody is told: as a daemon that hangs. */
  hang(): void {
    this.#silent = true;
    for (const socket of this.#sockets) socket.pause();
  }

  /** Cuts all connections and accepts none. Idempotent. */
  close(): void {
    this.#server?.close();
    for (const socket of this.#sockets) socket.destroy();
    rmSync(this.path, { force: true });
  }

  #connect(client: Socket): void {
    const target = createConnection(this.#target);
    for (const [from, to] of [
      [client, target],
      [target, client],
    ] as const) {
      this.#sockets.add(from);
      from.on('error', () => from.destroy());
      from.on('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
      from.pipe(to);
      if (this.#silent) from.pause();
    }
    if (this.#silent) {
      client.unpipe(target);
      target.unpipe(client);
    }
  }
}
