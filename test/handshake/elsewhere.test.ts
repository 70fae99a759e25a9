import assert from 'node:assert/strict';
import { DATABASE, twoNodes, udp, WEB } from './domain.ts';

/** Somebody on the way has read the token, and sends it from an address of his own before the real one comes. */
describe('a token that is read on its way', () => {
  const offered = () => {
    const world = twoNodes();
    const { network, one, conversation } = world;
    one.hold(conversation);
    network.deliver();
    network.deliver();
    const packet = network.packets.shift()!;
    const from = (address: string, port = 4000) => ({
      ...packet,
      conversation: { ...packet.conversation, source: { address, port } },
    });
    return { ...world, packet, from };
  };

  it('verifies nobody at another address, and is still good for whom it was given to', () => {
    const { network, one, two, packet, from } = offered();
    network.arrive(from('192.0.2.66'));
    network.settle();
    assert.deepEqual([two.entryTexts(), one.entryTexts(), one.released], [[], [], []]);
    assert.equal(two.engine.statistics().ignored.get('elsewhere'), 1);
    network.arrive(packet);
    network.settle();
    assert.deepEqual(two.entryTexts(), [`database 10.1.0.2 = ${WEB}`, `database(${DATABASE}) 10.1.0.2 = ${WEB}`]);
    assert.equal(one.released.length, 1);
  });

  it('is good so often and not for ever, and the record says from where it came', () => {
    const { network, clock, one, two, from } = offered();
    for (let i = 0; i < 16; i++) network.arrive(from('192.0.2.66', 5000 + i));
    assert.equal(two.claims.size, 1);
    network.arrive(from('192.0.2.66', 6000));
    assert.equal(two.claims.size, 0);
    network.settle();
    clock.advance(3_000);
    network.settle();
    assert.deepEqual(one.results(), ['source timeout token timeout']);
    assert.deepEqual(two.results(), ['destination timeout token elsewhere']);
    assert.deepEqual(two.records[0]!.conversation.source, { address: '192.0.2.66', port: 6000 });
    assert.equal(two.claims.size, 0);
  });

  for (const [what, address] of [
    ['an address its agent speaks for', '10.1.77.1'],
    ['where its agent’s connections come from', '198.51.100.7'],
  ] as const) {
    it(`may come from ${what}: NAT`, () => {
      const { network, one, two, from } = offered();
      network.arrive(from(address, 61_000));
      network.settle();
      assert.deepEqual(two.entryTexts(), [`database ${address}:61000>53 = ${WEB}`]);
      assert.equal(one.released.length, 1);
    });
  }
});

describe('an address that no agent speaks for', () => {
  it('is not given away whole, though the token came along the conversation that was named', () => {
    const { network, one, two } = twoNodes();
    // What a node forges, or a container is given beside what its node is known by.
    one.run('guest', 0x44n, '192.0.2.9');
    one.hold(udp('192.0.2.9', 4000, '10.2.0.3', 53));
    network.settle();
    assert.deepEqual(two.entryTexts(), [`database 192.0.2.9:4000>53 = ${0x44n}`]);
    assert.deepEqual(one.entryTexts(), [`guest(${0x44n}) 10.2.0.3:53>4000 = ${DATABASE}`]);
  });
});
