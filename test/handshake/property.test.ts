import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { SavedHandshake } from '../../src/handshake/persistence.ts';
import { type Network, type Node, twoNodes, udp } from './domain.ts';

/** What may happen between two packets. Numbers pick one of what there is. */
type Event =
  | { readonly kind: 'hold'; readonly from: 'one' | 'two'; readonly port: number }
  | { readonly kind: 'deliver' | 'packet' | 'lose' | 'lose-packet' | 'repeat' | 'repeat-packet'; readonly pick: number }
  | { readonly kind: 'advance'; readonly ms: number }
  | { readonly kind: 'cut' | 'heal' }
  | { readonly kind: 'policy'; readonly at: 'one' | 'two'; readonly allowed: boolean }
  | { readonly kind: 'restart'; readonly at: 'one' | 'two'; readonly store: boolean }
  | { readonly kind: 'replace'; readonly at: 'one' | 'two' }
  | { readonly kind: 'expire'; readonly at: 'one' | 'two'; readonly pick: number };

const at = fc.constantFrom('one' as const, 'two' as const);
const pick = fc.nat(1_000);

const orderly: fc.Arbitrary<Event>[] = [
  fc.record({ kind: fc.constant('hold' as const), from: at, port: fc.integer({ min: 1, max: 5 }) }),
  fc.record({ kind: fc.constant('deliver' as const), pick: fc.constant(0) }),
  fc.record({ kind: fc.constantFrom('packet' as const, 'lose-packet' as const, 'repeat-packet' as const), pick }),
  fc.record({ kind: fc.constant('advance' as const), ms: fc.constantFrom(1, 49, 200, 1_000, 2_999, 6_000, 61_000) }),
  fc.record({ kind: fc.constantFrom('cut' as const, 'heal' as const) }),
  fc.record({ kind: fc.constant('policy' as const), at, allowed: fc.boolean() }),
  fc.record({ kind: fc.constant('restart' as const), at, store: fc.boolean() }),
  fc.record({ kind: fc.constant('replace' as const), at }),
  fc.record({ kind: fc.constant('expire' as const), at, pick }),
];

/** What no TCP connection does, and an agent that wants to do harm may. */
const disorderly: fc.Arbitrary<Event>[] = [
  ...orderly,
  fc.record({ kind: fc.constantFrom('deliver' as const, 'lose' as const, 'repeat' as const), pick }),
];

interface Setting {
  readonly nat: boolean;
  readonly shared: boolean;
  readonly direct: boolean;
}

/** Two nodes that are watched: nothing is verified or let go at one end without the policy of both. */
class Watched {
  readonly network: Network;
  readonly nodes: Readonly<Record<'one' | 'two', Node>>;
  readonly allowed = { one: true, two: true };
  /** What each end has written of the other, ever: a destination that has agreed. */
  readonly agreed = { one: new Set<bigint>(), two: new Set<bigint>() };
  /** By what tells saved handshakes from each other. */
  readonly stored = { one: new Map<string, SavedHandshake>(), two: new Map<string, SavedHandshake>() };
  #next = 100n;

  constructor({ nat, shared, direct }: Setting) {
    const { network, one, two } = twoNodes(direct ? { one: { direct: ['node2'] }, two: { direct: ['node1'] } } : {});
    this.network = network;
    this.nodes = { one, two };
    if (shared) {
      one.endpoints.splice(0);
      one.run('web', 0x11n, '10.1.0.2', true);
    }
    if (nat) {
      network.nat = (seen) => ({ ...seen, source: { address: '198.51.100.7', port: 10_000 + seen.source.port } });
    }
    for (const [end, node] of Object.entries(this.nodes) as ['one' | 'two', Node][]) {
      const other = end === 'one' ? 'two' : 'one';
      node.policy = () => ({ allowed: this.allowed[end], rule: '' });
      node.onVerify = (peers) => {
        for (const peer of peers) {
          if (peer.kind !== 'verified') continue;
          // Opened from here: the other must have agreed before, to whom this is.
          if (peer.local !== undefined && !this.agreed[end].has(peer.identity)) {
            assert.ok(this.agreed[other].has(peer.local), `${end} verified ${peer.identity} before ${other} agreed`);
          }
          this.agreed[end].add(peer.identity);
        }
      };
      node.onRelease = ({ conversation }) => {
        assert.ok(this.allowed[end], `${end} let go against its own policy`);
        const mine = node.endpoints.find(({ address }) => address === conversation.source.address);
        const entry = [...node.entries.values()].find(
          (one) =>
            one.remote === conversation.destination.address &&
            one.kind !== 'refused' &&
            one.local === mine?.identity &&
            (one.conversation === undefined || one.conversation.localPort === conversation.source.port),
        );
        assert.ok(entry !== undefined, `${end} let go what is not verified`);
        if (entry.kind === 'verified')
          assert.ok(this.agreed[other].has(mine!.identity), 'the destination never agreed');
      };
    }
  }

