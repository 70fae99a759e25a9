/** A way to the API server that can be cut: an agent that goes it is alone, and nothing else of the cluster is. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { AddressInfo, Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';

export class Relay {
  readonly #host: string;
  readonly #to: number;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #port = 0;

  private constructor(host: string, to: number) {
    this.#host = host;
    this.#to = to;
  }

  /** Beside the server of a kubeconfig, at the same address; writes one that leads through it. */
  static async beside(kubeconfig: string, through: string): Promise<Relay> {
    const text = readFileSync(kubeconfig, 'utf8');
    const url = /https:\/\/([0-9.]+):(\d+)/.exec(text);
    if (url === null) throw new Error(`there is no server by address in ${kubeconfig}`);
    const relay = new Relay(url[1]!, Number(url[2]));
    await relay.open();
    writeFileSync(through, text.replaceAll(url[0], `https://${relay.#host}:${relay.#port}`), { mode: 0o600 });
    return relay;
  }

  async open(): Promise<void> {
    const server = createServer((near) => {
      const far = connect(this.#to, this.#host);
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(one);
        one.on('error', () => {}); // both ends hear of it by the other's end
        one.on('close', () => {
          this.#sockets.delete(one);
          other.destroy();
        });
        one.pipe(other);
      }
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, this.#host, resolve);
    });
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  /** Nobody gets through, and whoever was hears of it. Idempotent. */
  async cut(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    for (const socket of this.#sockets) socket.destroy();
    if (server !== undefined) await new Promise((resolve) => server.close(resolve));
  }
}
