/** A program that attacks with its first instructions (`strike/strike.c`), and the one it attacks. */

import { waitFor } from './cleanup.ts';
import type { Namespace } from './netns.ts';
import { type Background, run } from './process.ts';
import { compiled } from './program.ts';

const FREESTANDING = ['-ffreestanding', '-fno-stack-protector', '-nostdlib', '-static'];
const PROGRAM = compiled('strike', 'strike', ['-O2', '-Wall', '-Wextra', '-Werror', ...FREESTANDING]);

/** Path of the program; in our image it is `/bin/strike`. */
export const STRIKE = PROGRAM.path;

export const buildStrike = PROGRAM.build;

/** The command that sends `id` to a victim, as a container's. */
export function strikeCommand({ address, port }: { address: string; port: number }, id: number): string[] {
  const hex = (value: number): string => value.toString(16);
  const [a = 0, b = 0, c = 0, d = 0] = address.split('.').map(Number);
  return ['/bin/strike', hex(((a << 24) | (b << 16) | (c << 8) | d) >>> 0), hex(port), hex(id)];
}

/** The IPv4 address of an interface. */
export async function addressOf(namespace: Namespace, device: string): Promise<string> {
  const shown = await run(namespace.enter(['ip', '-4', '-o', 'address', 'show', 'dev', device]));
  const address = / inet ([0-9.]+)\//.exec(shown)?.[1];
  if (address === undefined) throw new Error(`rig: ${device} has no IPv4 address`);
  return address;
}

/** Prints `udp ID` and `tcp ID` for whatever reaches it. */
const LISTEN = `
const port = Number(process.argv[1]);
const udp = require('node:dgram').createSocket('udp4');
udp.on('message', (message) => console.log('udp', message.readUInt32LE()));
udp.bind(port, () => {
  const tcp = require('node:net').createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (message) => console.log('tcp', message.readUInt32LE()));
  });
  tcp.listen(port, '0.0.0.0', () => console.log('ready'));
});
`;

/** Somebody in a namespace who must not be reached. */
export class Victim {
  readonly port: number;
  readonly #process: Background;

  private constructor(process: Background, port: number) {
    this.#process = process;
    this.port = port;
  }

  static async start(namespace: Namespace, port: number): Promise<Victim> {
    const listening = namespace.start([process.execPath, '-e', LISTEN, String(port)]);
    await waitFor('the victim listens', () => listening.stdout.includes('ready'));
    return new Victim(listening, port);
  }

  /** What reached it, in order: `udp 7`. */
  get reached(): readonly string[] {
    return this.#process.stdout.split('\n').filter((line) => /^(udp|tcp) /.test(line));
  }

  close(): void {
    this.#process.close();
  }
}
