/** What tests see of a region while it works: agents' own word, asked directly, and what reaches a container. */

import { request } from 'node:http';
import type {
  HandshakeRecordView,
  HandshakeView,
  PeerAgentView,
  PeerView,
} from '../../../src/agent/api/between-contract.ts';
import { waitFor } from '../../rig/cleanup.ts';
import type { Place } from '../../rig/netns.ts';
import { Protocol } from '../../rig/packets.ts';
import type { Background } from '../../rig/process.ts';
import { TRAFFIC } from '../../rig/traffic.ts';
import { addressBytes } from '../../rig/wire.ts';
import type { Station } from '../agent/station.ts';

/** One question to an agent's API, without the third of a second that a command takes to start. */
export function ask<T>(station: Station, path: string, body?: object): Promise<T> {
  const method = body === undefined ? 'GET' : 'POST';
  const headers = body === undefined ? {} : { 'content-type': 'application/json' };
  return new Promise((resolve, reject) => {
    const question = request({ socketPath: station.socket, path, method, headers, timeout: 5_000 }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('end', () => resolve(JSON.parse(Buffer.concat(chunks).toString()) as T));
    });
    question.on('timeout', () => question.destroy(new Error(`the agent does not answer ${path}`)));
    question.on('error', reject);
    question.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** Nobody knows anybody any more, nor whom he was refused by. */
export async function forgetAll(...stations: readonly Station[]): Promise<void> {
  await waitFor('nobody is known', async () => {
    // Again each time: what is still being sent may be asked for anew.
    await Promise.all(stations.map((station) => ask(station, '/v1/peers/revoke', { all: true })));
    const known = await Promise.all(stations.map(peers));
    return known.flat().length === 0;
  });
}

export const underWay = (station: Station) => ask<readonly HandshakeView[]>(station, '/v1/handshakes');
export const peers = (station: Station) => ask<readonly PeerView[]>(station, '/v1/peers');
export const agents = (station: Station) => ask<readonly PeerAgentView[]>(station, '/v1/peers/agents');
export const records = async (station: Station, query = '') =>
  (
    await ask<{ readonly records: readonly HandshakeRecordView[] }>(
      station,
      `/v1/handshakes/records?limit=1000${query}`,
    )
  ).records;

/** Waits until a handshake stands at a step, as one end sees it. */
export function standsAt(station: Station, end: 'source' | 'destination', state: string, port: number): Promise<void> {
  return waitFor(`a handshake is ${state} at its ${end}`, async () =>
    (await underWay(station)).some((one) => one.end === end && one.state === state && one.destination.port === port),
  );
}

/** One packet that has reached a container. */
export interface Heard {
  readonly protocol: number;
  readonly source: string;
  readonly destinationPort: number;
  /** Of TCP; 0 else. */
  readonly flags: number;
  /** Behind the transport header; of ICMP behind the echo's. */
  readonly payload: Buffer;
  readonly frame: Buffer;
}

/** What every token begins with: `CLAIM_MAGIC` of bpf/api/peer.h. */
export const MAGIC = '5a11f0a7c1a1d0e5';

/** Hears everything that comes in at a container's interface, before any socket. */
export class Ear {
  readonly #process: Background;

  private constructor(process: Background) {
    this.#process = process;
  }

  static async at(where: Place, ifname = 'eth0'): Promise<Ear> {
    const process = where.start([TRAFFIC, 'sniff', '--interface', ifname, '--duration', '600000']);
    await process.output(/ready/);
    return new Ear(process);
  }

  /** IP packets since the beginning, or from one address only; of very many the first are forgotten. */
  heard(from?: string): Heard[] {
    const source = from === undefined ? undefined : addressBytes(from).toString('hex');
    return this.#process.stdout
      .split('\n')
      .slice(0, -1) // the last one may be in the middle of being written
      .flatMap((line) => (/^[0-9a-f]+$/.test(line) ? readFrame(Buffer.from(line, 'hex')) : []))
      .filter((one) => source === undefined || one.source === source);
  }

  /** Whether these bytes have come, in any packet. */
  hears(text: string): boolean {
    return this.#process.stdout.includes(Buffer.from(text).toString('hex'));
  }

  /** Tokens that have come, in hexadecimal, once each: which no container may ever get. */
  tokens(): string[] {
    const found = this.#process.stdout.matchAll(new RegExp(`${MAGIC}([0-9a-f]{32})`, 'g'));
    return [...new Set(Array.from(found, ([, token]) => token!))];
  }

  close(): void {
    this.#process.close();
  }
}

function readFrame(frame: Buffer): Heard[] {
  const v6 = frame.readUInt16BE(12) === 0x86dd;
  if (!v6 && frame.readUInt16BE(12) !== 0x0800) return [];
  const ip = frame.subarray(14);
  const head = v6 ? 40 : (ip[0]! & 15) * 4;
  const body = ip.subarray(head, v6 ? 40 + ip.readUInt16BE(4) : ip.readUInt16BE(2));
  const protocol = v6 ? ip[6]! : ip[9]!;
  const source = (v6 ? ip.subarray(8, 24) : ip.subarray(12, 16)).toString('hex');
  const isTcp = protocol === Protocol.TCP;
  const hasPorts = isTcp || protocol === Protocol.UDP;
  const flags = isTcp ? body[13]! : 0;
  const payload = body.subarray(isTcp ? (body[12]! >> 4) * 4 : 8);
  return [{ protocol, source, destinationPort: hasPorts ? body.readUInt16BE(2) : 0, flags, payload, frame }];
}

/** Packets that wait in the kernel for the agent of a node to read them. */
export async function queued(station: Station): Promise<number> {
  const { stdout } = await station.host.attempt(['cat', '/proc/net/netfilter/nfnetlink_queue']);
  return stdout
    .split('\n')
    .filter(Boolean)
    .reduce((sum, line) => sum + Number(line.trim().split(/\s+/)[2]), 0);
}
