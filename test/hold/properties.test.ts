import assert from 'node:assert/strict';
import fc from 'fast-check';
import { type DropReason, type HeldFlow, type Hold, type HoldOptions, openHold } from '../../src/hold/index.ts';
import { parsePacket } from '../../src/hold/packet.ts';
import { ipv4 } from '../rig/packets.ts';
import { udp } from '../rig/transports.ts';
import { MemoryQueue } from './queue.ts';

const LIMITS: HoldOptions['limits'] = {
  node: { packets: 12, bytes: 900 },
  perEndpoint: { packets: 8, bytes: 500 },
  perPeer: { packets: 5, bytes: 300 },
};

interface Arrival {
  readonly source: number;
  readonly remote: number;
  readonly port: number;
  readonly size: number;
}

type Step =
  | { readonly do: 'arrive'; readonly packets: readonly Arrival[] }
  | { readonly do: 'token' | 'release' | 'refuse' | 'unreachable'; readonly which: number }
  | { readonly do: 'pass'; readonly ms: number };

const arrival = fc.record({
  source: fc.nat(2),
  remote: fc.nat(1),
  port: fc.nat(2),
  size: fc.integer({ min: 4, max: 120 }),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('arrive' as const),
      packets: fc.array(arrival, { minLength: 1, maxLength: 5 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('token' as const, 'release' as const, 'refuse' as const, 'unreachable' as const),
      which: fc.nat(9),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 2500 }) }) },
);

interface Seen {
  readonly flow: string;
  readonly number: number;
}

/** The flow and the number of a packet of this test; undefined for tokens. */
function read(bytes: Buffer): Seen | undefined {
  const packet = parsePacket(bytes);
  assert.ok(!('malformed' in packet));
  const body = bytes.subarray(packet.payload);
  if (body.readUInt32BE(0) === 0x5a11f0a7) return undefined;
  return { flow: bytes.toString('hex', 12, 24), number: body.readUInt32BE(0) };
}

/** What waits of somebody, by an obvious count over every packet that has come and not gone. */
class Model {
  readonly waiting = new Map<number, { readonly endpoint: string; readonly peer: string; readonly size: number }>();

  check(): void {
    const sums = new Map<string, { packets: number; bytes: number }>();
    for (const { endpoint, peer, size } of this.waiting.values()) {
      for (const who of ['node', `endpoint ${endpoint}`, `peer ${endpoint} ${peer}`]) {
        const sum = sums.get(who) ?? { packets: 0, bytes: 0 };
        sums.set(who, { packets: sum.packets + 1, bytes: sum.bytes + size });
      }
    }
    for (const [who, { packets, bytes }] of sums) {
      const limit = who === 'node' ? LIMITS.node : who.startsWith('endpoint') ? LIMITS.perEndpoint : LIMITS.perPeer;
      assert.ok(packets <= limit.packets && bytes <= limit.bytes, `${who}: ${packets} packets, ${bytes} bytes`);
    }
  }
}

class World {
  readonly queue = new MemoryQueue();
  readonly live: HeldFlow[] = [];
  readonly gone = new Set<number>();
  readonly hold: Hold;
  now = 0;
  reported = 0;
  #sent = 0;
  /** Flow of every packet by number, and those let through. */
  readonly sizes = new Map<number, { readonly endpoint: string; readonly peer: string; readonly size: number }>();

  constructor() {
    const onDropped = (flow: HeldFlow, reason: DropReason, packets: number): void => {
      assert.ok(packets > 0);
      if (!reason.endsWith('full')) assert.ok(!this.gone.has(flow.id), 'a flow ends once');
      this.gone.add(flow.id);
      this.reported += packets;
    };
    this.hold = openHold(
      {
        ...{ queue: 1, mark: 0x1000, limits: LIMITS, deadline: 2000, now: () => 0, onDropped },
        endpointOf: (address) => `endpoint${address}`,
        onFlow: (flow) => this.live.push(flow),
      },
      {
        queue: (o) => this.queue.open(o),
        sender: this.queue,
        conntrack: () => assert.fail('the queue tells'),
        onError: (e) => assert.fail(e),
        monotonic: () => this.now,
      },
    );
  }

