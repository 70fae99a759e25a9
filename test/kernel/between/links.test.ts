import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { waitFor } from '../../rig/cleanup.ts';
import { createLink, type Faults, type Link } from '../../rig/link.ts';
import type { Namespace, Place } from '../../rig/netns.ts';
import { Protocol } from '../../rig/packets.ts';
import { connect, probe } from '../../rig/traffic.ts';
import { HANDSHAKE_PORT, Region, seenAt, servicePolicy } from './region.ts';
import { forgetAll, records } from './watch.ts';

const FORWARDED = 18_080;
const PORT = 8080;
const POLICIES = ['one', 'two', 'three'].map((name) =>
  servicePolicy(
    name,
    name,
    `  ingress:
    - name: among-themselves
      action: Allow
      from: [{workload: Service/one}, {workload: Service/two}, {workload: Service/three}]`,
  ),
);

const BAD = { loss: 0.05, duplicate: 0.05, reorder: 0.05 };
const BAD_FOR_AGENTS: Faults = { ...BAD, only: { protocol: Protocol.TCP, port: HANDSHAKE_PORT } };
const BAD_FOR_DATAGRAMS: Faults = { ...BAD, only: { protocol: Protocol.UDP, port: PORT } };

const Echoed = z.object({ sent: z.number(), missing: z.array(z.number()) });

/** Sends the first datagram of many conversations, one every five milliseconds, and tells which were not answered. */
const FIRSTS = `import json, select, socket, sys, time
host, port, count, local = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
waiting, poller = {}, select.poll()
def hear(ms):
  for fd, _ in poller.poll(ms):
    if fd in waiting:
      waiting.pop(fd)[1].recv(99)
      poller.unregister(fd)
for i in range(count):
  s = socket.socket(family, socket.SOCK_DGRAM)
  s.bind(("", local + i)); s.connect((host, port)); s.send(str(i).encode())
  waiting[s.fileno()] = (i, s); poller.register(s, select.POLLIN)
  hear(5)
until = time.monotonic() + 5
while waiting and time.monotonic() < until: hear(50)
print(json.dumps({"sent": count, "missing": sorted(i for i, _ in waiting.values())}))`;

