import {
  type DropReason,
  type HeldFlow,
  type Hold,
  type HoldEdges,
  type HoldOptions,
  openHold,
} from '../../src/hold/index.ts';
import { parsePacket } from '../../src/hold/packet.ts';
import { claimPayload } from '../../src/hold/rewrite.ts';
import { ipv4, ipv6, type Transport } from '../rig/packets.ts';
import { udp } from '../rig/transports.ts';
import { MemoryQueue } from './queue.ts';

export const MARK = 0x1000;
export const TOKEN = Buffer.from('000102030405060708090a0b0c0d0e0f', 'hex');
export const AGAIN = Buffer.alloc(16, 7);
export const ROOM = { packets: 1000, bytes: 1_000_000 };

export interface Told {
  readonly flow: HeldFlow;
  readonly reason: DropReason;
  readonly packets: number;
  readonly bytes: number;
}

/** A hold over a queue in memory. */
export class Rig {
  readonly queue = new MemoryQueue();
  readonly flows: HeldFlow[] = [];
  readonly told: Told[] = [];
  readonly errors: Error[] = [];
  readonly owners = new Map([
    ['10.1.0.2', 'web'],
    ['10.1.0.3', 'api'],
    ['fd00::2', 'web'],
  ]);
  readonly hold: Hold;

  constructor(options: Partial<HoldOptions> = {}, edges: Partial<HoldEdges> = {}) {
    const whole: HoldOptions = {
      queue: 5114,
      mark: MARK,
      limits: { node: ROOM, perEndpoint: ROOM, perPeer: ROOM },
      deadline: 5000,
      now: () => 1_700_000_000_000,
      endpointOf: (address) => this.owners.get(address),
      onFlow: (flow) => this.flows.push(flow),
      onDropped: (flow, reason, packets, bytes) => this.told.push({ flow, reason, packets, bytes }),
      ...options,
    };
    const onError = (error: Error) => void this.errors.push(error);
    this.hold = openHold(whole, {
      queue: (o) => this.queue.open(o),
      sender: this.queue,
      conntrack: () => this.queue,
      onError,
      ...edges,
    });
  }

  dropped(reason: DropReason): number {
    return Number(this.hold.statistics().dropped.get(reason));
  }

  passed(): string[] {
    return this.queue.passed.map(({ how, bytes }) => `${how} ${said(bytes)}`);
  }
}

export function from(source: string, transport: Transport, destination = '10.2.0.3'): Buffer {
  return (source.includes(':') ? ipv6({ source, destination }, transport) : ipv4({ source, destination }, transport))
    .bytes;
}

export const datagram = (text: string, sourcePort = 4000, source = '10.1.0.2', destination?: string): Buffer =>
  from(source, udp({ sourcePort, destinationPort: 53 }, Buffer.from(text)), destination);

function said(bytes: Buffer): string {
  const packet = parsePacket(bytes);
  if ('malformed' in packet) return packet.malformed;
  const body = bytes.subarray(packet.payload);
  if (body.equals(claimPayload(TOKEN))) return 'token';
  return body.equals(claimPayload(AGAIN)) ? 'token again' : body.toString();
}

/** Answers leave together, after what is running now. */
export const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
export const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
