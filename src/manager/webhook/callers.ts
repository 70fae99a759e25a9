/** Who asks, by address: nobody's connections, bodies or questions keep those of others out. */
import type { Socket } from 'node:net';

/** Connections there may be. Beyond the bound one of the address that has most of them has to go. */
export class Doors {
  readonly #most: number;
  readonly #open = new Map<string, Set<Socket>>();
  #size = 0;

  constructor(most: number) {
    this.#most = most;
  }

  enter(socket: Socket): void {
    const address = addressOf(socket);
    const mine = this.#open.get(address) ?? new Set();
    this.#open.set(address, mine.add(socket));
    this.#size += 1;
    socket.once('close', () => this.#leave(address, socket));
    if (this.#size <= this.#most) return;
    const [busiest] = [...this.#open.entries()].sort(([, a], [, b]) => b.size - a.size);
    const [first] = busiest?.[1] ?? [];
    if (busiest === undefined || first === undefined) return;
    this.#leave(busiest[0], first);
    first.destroy();
  }

  #leave(address: string, socket: Socket): void {
    const mine = this.#open.get(address);
    if (mine?.delete(socket) !== true) return;
    this.#size -= 1;
    if (mine.size === 0) this.#open.delete(address);
  }
}

/** A body as far as it has come. */
export interface Body {
  readonly address: string;
  readonly chunks: Buffer[];
  length: number;
}

/** Bodies that have come and are not answered yet. Beyond the bound the longest goes of the address that has most bytes. */
export class Bodies {
  readonly #most: number;
  readonly #held = new Set<Body>();
  #bytes = 0;

  /** @param most bytes of all together */
  constructor(most: number) {
    this.#most = most;
  }

  get bytes(): number {
    return this.#bytes;
  }

  begin(address: string): Body {
    const body: Body = { address, chunks: [], length: 0 };
    this.#held.add(body);
    return body;
  }

  /** @returns whether there was room, and is for what came before */
  add(body: Body, chunk: Buffer): boolean {
    if (!this.#held.has(body)) return false;
    body.chunks.push(chunk);
    body.length += chunk.length;
    this.#bytes += chunk.length;
    if (this.#bytes > this.#most) this.end(this.#heaviest() ?? body);
    return this.#held.has(body);
  }

  /** All of it; undefined where it had to go. */
  whole(body: Body): Buffer | undefined {
    return this.#held.has(body) ? Buffer.concat(body.chunks) : undefined;
  }

  /** Lets go of it. Idempotent. */
  end(body: Body): void {
    if (!this.#held.delete(body)) return;
    this.#bytes -= body.length;
    body.chunks.length = 0;
  }

  #heaviest(): Body | undefined {
    const sums = new Map<string, number>();
    for (const { address, length } of this.#held) sums.set(address, (sums.get(address) ?? 0) + length);
    const [most] = [...sums].sort(([, a], [, b]) => b - a);
    const [longest] = [...this.#held]
      .filter(({ address }) => address === most?.[0])
      .sort((a, b) => b.length - a.length);
    return longest;
  }
}

/** What was spent counts for half after so long, milliseconds. */
const HALF_LIFE_MS = 10_000;
/** Less is forgotten, milliseconds. */
const NEGLIGIBLE_MS = 1;
/** Addresses whose spending is known; beyond the bound those who spent least are taken for new ones. */
const ADDRESSES_MOST = 1_024;

/** There is one thread: who has spent least of it lately goes first, and everything else has its turn between two. */
export class Turns {
  readonly #now: () => number;
  readonly #waiting: { readonly address: string; readonly begin: () => void }[] = [];
  #spent = new Map<string, number>();
  #spentAt = 0;
  #busy = false;

  /** @param now milliseconds of a clock that never jumps */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Does the work when it is its turn. */
  async take<T>(address: string, work: () => T): Promise<T> {
    if (this.#busy) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.push({ address, begin: resolve });
      await promise;
    }
    this.#busy = true;
    const began = this.#now();
    try {
      return work();
    } finally {
      this.#spend(address, this.#now() - began);
      setImmediate(() => this.#next());
    }
  }

  #next(): void {
    let best = 0;
    const spentBy = (i: number): number => this.#spent.get(this.#waiting[i]?.address ?? '') ?? 0;
    for (let i = 1; i < this.#waiting.length; i++) if (spentBy(i) < spentBy(best)) best = i;
    const [next] = this.#waiting.splice(best, 1);
    if (next === undefined) this.#busy = false;
    else next.begin();
  }

  #spend(address: string, milliseconds: number): void {
    const now = this.#now();
    const left = 0.5 ** ((now - this.#spentAt) / HALF_LIFE_MS);
    this.#spentAt = now;
    const spent = [...this.#spent].map(([one, before]): [string, number] => [one, before * left]);
    this.#spent = new Map(spent.filter(([, before]) => before >= NEGLIGIBLE_MS));
    this.#spent.set(address, (this.#spent.get(address) ?? 0) + milliseconds);
    if (this.#spent.size <= ADDRESSES_MOST) return;
    const [least] = [...this.#spent].sort(([, a], [, b]) => a - b);
    if (least !== undefined) this.#spent.delete(least[0]);
  }
}

export function addressOf({ remoteAddress }: Pick<Socket, 'remoteAddress'>): string {
  return remoteAddress ?? '';
}