describe('three nodes, one of them behind NAT, and bad wires', function () {
  this.timeout(120_000);
  let region: Region;
  /** At `b`, so that everything to and from it meets what is wrong with it. */
  let link: Link;
  let nextPort = 20_000;

  before(async () => {
    region = await Region.create({
      nodes: { a: ['one', 'stranger'], b: ['two', 'foreigner'], c: ['three'] },
      behind: { a: { layers: 1, forwards: { [FORWARDED]: ['one', PORT] } } },
    });
    link = await createLink(region.segment, region.member('b').uplink, { seed: 3 });
    await region.start();
    await region.apply(POLICIES.join('---\n'));
  });
  after(() => {
    link?.close();
    region?.close();
  });
  afterEach(() => link.set({}));

  const stations = () => ['a', 'b', 'c'].map((name) => region.station(name));
  const handshakes = (node: string) =>
    region.station(node).metric('sallyport_handshakes_total{result="verified",step="confirm"}');

  async function firsts(from: Place, host: string, port: number, count: number): Promise<z.infer<typeof Echoed>> {
    // No port twice: it would be known.
    nextPort += count;
    const command = ['python3', '-c', FIRSTS, host, ...[port, count, nextPort - count].map(String)];
    return Echoed.parse(JSON.parse(await from.run(command)));
  }

  for (const family of ['ipv4', 'ipv6'] as const) {
    const two = () => region.endpoint('b/two')[family];

    it(`delivers every first datagram while what agents say is lost, doubled and overtaken (${family})`, async () => {
      await link.set(BAD_FOR_AGENTS);
      const before = await handshakes('a');
      // Through NAT each of them is a handshake.
      assert.deepEqual(await firsts(region.endpoint('a/one'), two(), PORT, 150), { sent: 150, missing: [] });
      assert.ok((await handshakes('a')) >= before + 150);
      for (let round = 0; round < 4; round++) {
        await forgetAll(...stations());
        const [back, on, off] = await Promise.all([
          firsts(region.endpoint('b/two'), seenAt(region.member('a'))[family], FORWARDED, 3),
          firsts(region.endpoint('b/two'), region.endpoint('c/three')[family], PORT, 3),
          firsts(region.endpoint('c/three'), two(), 80, 3),
        ]);
        assert.deepEqual([back.missing, on.missing, off.missing], [[], [], []]);
      }
      const { out, in: back } = await link.counts();
      for (const faults of [out, back]) assert.ok(faults.lost > 0 && faults.doubled > 0 && faults.reordered > 0);
    });

    it(`agrees about all of them while tokens are lost, doubled and overtaken (${family})`, async () => {
      await link.set(BAD_FOR_DATAGRAMS);
      const [agreed, lost] = [await handshakes('a'), (await link.counts()).out.lost + (await link.counts()).in.lost];
      const { missing } = await firsts(region.endpoint('a/one'), two(), PORT, 150);
      assert.equal(await handshakes('a'), agreed + 150);
      const after = await link.counts();
      // What is missing was lost on its own way, there or back.
      assert.ok(missing.length <= after.out.lost + after.in.lost - lost, `${missing.length} missing`);
    });
  }

  /** A middlebox that takes the tag out of what comes from an address, or of everything. */
  async function strips(where: Namespace, family: 'ipv4' | 'ipv6', source?: string): Promise<() => Promise<unknown>> {
    const tool = family === 'ipv4' ? 'iptables-legacy' : 'ip6tables-legacy';
    const rule = ['FORWARD', '-p', 'tcp', ...(source === undefined ? [] : ['-s', source]), '-j', 'TCPOPTSTRIP'];
    await where.run([tool, '-w', '-t', 'mangle', '-A', ...rule, '--strip-options', '254']);
    return () => where.run([tool, '-w', '-t', 'mangle', '-D', ...rule, '--strip-options', '254']);
  }

  for (const family of ['ipv4', 'ipv6'] as const) {
    for (const which of ['of both directions', 'of answers only']) {
      it(`shakes hands where the path takes out the tags ${which} (${family})`, async () => {
        await forgetAll(...stations());
        const [two, three] = [region.endpoint('b/two'), region.endpoint('c/three')];
        const source = which === 'of answers only' ? three[family] : undefined;
        const restore = await strips(region.member('c').node.namespace, family, source);
        try {
          const target = { address: three[family], port: PORT };
          const first = await connect(two, target, { timeoutMs: 6_000, exchange: true });
          assert.equal(first.result, 'ok');
          assert.ok(first.elapsedNs > 0.9e9, 'it was the second SYN that was held');
          const second = await connect(two, target, { timeoutMs: 6_000, exchange: true });
          assert.equal(second.result, 'ok');
          assert.ok(second.elapsedNs < 0.9e9, `${second.elapsedNs / 1e6} ms`);
          const foreigner = region.endpoint('b/foreigner');
          const refused = await connect(foreigner, target, { timeoutMs: 3_000, exchange: true });
          assert.notEqual(refused.result, 'ok');
        } finally {
          await restore();
        }
      });
    }

    it(`does so through NAT, and refuses whom it must (${family})`, async () => {
      const restore = await strips(region.member('a').nat!.boxes[0]!.node.namespace, family);
      try {
        const inward = { address: seenAt(region.member('a'))[family], port: FORWARDED };
        const outward = { address: region.endpoint('b/two')[family], port: PORT };
        const [out, back, stranger] = await Promise.all([
          connect(region.endpoint('a/one'), outward, { timeoutMs: 6_000, exchange: true }),
          connect(region.endpoint('c/three'), inward, { timeoutMs: 6_000, exchange: true }),
          connect(region.endpoint('a/stranger'), outward, { timeoutMs: 3_000, exchange: true }),
        ]);
        assert.deepEqual([out.result, back.result], ['ok', 'ok']);
        assert.notEqual(stranger.result, 'ok');
      } finally {
        await restore();
      }
    });
  }

  it('is patient with a short partition: what was held before it is delivered after it', async () => {
    await forgetAll(...stations());
    const [two, three] = [region.endpoint('b/two'), region.endpoint('c/three')];
    await link.cut();
    try {
      const held = firsts(two, three.ipv4, PORT, 5);
      await sleep(900);
      await link.heal();
      assert.deepEqual((await held).missing, []);
    } finally {
      await link.heal();
    }
  });

  it('ends what it cannot ask about in a long one, says so, and goes on after it with what was verified', async () => {
    await forgetAll(...stations());
    const [two, three] = [region.endpoint('b/two'), region.endpoint('c/three')];
    const flow = probe(two, { address: three.ipv4, port: PORT, udp: true }, { rate: 50, timeoutMs: 500 });
    try {
      assert.equal((await flow.change(0)).passes, true);
      await link.cut();
      assert.equal((await flow.change(1)).passes, false);
      const outcome = await connect(two, { address: three.ipv6, port: PORT, udp: true }, { timeoutMs: 4_500 });
      assert.notEqual(outcome.result, 'ok');
      const [last] = await records(region.station('b'));
      assert.equal(last?.result, 'timeout');
      assert.equal(last?.destination.address, three.ipv6);
      await link.heal();
      assert.equal((await flow.change(2)).passes, true);
      // The agents' own connections wait for as long again as they have waited already, until they are tried anew.
      await waitFor(
        'first datagrams are delivered again',
        async () =>
          (await connect(two, { address: three.ipv6, port: PORT, udp: true }, { timeoutMs: 1_000 })).result === 'ok',
        15_000,
      );
    } finally {
      flow.close();
      await link.heal();
    }
  });
});
