import assert from 'node:assert/strict';
import { type BehindNat, putBehindNat } from './nat.ts';
import { createNode, type Endpoint, type Node } from './node.ts';
import { createSegment, type Segment } from './segment.ts';
import * as traffic from './traffic.ts';

for (const layers of [1, 2]) {
  describe(`a node behind ${layers} layer${layers === 1 ? '' : 's'} of NAT`, () => {
    const nodes: Node[] = [];
    let world: Segment;
    let home: BehindNat;
    let inside: Endpoint;
    let outside: Endpoint;

    before(async () => {
      await traffic.buildTraffic();
      const [hidden, open] = [await createNode({ name: 'hidden' }), await createNode({ name: 'open' })];
      nodes.push(hidden, open);
      world = await createSegment('world');
      const uplink = await world.connect(open);
      home = await putBehindNat(hidden, world, { layers });
      await world.routeTo(home.visible, uplink);
      inside = await hidden.createEndpoint('inside');
      outside = await open.createEndpoint('outside');
    });

    after(() => {
      home?.close();
      world?.close();
      for (const node of nodes) node.close();
    });

    it('reaches the world, which sees the address of the outermost box', async () => {
      assert.equal(home.boxes.length, layers);
      const capture = await traffic.sniff(outside, 'eth0');
      await traffic.serve(outside, { tcp: '80', udp: '80' });
      for (const address of [outside.ipv4, outside.ipv6]) {
        for (const udp of [false, true]) {
          const attempt = await traffic.connect(inside, { address, port: 80, udp }, { exchange: true });
          assert.equal(attempt.result, 'ok', `${address} ${udp ? 'UDP' : 'TCP'}`);
        }
      }
      const sources = (await capture.frames())
        .filter((frame) => frame.readUInt16BE(12) === 0x0800)
        .map((frame) => frame.subarray(26, 30).join('.'));
      assert.deepEqual([...new Set(sources)], [home.visible.ipv4]);
    });

    it('is reached through ports that lead in, and through no other', async () => {
      await traffic.serve(inside, { tcp: '80,81', udp: '80,81' });
      await home.forward(8080, { ...inside, port: 80 });
      for (const address of [home.visible.ipv4, home.visible.ipv6]) {
        for (const udp of [false, true]) {
          const attempt = await traffic.connect(outside, { address, port: 8080, udp }, { exchange: true });
          assert.equal(attempt.result, 'ok', `${address} ${udp ? 'UDP' : 'TCP'}`);
        }
        const refused = await traffic.connect(outside, { address, port: 81 }, { exchange: true, timeoutMs: 300 });
        assert.notEqual(refused.result, 'ok');
      }
    });
  });
}
