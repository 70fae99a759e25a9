import { connect, type TLSSocket } from 'node:tls';
import type { Identification } from './certificate.ts';
import { HandshakeError } from './errors.ts';

export interface DiallerOptions {
  readonly agent: string;
  readonly host: string;
  readonly port: number;
  /** Milliseconds until TLS is up. */
  readonly timeout: number;
  readonly backoff: { readonly least: number; readonly most: number };
  /** From 0 to below 1. */
  readonly random: () => number;
  readonly identification: () => Identification;
  /** An attempt begins. */
  readonly onDial: () => void;
  /** TLS is up; the certificate has still to be looked at. */
  readonly onSocket: (socket: TLSSocket) => void;
  readonly onFailure: (error: Error) => void;
}

/** A connection that has lived so long was a good one: the next wait is a first one again. Milliseconds. */
const GOOD = 5_000;

/** Keeps one connection to one agent, as well as it goes. */
export class Dialler {
  readonly #options: DiallerOptions;
  #timer: NodeJS.Timeout | undefined;
  #socket: TLSSocket | undefined;
  #failures = 0;
  #closed = false;

  constructor(options: DiallerOptions) {
    this.#options = options;
    this.#dial();
  }

  /** Whether the socket is the one this has dialled. */
  owns(socket: TLSSocket): boolean {
    return this.#socket === socket;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#socket?.destroy();
  }

  #dial(): void {
    const { host, port, timeout, identification, onDial, onSocket, onFailure } = this.#options;
    onDial();
    const begun = performance.now();
    const socket = connect({
      ...identification().options,
      host,
      port,
      minVersion: 'TLSv1.3',
      maxVersion: 'TLSv1.3',
      rejectUnauthorized: true,
      // The name is in the URI, which the mesh looks at; nothing else in the certificate counts.
      checkServerIdentity: () => undefined,
    });
    this.#socket = socket;
    const patience = setTimeout(() => socket.destroy(new Error(`no TLS after ${timeout} ms`)), timeout);
    socket.once('secureConnect', () => {
      clearTimeout(patience);
      if (!this.#closed) onSocket(socket);
    });
    socket.on('error', (error) => {
      if (!this.#closed) onFailure(error);
    });
    socket.once('close', () => {
      clearTimeout(patience);
      if (this.#closed) return;
      this.#failures = performance.now() - begun > GOOD ? 0 : this.#failures + 1;
      this.#timer = setTimeout(() => this.#dial(), this.#wait());
    });
  }

  /** Half of it fixed and half by chance, so that many do not come at once and none comes in a loop. */
  #wait(): number {
    const { backoff, random } = this.#options;
    const bound = Math.min(backoff.most, backoff.least * 2 ** Math.min(this.#failures, 20));
    return bound / 2 + (random() * bound) / 2;
  }
}

/** Reads `host:port`, `[::1]:port`. @throws HandshakeError SETTINGS */
export function hostAndPort(text: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host !== undefined && port <= 65_535) return { host, port };
  throw new HandshakeError('SETTINGS', `Cannot use "${text}" as an address`, { hint: 'wanted host:port' });
}