  apply(event: Event): void {
    const { network, nodes } = this;
    const { letters, packets } = network;
    switch (event.kind) {
      case 'hold': {
        const node = nodes[event.from];
        const [mine, theirs] = event.from === 'one' ? ['10.1.0.2', '10.2.0.3'] : ['10.2.0.3', '10.1.0.2'];
        node.hold(udp(mine, event.port, theirs, 53));
        break;
      }
      case 'deliver':
        if (letters.length > 0) network.deliver(event.pick % letters.length);
        break;
      case 'lose':
        if (letters.length > 0) letters.splice(event.pick % letters.length, 1);
        break;
      case 'repeat':
        if (letters.length > 0) letters.push(letters[event.pick % letters.length]!);
        break;
      case 'packet':
        if (packets.length > 0) network.arrive(packets.splice(event.pick % packets.length, 1)[0]!);
        break;
      case 'lose-packet':
        if (packets.length > 0) packets.splice(event.pick % packets.length, 1);
        break;
      case 'repeat-packet':
        if (packets.length > 0) packets.push(packets[event.pick % packets.length]!);
        break;
      case 'advance':
        network.clock.advance(event.ms);
        break;
      case 'cut':
        network.disconnect('node1', 'node2');
        break;
      case 'heal':
        network.connect('node1', 'node2');
        break;
      case 'policy':
        this.allowed[event.at] = event.allowed;
        nodes[event.at].engine.policyChanged();
        break;
      case 'restart': {
        const node = nodes[event.at];
        const stored = event.store ? node.engine.export() : [];
        // A connection does not outlive the agent; neither does what waits in its hold.
        network.disconnect('node1', 'node2');
        node.held.clear();
        node.restart();
        this.stored[event.at].clear();
        node.engine.restore(stored);
        node.engine.endpointsChanged();
        node.engine.policyChanged();
        break;
      }
      case 'replace': {
        // The address goes to somebody else.
        const node = nodes[event.at];
        const [former] = node.endpoints.splice(0);
        for (const [key, entry] of node.entries) if (entry.endpoint === former!.endpoint) node.entries.delete(key);
        node.run(`${former!.endpoint}+`, this.#next++, former!.address, former!.shared);
        node.engine.endpointsChanged();
        nodes[event.at === 'one' ? 'two' : 'one'].engine.announced(node.name);
        break;
      }
      case 'expire': {
        const node = nodes[event.at];
        const held = [...node.held.keys()];
        const flow = held[event.pick % Math.max(1, held.length)];
        if (flow === undefined) break;
        node.held.delete(flow);
        node.engine.dropped(flow);
        break;
      }
    }
  }

  /** What a store holds that is told of changes only. */
  follow(): void {
    for (const end of ['one', 'two'] as const) {
      const { engine } = this.nodes[end];
      const stored = this.stored[end];
      const { saved, gone } = engine.takeChanges();
      for (const { end: side, agent, handshake } of gone) stored.delete(`${side} ${agent} ${handshake}`);
      for (const one of saved) stored.set(`${one.end} ${one.agent} ${one.handshake}`, one);
      const wanted = new Map(engine.export().map((one) => [`${one.end} ${one.agent} ${one.handshake}`, one]));
      assert.deepEqual(stored, wanted);
    }
  }

  /** The network is whole again and all deadlines pass. */
  rest(ms: number): void {
    this.network.connect('node1', 'node2');
    for (let passed = 0; passed < ms; passed += 1_000) {
      this.network.settle();
      this.network.clock.advance(1_000);
    }
    this.network.settle();
  }

  assertNothingUnderWay(): void {
    for (const node of Object.values(this.nodes)) {
      assert.deepEqual(node.engine.underWay(), []);
      assert.equal(node.held.size, 0, `${node.name} holds for ever`);
      assert.equal(node.claims.size, 0, `${node.name} has claims`);
    }
  }
}

const setting: fc.Arbitrary<Setting> = fc.record({ nat: fc.boolean(), shared: fc.boolean(), direct: fc.boolean() });

describe('whatever happens on the way', () => {
  it('nothing is verified or let go before both agree, and nothing is left', () => {
    fc.assert(
      fc.property(setting, fc.array(fc.oneof(...disorderly), { maxLength: 80 }), (how, events) => {
        const world = new Watched(how);
        for (const [n, event] of events.entries()) {
          world.apply(event);
          if (n % 3 === 0) world.follow();
        }
        world.rest(15_000);
        world.assertNothingUnderWay();
        world.follow();
        world.rest(400_000);
        for (const node of Object.values(world.nodes)) {
          assert.ok(node.engine.empty, `${node.name} keeps state`);
          assert.deepEqual(node.entryTexts(), []);
        }
      }),
      { numRuns: 400 },
    );
  });

  it('where connections break but messages do not get lost on them, both ends believe the same in the end', () => {
    fc.assert(
      fc.property(setting, fc.array(fc.oneof(...orderly), { maxLength: 80 }), (how, events) => {
        const world = new Watched(how);
        for (const event of events) world.apply(event);
        world.rest(15_000);
        const { one, two } = world.nodes;
        // A restart without a store forgets whom to tell; what is left then ends with its lifetime.
        if (events.some((event) => event.kind === 'restart')) return;
        for (const [source, destination] of [
          [one, two],
          [two, one],
        ] as const) {
          const known = new Set(
            destination.engine.verified({ agent: source.name }).map(({ end, id }) => `${end} ${id}`),
          );
          for (const { end, id } of source.engine.verified()) {
            if (end === 'source')
              assert.ok(known.has(`destination ${id}`), `${destination.name} knows nothing of ${id}`);
          }
        }
        for (const node of [one, two]) {
          // What the table knows is in the kernel, and the other way round.
          assert.equal(node.entryTexts().length > 0, node.engine.verified().length > 0, node.entryTexts().join());
        }
        const running = new Set([...one.endpoints, ...two.endpoints].map(({ identity }) => identity));
        for (const node of [one, two]) {
          for (const { kind, identity } of node.entries.values()) {
            assert.ok(kind !== 'verified' || running.has(identity), `${node.name} trusts who is gone`);
          }
        }
      }),
      { numRuns: 400 },
    );
  });

  it('a connection that breaks once at any step delivers the datagram all the same', () => {
    fc.assert(
      fc.property(setting, fc.nat(8), fc.integer({ min: 1, max: 500 }), (how, step, ms) => {
        const world = new Watched(how);
        const { network, nodes } = world;
        nodes.one.hold(udp('10.1.0.2', 4_000, '10.2.0.3', 53));
        for (let i = 0; i < 12; i++) {
          if (i === step) {
            network.disconnect('node1', 'node2');
            network.clock.advance(ms);
            network.connect('node1', 'node2');
          }
          if (network.letters.length > 0) network.deliver();
          else if (network.packets.length > 0) network.arrive(network.packets.shift()!);
        }
        network.settle();
        network.clock.advance(500);
        network.settle();
        assert.equal(nodes.one.released.length, 1);
        assert.ok(nodes.two.entryTexts().length > 0);
      }),
    );
  });
});
