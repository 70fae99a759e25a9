import assert from 'node:assert/strict';
import { createNode, type Endpoint, type Node } from './node.ts';
import { ipv4, ipv6 } from './packets.ts';
import * as traffic from './traffic.ts';
import { udp } from './transports.ts';

describe('the traffic tool', () => {
  let node: Node;
  let client: Endpoint;
  let server: Endpoint;

  before(async () => {
    await traffic.buildTraffic();
    node = await createNode();
    client = await node.createEndpoint('client');
    server = await node.createEndpoint('server');
    await traffic.serve(server, { tcp: '7000-7003', tcpOnce: '7100', tcpSink: '7200', udp: '7300' });
  });

  after(() => node.close());

  for (const family of ['ipv4', 'ipv6'] as const) {
    it(`measures connections and exchanges over ${family}`, async () => {
      const address = server[family];
      for (const result of [
        await traffic.crr(client, { address, port: 7100 }, { count: 50 }),
        await traffic.rr(client, { address, port: 7003 }, { count: 50 }),
        await traffic.rr(client, { address, port: 7300, udp: true }, { count: 50, size: 512 }),
      ]) {
        assert.equal(result.operations, 50);
        assert.equal(result.errors, 0);
        assert.ok(result.minNs > 0 && result.minNs <= result.p50Ns && result.p99Ns <= result.maxNs);
      }
      const { bytes } = await traffic.stream(client, { address, port: 7200 }, { parallel: 2, durationMs: 100 });
      assert.ok(bytes > 0);
    });

    it(`tells ok, refused and timeout apart over ${family}`, async () => {
      const address = server[family];
      assert.equal((await traffic.connect(client, { address, port: 7000 }, { exchange: true })).result, 'ok');
      assert.equal((await traffic.connect(client, { address, port: 7300, udp: true })).result, 'ok');
      assert.equal((await traffic.connect(client, { address, port: 7 })).error, 'ECONNREFUSED');
      assert.equal((await traffic.connect(client, { address, port: 7, udp: true })).result, 'refused');
      await node.host.run([family === 'ipv4' ? 'iptables-legacy' : 'ip6tables-legacy', '-I', 'FORWARD', '-j', 'DROP']);
      try {
        assert.equal((await traffic.connect(client, { address, port: 7000 }, { timeoutMs: 50 })).result, 'timeout');
      } finally {
        await node.host.run([family === 'ipv4' ? 'iptables-legacy' : 'ip6tables-legacy', '-D', 'FORWARD', '1']);
      }
    });
  }

  it('begins conversations, each from the next port, and knows which began', async () => {
    for (const family of ['ipv4', 'ipv6'] as const) {
      const target = { address: server[family], port: 7300, sourcePort: 30_000 };
      const result = await traffic.firsts(client, target, { count: 50, rate: 1_000, timeoutMs: 1_000, parallel: 8 });
      assert.equal(result.sent, 50);
      assert.equal(result.firstNs.length, 50);
      assert.equal(result.secondNs.length, 50);
    }
    const refuse = ['FORWARD', '-p', 'udp', '--sport', '30010:30019', '-j', 'DROP'];
    await node.host.run(['iptables-legacy', '-w', '-A', ...refuse]);
    try {
      const target = { address: server.ipv4, port: 7300, sourcePort: 30_000 };
      const { sent, firstNs } = await traffic.firsts(client, target, { count: 50, rate: 1_000, timeoutMs: 200 });
      assert.deepEqual({ sent, answered: firstNs.length }, { sent: 50, answered: 40 });
    } finally {
      await node.host.run(['iptables-legacy', '-w', '-D', ...refuse]);
    }
  });

  it('sends SYNs alone', async () => {
    const [syns, rest] = [['--syn'], ['!', '--syn']].map((flags) => [
      'FORWARD',
      '-p',
      'tcp',
      '--dport',
      '7500',
      ...flags,
    ]);
    const count = async (rule: readonly string[]) => {
      await node.host.run(['iptables-legacy', '-w', '-A', ...rule]);
      return async () => {
        const text = await node.host.run(['iptables-legacy', '-w', '-nvxL', 'FORWARD']);
        await node.host.run(['iptables-legacy', '-w', '-D', ...rule]);
        return text;
      };
    };
    const [listSyns, listRest] = [await count(syns!), await count(rest!)];
    await server.run(['iptables-legacy', '-w', '-A', 'INPUT', '-p', 'tcp', '--dport', '7500', '-j', 'DROP']);
    const { sent } = await traffic.syns(client, { address: server.ipv4, port: 7500, sourcePort: 31_000 }, 200);
    const packets = (await listSyns())
      .split('\n')
      .filter((line) => line.includes('dpt:7500'))
      .map((line) => Number.parseInt(line, 10));
    await listRest();
    assert.equal(sent, 200);
    assert.deepEqual(packets, [200, 0]);
  });

  it('counts what is lost of numbered datagrams', async () => {
    const rule = [
      'FORWARD',
      '-p',
      'udp',
      '--dport',
      '7400',
      '-m',
      'statistic',
      '--mode',
      'nth',
      '--every',
      '10',
      '--packet',
      '0',
    ];
    await node.host.run(['iptables-legacy', '-A', ...rule, '-j', 'DROP']);
    try {
      const receiver = await traffic.udpReceive(server, { port: 7400, durationMs: 500 });
      const sent = await traffic.udpSend(client, { address: server.ipv4, port: 7400 }, { count: 1000, rate: 10_000 });
      const received = await receiver.result();
      assert.equal(sent.sent, 1000);
      assert.equal(received.received, 900);
      assert.ok(received.lost >= 99 && received.lost <= 100); // the last one may be among them
      assert.equal(received.duplicates, 0);
    } finally {
      await node.host.run(['iptables-legacy', '-F', 'FORWARD']);
    }
  });

  it('notices when a conversation is cut', async () => {
    const held = await traffic.holdOpen(
      client,
      { address: server.ipv4, port: 7000 },
      { interval: 5, durationMs: 10_000, timeoutMs: 100 },
    );
    await node.host.run(['iptables-legacy', '-I', 'FORWARD', '-j', 'DROP']);
    const result = await held.result();
    await node.host.run(['iptables-legacy', '-F', 'FORWARD']);
    assert.equal(result.result, 'timeout');
    assert.ok(result.cutAtNs !== null);
  });

  it('keeps an uncut conversation to its end', async () => {
    const held = await traffic.holdOpen(client, { address: server.ipv6, port: 7000 }, { interval: 5, count: 5 });
    const result = await held.result();
    assert.equal(result.exchanges, 5);
    assert.equal(result.cutAtNs, null);
  });

  it('says when datagrams ceased and began to pass', async () => {
    const target = { address: server.ipv4, port: 7300, udp: true };
    const probe = traffic.probe(client, target, { rate: 500, timeoutMs: 20 });
    assert.equal((await probe.change(0)).passes, true);
    const before = Number(process.hrtime.bigint());
    await node.host.run(['iptables-legacy', '-I', 'FORWARD', '-j', 'DROP']);
    const ceased = await probe.change(1);
    await node.host.run(['iptables-legacy', '-F', 'FORWARD']);
    const began = await probe.change(2);
    probe.close();
    assert.equal(ceased.passes, false);
    assert.equal(began.passes, true);
    assert.ok(ceased.atNs > before - 3 * 2_000_000); // some may have been on their way
    assert.ok(began.atNs > ceased.atNs && began.atNs < Number(process.hrtime.bigint()));
  });

  it('sends raw packets and sees them arrive', async () => {
    const ear = await traffic.sniff(server, 'eth0');
    const payload = Buffer.from('sallyport raw packet');
    const sent = await traffic.sendRaw(client, [
      ipv4({ source: client.ipv4, destination: server.ipv4 }, udp({ destinationPort: 7400 }, payload)).bytes,
      ipv6({ source: client.ipv6, destination: server.ipv6 }, udp({ destinationPort: 7400 }, payload)).bytes,
    ]);
    assert.deepEqual(sent, { sent: 2, refused: 0 });
    await traffic.connect(client, { address: server.ipv4, port: 7300, udp: true }); // what went before has arrived
    const frames = (await ear.frames()).filter((frame) => frame.includes(payload));
    assert.deepEqual(frames.map((frame) => frame.readUInt16BE(12)).sort(), [0x0800, 0x86dd]);
  });
});
