import type { Socket } from 'node:net';

/** Connections that have not said Hello. */
const MOST = 64;

/** Who has come in and not yet said who he is: few, and not for long. Beyond the bound somebody of the busiest address has to go. */
export class Doorway {
  readonly #patience: number;
  readonly #waiting = new Map<string, { readonly socket: Socket; readonly timer: NodeJS.Timeout }>();
  #turnedAway = 0;

  /** @param patience milliseconds */
  constructor(patience: number) {
    this.#patience = patience;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** Closed because there were too many, or because they took too long. */
  get turnedAway(): number {
    return this.#turnedAway;
  }

  enter(socket: Socket): void {
    if (this.#waiting.size >= MOST) this.#makeRoom();
    const key = keyOf(socket);
    const timer = setTimeout(() => this.#turnAway(key), this.#patience);
    this.#waiting.set(key, { socket, timer });
    socket.once('close', () => this.leave(key));
    socket.on('error', () => {}); // Its TLS socket has it too.
  }

  /** It is through, or gone. */
  leave(key: string): void {
    clearTimeout(this.#waiting.get(key)?.timer);
    this.#waiting.delete(key);
  }

  close(): void {
    for (const { socket, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      socket.destroy();
    }
    this.#waiting.clear();
  }

  /** One stranger who opens many keeps himself out, not the others. */
  #makeRoom(): void {
    const counts = new Map<string, number>();
    for (const { socket } of this.#waiting.values()) {
      const address = socket.remoteAddress ?? '';
      counts.set(address, (counts.get(address) ?? 0) + 1);
    }
    const most = Math.max(...counts.values());
    for (const [key, { socket }] of this.#waiting) {
      if (counts.get(socket.remoteAddress ?? '') !== most) continue;
      this.#turnAway(key);
      return;
    }
  }

  #turnAway(key: string): void {
    const one = this.#waiting.get(key);
    this.leave(key);
    if (one === undefined) return;
    this.#turnedAway += 1;
    one.socket.destroy();
  }
}

/** The same for a socket and the TLS socket around it. */
export function keyOf({ remoteAddress, remotePort }: Pick<Socket, 'remoteAddress' | 'remotePort'>): string {
  return `${remoteAddress} ${remotePort}`;
}