  async run(one: Step): Promise<void> {
    if (one.do === 'arrive') this.queue.arrive(one.packets.map((packet) => this.#packet(packet)));
    else if (one.do === 'pass') this.now += one.ms;
    else this.#decide(one.do, one.which);
    await Promise.resolve();
  }

  #decide(what: 'token' | 'release' | 'refuse' | 'unreachable', which: number): void {
    const flow = this.live[which % Math.max(1, this.live.length)];
    if (flow === undefined) return;
    if (what === 'token') this.hold.sendToken(flow.id, Buffer.alloc(16));
    else if (what === 'release') {
      if (this.hold.release(flow.id)) this.gone.add(flow.id);
    } else this.hold.drop(flow.id, what === 'refuse' ? 'refused' : 'unreachable');
  }

  #packet({ source, remote, port, size }: Arrival): Buffer {
    this.#sent += 1;
    const body = Buffer.alloc(size);
    body.writeUInt32BE(this.#sent);
    const addresses = { source: `10.1.0.${2 + source}`, destination: `10.2.0.${2 + remote}` };
    const { bytes } = ipv4(addresses, udp({ sourcePort: 4000 + port, destinationPort: 53 }, body));
    this.sizes.set(this.#sent, { endpoint: addresses.source, peer: addresses.destination, size: bytes.length });
    return bytes;
  }

  get sent(): number {
    return this.#sent;
  }
}

describe('the hold, whatever happens', () => {
  it('keeps its bounds, loses nothing uncounted, and keeps the order of each flow', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const world = new World();
        for (const one of steps) {
          await world.run(one);
          const { packets, bytes, received, released, dropped } = world.hold.statistics();
          assert.ok(packets <= LIMITS.node.packets && bytes <= LIMITS.node.bytes);
          const lost = [...dropped.values()].reduce((sum, count) => sum + count, 0n);
          assert.equal(received, released + lost + BigInt(packets), 'every packet is somewhere');
          assert.equal(world.queue.waiting <= packets, true, 'the kernel keeps nothing that is not held');
        }
        world.hold.close();
        const out = world.queue.passed.flatMap(({ bytes }) => read(bytes) ?? []);
        assert.equal(new Set(out.map(({ number }) => number)).size, out.length, 'nothing goes on twice');
        const last = new Map<string, number>();
        for (const { flow, number } of out) {
          assert.ok(number > (last.get(flow) ?? 0), 'in order');
          last.set(flow, number);
        }
        assert.equal(BigInt(out.length), world.hold.statistics().released);
        assert.equal(world.queue.waiting, 0);
      }),
      { numRuns: 300 },
    );
  });

  it('never holds more of one endpoint or one pair than its bounds', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(arrival, { minLength: 5, maxLength: 60 }), async (packets) => {
        const world = new World();
        await world.run({ do: 'arrive', packets });
        // Everything that was not refused goes on now: that is what was held.
        for (const { id } of [...world.live]) world.hold.release(id);
        await Promise.resolve();
        const model = new Model();
        for (const { number } of world.queue.passed.flatMap(({ bytes }) => read(bytes) ?? [])) {
          model.waiting.set(number, world.sizes.get(number)!);
        }
        model.check();
        // And no bound refuses what would have fitted: what was refused breaks one, with all that was held before it.
        const before = new Model();
        for (let number = 1; number <= world.sent; number += 1) {
          before.waiting.set(number, world.sizes.get(number)!);
          if (model.waiting.has(number)) continue;
          assert.throws(() => before.check(), 'refused without need');
          before.waiting.delete(number);
        }
        world.hold.close();
      }),
      { numRuns: 300 },
    );
  });
});
