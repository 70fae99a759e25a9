/** Two endpoints and the node between them, which is this process's namespace; datagrams that say who they are. */
import { createSocket, type Socket } from 'node:dgram';
import { PacketQueue, type PacketQueueOptions, type QueuedPacket } from '../../../src/netfilter/index.ts';
import { waitFor } from '../../rig/cleanup.ts';
import { createNode, type Endpoint, type Node } from '../../rig/node.ts';
import { attemptSync, type Background, run } from '../../rig/process.ts';

export const MARK = 0x1000;
export const QUEUE = 5114;
export const PORT = 7777;

/** Prints each datagram it receives as one line: its length and its beginning. */
const LISTENER = `
const { createSocket } = require('node:dgram');
const socket = createSocket(process.argv[1] === '6' ? 'udp6' : 'udp4');
socket.on('message', (data) => process.stdout.write(data.length + ' ' + data.toString('latin1', 0, 40) + '\\n'));
socket.bind({ port: ${PORT}, address: process.argv[2] }, () => { socket.setRecvBufferSize(1 << 22); process.stdout.write('ready\\n'); });
`;

export class Road {
  readonly node: Node;
  readonly near: Endpoint;
  readonly far: Endpoint;
  readonly #owned: { close(): void }[] = [];

  private constructor(node: Node, near: Endpoint, far: Endpoint) {
    this.node = node;
    this.near = near;
    this.far = far;
  }

  static async build(): Promise<Road> {
    const node = await createNode({ namespace: 'current' });
    const road = new Road(node, await node.createEndpoint('near'), await node.createEndpoint('far'));
    return road;
  }

  /** What is opened for one test; `clear()` closes it. */
  keep<T extends { close(): void }>(one: T): T {
    this.#owned.push(one);
    return one;
  }

  clear(): void {
    for (const one of this.#owned.splice(0).reverse()) one.close();
  }

  /** Listens at the far end; lines are `LENGTH TEXT`. */
  async listen(family: 4 | 6 = 4): Promise<Lines> {
    const command = [process.execPath, '-e', LISTENER, String(family), family === 4 ? this.far.ipv4 : this.far.ipv6];
    const listener = this.keep(this.far.start(command));
    await listener.output(/^ready\n/);
    return new Lines(listener);
  }

  /** Sends from this namespace; `send` returns when the kernel has taken it. */
  async sender(
    family: 4 | 6 = 4,
    address = family === 4 ? this.far.ipv4 : this.far.ipv6,
  ): Promise<(payload: string | Buffer) => Promise<void>> {
    const socket = createSocket(family === 4 ? 'udp4' : 'udp6');
    this.keep({ close: () => socket.close() });
    await new Promise<void>((resolve) => socket.bind(0, resolve));
    socket.setSendBufferSize(1 << 22);
    return (payload) => sent(socket, payload, address);
  }

  /** What is sent from here to `address` goes to the far end instead. */
  async redirect(family: 4 | 6, address: string): Promise<void> {
    const tool = family === 4 ? 'iptables-legacy' : 'ip6tables-legacy';
    const to = family === 4 ? this.far.ipv4 : this.far.ipv6;
    const rule = ['OUTPUT', '-d', address, '-j', 'DNAT', '--to-destination', to];
    await run(['ip', `-${family}`, 'route', 'add', address, 'dev', this.far.outside.name]);
    await run([tool, '-t', 'nat', '-A', ...rule]);
    this.keep({
      close: () => {
        attemptSync([tool, '-t', 'nat', '-D', ...rule]);
        attemptSync(['ip', `-${family}`, 'route', 'del', address]);
      },
    });
  }

  queue(options: Partial<PacketQueueOptions> = {}): Arrivals {
    const arrivals = new Arrivals(options);
    this.keep(arrivals.queue);
    return arrivals;
  }

  close(): void {
    this.clear();
    this.node.close();
  }
}

function sent(socket: Socket, payload: string | Buffer, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.send(payload, PORT, address, (error) => (error ? reject(error) : resolve()));
  });
}

/** What a listener has printed. */
export class Lines {
  readonly #listener: Background;

  constructor(listener: Background) {
    this.#listener = listener;
  }

  get all(): string[] {
    return this.#listener.stdout.split('\n').slice(1, -1);
  }

  get texts(): string[] {
    return this.all.map((line) => line.slice(line.indexOf(' ') + 1));
  }

  async count(wanted: number, timeoutMs?: number): Promise<void> {
    await waitFor(`${wanted} datagrams`, () => this.all.length >= wanted, timeoutMs).catch((error: Error) => {
      throw new Error(`${error.message}; there were ${this.all.length}`);
    });
  }
}

/** A queue that keeps what comes, and gives no verdict by itself. */
export class Arrivals {
  readonly queue: PacketQueue;
  readonly packets: QueuedPacket[] = [];
  readonly batches: number[] = [];
  readonly errors: Error[] = [];

  constructor(options: Partial<PacketQueueOptions>) {
    this.queue = PacketQueue.open({
      number: QUEUE,
      maxPackets: 1024,
      onPackets: (packets) => {
        this.packets.push(...packets);
        this.batches.push(packets.length);
      },
      onError: (error) => this.errors.push(error),
      ...options,
    });
  }

  async count(wanted: number): Promise<void> {
    await waitFor(`${wanted} packets in the queue`, () => this.packets.length >= wanted);
  }
}

/** What a UDP packet carries. */
export function payloadOf(packet: Buffer): Buffer {
  return packet.subarray(packet[0]! >> 4 === 4 ? 28 : 48);
}

/** Rules as somebody else would make them: marks what goes to the port, in the way endpoints' packets are marked. */
export async function markDatagrams(): Promise<void> {
  for (const [tool, chain] of [
    ['iptables-legacy', 'OUTPUT'],
    ['ip6tables-legacy', 'OUTPUT'],
  ] as const) {
    await run([
      tool,
      '-t',
      'raw',
      '-A',
      chain,
      '-p',
      'udp',
      '--dport',
      String(PORT),
      '-j',
      'MARK',
      '--set-mark',
      '0x4040',
    ]);
    await run([
      tool,
      '-t',
      'raw',
      '-A',
      chain,
      '-p',
      'udp',
      '--dport',
      String(PORT),
      '-j',
      'MARK',
      '--or-mark',
      '0x1000',
    ]);
  }
}

export async function unmarkDatagrams(): Promise<void> {
  for (const tool of ['iptables-legacy', 'ip6tables-legacy']) await run([tool, '-t', 'raw', '-F', 'OUTPUT']);
}
