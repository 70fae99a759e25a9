/**
 * Bad wires: between a node and its segment frames get lost, doubled, overtaken and late, and the wire can be cut, while
 * everything runs. A relay of our own (`traffic/link.c`), not netem: that is missing from some kernels, and takes a
 * seed only since 6.6, while here the same frames meet the same faults on every one.
 */

import { z } from 'zod';
import { closeOnExit, waitFor } from './cleanup.ts';
import { uniqueInterface } from './names.ts';
import { attemptSync, type Background } from './process.ts';
import type { Segment, Uplink } from './segment.ts';
import { buildTraffic, TRAFFIC } from './traffic.ts';

/** What frames meet. ARP, neighbour and multicast-listener discovery meet nothing but a cut. */
export interface Faults {
  /** Shares of the frames, 0–1. */
  readonly loss?: number;
  readonly duplicate?: number;
  /** Overtaken by the next frame; where none comes within 20 ms, just late. */
  readonly reorder?: number;
  readonly delayMs?: number;
  /** Up to so much more, for each frame by chance. Frames overtake each other then. */
  readonly jitterMs?: number;
  /** Only these suffer. `port`: at either end. `payload`: not what only acknowledges. */
  readonly only?: { readonly protocol: number; readonly port?: number; readonly payload?: boolean };
}

/** `out`: from the node. */
export type Direction = 'out' | 'in';

const Counts = z.object({ passed: z.number(), lost: z.number(), doubled: z.number(), reordered: z.number() });
/** Frames; one that the network card would have cut into segments is one. */
export type Counts = z.infer<typeof Counts>;

/**
 * Puts a bad wire between a node and its segment. Until faults are set it is a good one. `close()` makes it whole again.
 */
export async function createLink(
  segment: Segment,
  uplink: Uplink,
  options: { readonly seed?: number; readonly faults?: Faults } = {},
): Promise<Link> {
  await buildTraffic();
  const { namespace } = segment;
  const [inner, outer] = [uniqueInterface(), uniqueInterface()];
  await namespace.ip([`link add ${inner} type veth peer name ${outer}`]);
  // Nobody but the relay may speak there.
  await namespace.sysctl(
    Object.fromEntries([inner, uplink.port].map((name) => [`net.ipv6.conf.${name}.disable_ipv6`, 1])),
  );
  const seed = ['--seed', String(options.seed ?? 1)];
  const relay = namespace.start([TRAFFIC, 'link', '--interface', uplink.port, '--peer', inner, ...seed]);
  const link = new Link(uplink, relay, () => {
    attemptSync(['ip', '-n', namespace.name!, 'link', 'set', uplink.port, 'master', 'switch']);
    attemptSync(['ip', '-n', namespace.name!, 'link', 'del', inner]);
  });
  try {
    await relay.output(/ready/);
    await namespace.ip([
      `link set ${outer} master switch`,
      `link set ${outer} up`,
      `link set ${inner} up`,
      `link set ${uplink.port} nomaster`,
    ]);
    await link.set(options.faults ?? {});
  } catch (error) {
    link.close();
    throw error;
  }
  return link;
}

const NONE: Faults = {};

export class Link {
  readonly uplink: Uplink;
  /** Idempotent. */
  readonly close: () => void;
  readonly #relay: Background;
  readonly #faults: Record<Direction, Faults> = { out: NONE, in: NONE };
  readonly #cut: Record<Direction, boolean> = { out: false, in: false };
  #answers = 1; // "ready"
  #last: Promise<unknown> = Promise.resolve();

  constructor(uplink: Uplink, relay: Background, restore: () => void) {
    this.uplink = uplink;
    this.#relay = relay;
    this.close = closeOnExit(() => {
      relay.close();
      restore();
    });
  }

  /** Sets faults in place of those that were, both ways unless told. They hold for what comes from now on. */
  async set(faults: Faults, direction?: Direction): Promise<void> {
    for (const share of [faults.loss, faults.duplicate, faults.reorder]) {
      if (share !== undefined && !(share >= 0 && share <= 1)) {
        throw new RangeError(`rig: a share of frames is between 0 and 1, not ${share}`);
      }
    }
    for (const one of ways(direction)) {
      this.#faults[one] = faults;
      await this.#apply(one);
    }
  }

  /** Nothing passes, both ways unless told. */
  async cut(direction?: Direction): Promise<void> {
    for (const one of ways(direction)) {
      this.#cut[one] = true;
      await this.#apply(one);
    }
  }

  /** Ends a cut. Faults stay as they are. */
  async heal(direction?: Direction): Promise<void> {
    for (const one of ways(direction)) {
      this.#cut[one] = false;
      await this.#apply(one);
    }
  }

  /** Since the beginning. */
  async counts(): Promise<Record<Direction, Counts>> {
    const [out, back] = z.tuple([Counts, Counts]).parse(JSON.parse(await this.#ask('counts')));
    return { out, in: back };
  }

  async #apply(direction: Direction): Promise<void> {
    const { loss = 0, duplicate = 0, reorder = 0, delayMs = 0, jitterMs = 0, only } = this.#faults[direction];
    const shares = [loss, duplicate, reorder].map((share) => Math.round(share * 1e6));
    const times = [delayMs, jitterMs].map((ms) => Math.round(ms * 1000));
    const those = [only?.protocol ?? 0, only?.port ?? 0, only?.payload ? 1 : 0];
    const numbers = [...shares, ...times, ...those, this.#cut[direction] ? 1 : 0];
    const answer = await this.#ask(`set ${direction === 'out' ? 0 : 1} ${numbers.join(' ')}`);
    if (answer !== 'ok') throw new Error(`rig: the link answered "${answer}" to "${numbers.join(' ')}"`);
  }

  /** One question at a time; answers are lines. */
  #ask(question: string): Promise<string> {
    const answer = this.#last.then(async () => {
      const line = this.#answers;
      this.#answers += 1;
      this.#relay.write(`${question}\n`);
      const lines = (): string[] => this.#relay.stdout.split('\n');
      await waitFor(`an answer of the link to "${question}"`, () => lines().length > line + 1 || !this.#relay.running);
      if (!this.#relay.running) throw new Error(`rig: the link has ended: ${this.#relay.stderr}`);
      return lines()[line]!;
    });
    this.#last = answer.catch(() => {});
    return answer;
  }
}

function ways(direction: Direction | undefined): readonly Direction[] {
  return direction === undefined ? ['out', 'in'] : [direction];
}
