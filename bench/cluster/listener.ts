/** Who hears what containers' first instructions send (`strike`), and when. */

import type { Namespace } from '../../test/rig/netns.ts';
import type { Background } from '../../test/rig/process.ts';

const LISTEN = `
let left = process.argv.length - 1;
for (const port of process.argv.slice(1).map(Number)) {
  const tell = (bytes) => console.log(port, bytes.readUInt32LE(), String(process.hrtime.bigint()));
  const udp = require('node:dgram').createSocket('udp4');
  udp.on('message', tell);
  udp.bind(port, () => {
    const tcp = require('node:net').createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', () => {});
    });
    tcp.listen(port, '0.0.0.0', () => { left -= 1; if (left === 0) console.log('ready'); });
  });
}
`;

export interface Heard {
  readonly port: number;
  readonly id: number;
  /** Of `process.hrtime.bigint()`, which all processes of a machine share. */
  readonly at: bigint;
}

/** Takes connections too, and listens to datagrams. */
export class Listener {
  readonly #process: Background;

  private constructor(process: Background) {
    this.#process = process;
  }

  static async start(namespace: Namespace, ports: readonly number[]): Promise<Listener> {
    const listening = namespace.start([process.execPath, '-e', LISTEN, ...ports.map(String)]);
    await listening.output(/ready/);
    return new Listener(listening);
  }

  /** In order. */
  get heard(): readonly Heard[] {
    const lines = this.#process.stdout.matchAll(/^(\d+) (\d+) (\d+)$/gm);
    return Array.from(lines, ([, port, id, at]) => ({ port: Number(port), id: Number(id), at: BigInt(at!) }));
  }

  close(): void {
    this.#process.close();
  }
}
