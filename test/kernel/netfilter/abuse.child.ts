/** Scenes for abuse.test.ts, each in a process or a worker of its own: `node abuse.child.ts SCENE [ADDRESS]`. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { readdirSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { PacketQueue, type PacketQueueOptions, PacketSender, type QueuedPacket } from '../../../src/netfilter/index.ts';
import { PORT, QUEUE } from './road.ts';

function open(options: Partial<PacketQueueOptions> = {}): PacketQueue {
  return PacketQueue.open({
    number: QUEUE,
    maxPackets: 1024,
    onPackets: () => {},
    onError: (error) => {
      throw error;
    },
    ...options,
  });
}

async function send(count: number): Promise<void> {
  const socket = createSocket('udp4');
  for (let i = 0; i < count; i++) {
    await new Promise((resolve) => socket.send(`datagram ${i}`, PORT, process.argv[3], resolve));
  }
  socket.close();
}

async function collect(): Promise<void> {
  for (let i = 0; i < 4; i++) {
    globalThis.gc?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function descriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

const SCENES: Readonly<Record<string, () => void | Promise<void>>> = {
  async exit() {
    open();
    await send(10);
    console.log('exit done');
    process.exit(0);
  },

  async idle() {
    open({ keepAlive: false });
    await send(10);
    console.log('idle done');
  },

  close() {
    const queue = open();
    setTimeout(() => {
      console.log('close done');
      queue.close();
    }, 20);
  },

  async garbage() {
    await collect();
    const before = descriptors();
    for (let i = 0; i < 20; i++) PacketSender.open();
    assert.ok(descriptors() >= before + 40);
    await collect();
    assert.ok(descriptors() <= before + 2, `${descriptors()} descriptors after ${before}`);

    // Nobody knows it but the event loop: it holds packets, and must go on.
    let seen = 0;
    let last: QueuedPacket | undefined;
    open({
      keepAlive: false,
      onPackets: (packets) => {
        seen += packets.length;
        last = packets[0];
      },
    });
    await collect();
    await send(1);
    await collect();
    assert.equal(seen, 1);
    assert.ok(last!.packet.includes('datagram 0'));
    console.log('garbage done');
  },

  async collect() {
    const kept: QueuedPacket[] = [];
    for (let round = 0; round < 20; round++) {
      const queue = open({
        onPackets: (packets) => {
          globalThis.gc?.();
          kept.push(...packets);
          queue.verdicts(packets.map(({ id, packet }) => [id, { action: 'accept', packet: Buffer.from(packet) }]));
          globalThis.gc?.();
          if (kept.length % 7 === 0) queue.close();
        },
      });
      await send(20);
      await new Promise((resolve) => setImmediate(resolve));
      queue.close();
    }
    assert.ok(kept.length > 20, String(kept.length));
    for (const { packet } of kept) assert.match(packet.toString('latin1', 28), /^datagram \d+$/);
    console.log('collect done');
  },

  async throw() {
    open({
      onPackets: () => {
        throw new Error('thrown by the handler');
      },
    });
    await send(1);
  },

  worker() {
    open({ onPackets: () => parentPort?.postMessage('packets') });
    parentPort?.postMessage('open');
  },
};

await SCENES[process.argv[2] ?? '']!();
