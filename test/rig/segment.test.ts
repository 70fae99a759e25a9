import assert from 'node:assert/strict';
import { createNode, type Node } from './node.ts';
import { createSegment, forwardPort, masquerade, type Segment, type Uplink } from './segment.ts';
import * as traffic from './traffic.ts';

describe('two nodes on a segment', () => {
  let nodes: [Node, Node];
  let segment: Segment;
  let uplinks: [Uplink, Uplink];

  beforeEach(async () => {
    await traffic.buildTraffic();
    nodes = [await createNode({ name: 'left' }), await createNode({ name: 'right', attach: 'bridged' })];
    segment = await createSegment();
    uplinks = [await segment.connect(nodes[0]), await segment.connect(nodes[1])];
  });

  afterEach(() => {
    segment.close();
    for (const node of nodes) node.close();
  });

  it('have endpoints that reach each other by routes', async () => {
    await segment.routeAll();
    const client = await nodes[0].createEndpoint('client');
    const server = await nodes[1].createEndpoint('server');
    await traffic.serve(server, { tcp: '80' });
    for (const address of [server.ipv4, server.ipv6]) {
      assert.equal((await traffic.connect(client, { address, port: 80 }, { exchange: true })).result, 'ok');
    }
  });

  it('have endpoints that reach each other through NAT on both sides', async () => {
    const client = await nodes[0].createEndpoint('client');
    const server = await nodes[1].createEndpoint('server');
    await traffic.serve(server, { tcp: '80', udp: '80' });
    await masquerade(uplinks[0]);
    await forwardPort(uplinks[1], 8080, { ...server, port: 80 });
    for (const address of [uplinks[1].ipv4, uplinks[1].ipv6]) {
      for (const udp of [false, true]) {
        const attempt = await traffic.connect(client, { address, port: 8080, udp }, { exchange: true });
        assert.equal(attempt.result, 'ok', `${address} ${udp ? 'UDP' : 'TCP'}`);
      }
    }
  });
});
