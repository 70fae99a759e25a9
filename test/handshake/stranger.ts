import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { decode } from '../../src/handshake/decode.ts';
import { encode } from '../../src/handshake/encode.ts';
import { FrameReader } from '../../src/handshake/frames.ts';
import type { Credentials } from '../../src/handshake/index.ts';
import type { Hello, Message } from '../../src/handshake/messages.ts';
import { DOMAIN } from './agents.ts';

import { opened } from './rig.ts';
/** As node1 says it. */
export const hello: Hello = {
  kind: 'hello',
  versionLeast: 1,
  versionMost: 1,
  domain: DOMAIN,
  node: 'node1',
  instance: 1n,
  time: Date.now(),
};

/** Somebody with a certificate, or without, who says what he likes. */
export class Stranger {
  readonly socket: TLSSocket;
  readonly messages: Message[] = [];
  closed = false;

  constructor(port: number, credentials: Credentials | undefined, more: ConnectionOptions = {}) {
    const reader = new FrameReader(1 << 20);
    const identity = credentials === undefined ? {} : { cert: credentials.certificate, key: credentials.key };
    this.socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...identity, ...more });
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.closed = true;
    });
    this.socket.on('data', (chunk: Buffer) => {
      for (const frame of reader.push(chunk)) this.messages.push(decode(frame));
    });
    opened.push({ close: () => void this.socket.destroy() });
  }

  say(...messages: Message[]): void {
    this.socket.write(Buffer.concat(messages.map(encode)));
  }

  get kinds(): string[] {
    return this.messages.map(({ kind }) => kind);
  }
}
