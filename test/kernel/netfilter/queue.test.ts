import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { installQueueRule, NetfilterError, PacketQueue, type QueuedPacket } from '../../../src/netfilter/index.ts';
import { waitFor } from '../../rig/cleanup.ts';
import { ipv4, ipv6 } from '../../rig/packets.ts';
import { udp } from '../../rig/transports.ts';
import { addressBytes } from '../../rig/wire.ts';
import { describeInside } from './inside.ts';
import { Arrivals, MARK, markDatagrams, PORT, payloadOf, QUEUE, Road, unmarkDatagrams } from './road.ts';

const texts = (packets: readonly QueuedPacket[]): string[] =>
  packets.map(({ packet }) => payloadOf(packet).toString('latin1'));
const numbered = (count: number): string[] => Array.from({ length: count }, (_, i) => `datagram ${i}`);
const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 50));

describeInside('A packet queue', import.meta.filename, () => {
  let road: Road;
  let uninstall: () => Promise<void>;

  before(async () => {
    road = await Road.build();
    await markDatagrams();
    const rule = await installQueueRule({ mark: MARK, queue: QUEUE, bypass: false });
    uninstall = () => rule.remove();
  });
  afterEach(() => road.clear());
  after(async () => {
    await uninstall();
    await unmarkDatagrams();
    road.close();
  });

  for (const family of [4, 6] as const) {
    it(`holds packets of IPv${family} and lets them go in order`, async () => {
      const lines = await road.listen(family);
      const arrivals = road.queue();
      const send = await road.sender(family);
      for (const text of numbered(20)) await send(text);
      await arrivals.count(20);
      await turn();
      assert.deepEqual(lines.all, [], 'nothing passed while it was held');
      assert.deepEqual(texts(arrivals.packets), numbered(20));
      for (const packet of arrivals.packets) {
        assert.equal(packet.mark, 0x5040, 'the mark with the bits that others set');
        assert.equal(packet.hook, 4);
        assert.equal(packet.output, road.far.outside.ifindex);
        assert.equal(packet.input, 0);
        assert.equal(packet.length, packet.packet.length);
      }
      assert.equal(arrivals.queue.statistics().waiting, 20);
      arrivals.queue.verdicts(arrivals.packets.map(({ id, mark }) => [id, { action: 'accept', mark: mark & ~MARK }]));
      await lines.count(20);
      assert.deepEqual(lines.texts, numbered(20));
      const statistics = arrivals.queue.statistics();
      assert.equal(statistics.waiting, 0);
      assert.equal(statistics.received, 20n);
      assert.equal(statistics.verdictErrors, 0n);
    });

    it(`lets packets of IPv${family} go with another content, shorter or longer`, async () => {
      const lines = await road.listen(family);
      const arrivals = road.queue();
      const send = await road.sender(family);
      const contents = ['', 'token', 'x'.repeat(1000), 'y'.repeat(1400)];
      for (const _ of contents) await send('the original');
      await arrivals.count(contents.length);
      arrivals.queue.verdicts(
        arrivals.packets.map(({ id, packet }, i) => {
          const sourcePort = packet.readUInt16BE(family === 4 ? 20 : 40);
          const body = udp({ sourcePort, destinationPort: PORT }, Buffer.from(contents[i]!));
          const whole =
            family === 4
              ? ipv4({ source: road.node.ipv4, destination: road.far.ipv4 }, body)
              : ipv6({ source: road.node.ipv6, destination: road.far.ipv6 }, body);
          return [id, { action: 'accept', packet: whole.bytes }] as const;
        }),
      );
      await lines.count(contents.length);
      assert.deepEqual(
        lines.all,
        contents.map((content) => `${content.length} ${content.slice(0, 40)}`),
      );
    });
  }

  it('drops what it is told to drop, and lets the neighbours go', async () => {
    const lines = await road.listen();
    const arrivals = road.queue();
    const send = await road.sender();
    for (const text of numbered(10)) await send(text);
    await arrivals.count(10);
    for (const [i, { id }] of arrivals.packets.entries()) {
      arrivals.queue.verdict(id, i % 2 === 0 ? { action: 'accept' } : { action: 'drop' });
    }
    await lines.count(5);
    assert.deepEqual(
      lines.texts,
      numbered(10).filter((_, i) => i % 2 === 0),
    );
  });

  it('is asked again about a packet whose rules are repeated with its mark', async () => {
    const lines = await road.listen();
    const arrivals = road.queue();
    const send = await road.sender();
    await send('once');
    await arrivals.count(1);
    arrivals.queue.verdict(arrivals.packets[0]!.id, { action: 'repeat' });
    await arrivals.count(2);
    const again = arrivals.packets[1]!;
    arrivals.queue.verdict(again.id, { action: 'repeat', mark: again.mark & ~MARK });
    await lines.count(1);
    assert.equal(arrivals.packets.length, 2);
  });

  it('drops what waits when it is closed, and what comes afterwards', async () => {
    const lines = await road.listen();
    const first = road.queue();
    const send = await road.sender();
    await send('held');
    await first.count(1);
    first.queue.close();
    first.queue.close();
    await send('nobody listens').catch(() => {});
    const second = road.queue();
    await send('held again');
    await second.count(1);
    assert.deepEqual(texts(second.packets), ['held again']);
    second.queue.verdict(second.packets[0]!.id, { action: 'accept' });
    await lines.count(1);
    assert.deepEqual(lines.texts, ['held again']);
  });

  it('counts what does not fit into it', async () => {
    const lines = await road.listen();
    const arrivals = road.queue({ maxPackets: 8 });
    const send = await road.sender();
    for (const text of numbered(20)) await send(text).catch(() => {});
    await arrivals.count(8);
    await turn();
    assert.equal(arrivals.packets.length, 8);
    assert.equal(arrivals.queue.statistics().droppedFull, 12);
    arrivals.queue.verdicts(arrivals.packets.map(({ id }) => [id, { action: 'accept' }]));
    await lines.count(8);
    assert.deepEqual(lines.texts, numbered(8));
  });

  it('lets pass what does not fit into it where that is wanted', async () => {
    const lines = await road.listen();
    const arrivals = road.queue({ maxPackets: 8, failOpen: true });
    const send = await road.sender();
    for (const text of numbered(20)) await send(text);
    await lines.count(12);
    assert.deepEqual(lines.texts, numbered(20).slice(8));
    await arrivals.count(8);
    assert.equal(arrivals.queue.statistics().droppedFull, 0);
  });

  it('counts what its socket had no room for, and goes on', async () => {
    const lines = await road.listen();
    const arrivals = road.queue({ maxPackets: 8192, receiveBufferBytes: 16384 });
    const send = await road.sender();
    // All of them before the event loop turns to the queue: the kernel sends synchronously.
    await Promise.allSettled(Array.from({ length: 400 }, (_, i) => send(`${i} ${'x'.repeat(1000)}`)));
    await waitFor('an overrun', () => arrivals.queue.statistics().overruns > 0n);
    const { droppedSocket } = arrivals.queue.statistics();
    assert.ok(droppedSocket > 0 && droppedSocket < 400, String(droppedSocket));
    await arrivals.count(400 - droppedSocket);
    assert.deepEqual(arrivals.errors, []);
    arrivals.queue.verdicts(arrivals.packets.map(({ id }) => [id, { action: 'accept' }]));
    await send('afterwards');
    await arrivals.count(401 - droppedSocket);
    arrivals.queue.verdict(arrivals.packets.at(-1)!.id, { action: 'accept' });
    await lines.count(401 - droppedSocket);
    assert.equal(lines.texts.at(-1), 'afterwards');
  });

  it('copies only so much of a packet, and says how long it is', async () => {
    const lines = await road.listen();
    const arrivals = road.queue({ copyBytes: 60 });
    const send = await road.sender();
    await send('z'.repeat(1000));
    await arrivals.count(1);
    const [packet] = arrivals.packets;
    assert.equal(packet!.packet.length, 60);
    assert.equal(packet!.length, 1028);
    arrivals.queue.verdict(packet!.id, { action: 'accept' });
    await lines.count(1);
    assert.equal(lines.all[0], `1000 ${'z'.repeat(40)}`);
  });

  it('keeps what it gave, whatever comes afterwards, small and large', async () => {
    const lines = await road.listen();
    const arrivals = road.queue();
    const send = await road.sender();
    const sizes = [1, 3000, 100, 2020, 2021, 9000, 60_000, 65_000, 5];
    const fill = (i: number): string => String.fromCharCode(97 + i);
    const seen: { packet: QueuedPacket; letter: string }[] = [];
    for (const [i, size] of [...sizes, ...sizes, ...sizes].entries()) {
      await send(fill(i % sizes.length).repeat(size));
      await arrivals.count(i + 1);
      // At once: neither the sender's socket nor the listener's has room for all of them.
      arrivals.queue.verdict(arrivals.packets[i]!.id, { action: 'accept' });
      await lines.count(i + 1);
    }
    for (const [i, packet] of arrivals.packets.entries()) seen.push({ packet, letter: fill(i % sizes.length) });
    globalThis.gc?.();
    for (const [i, { packet, letter }] of seen.entries()) {
      const payload = payloadOf(packet.packet);
      assert.equal(payload.length, sizes[i % sizes.length]);
      assert.ok(payload.every((byte) => byte === letter.charCodeAt(0)));
      assert.equal(packet.packet, packet.packet);
    }
  });

  it('passes ten thousand packets, none lost and none twice', async function () {
    this.timeout(120_000);
    const lines = await road.listen();
    let received = 0;
    const errors: Error[] = [];
    const batches: number[] = [];
    const queue = road.keep(
      PacketQueue.open({
        number: QUEUE,
        maxPackets: 8192,
        onPackets: (packets) => {
          received += packets.length;
          batches.push(packets.length);
          queue.verdicts(packets.map(({ id }) => [id, { action: 'accept' }] as const));
        },
        onError: (error) => errors.push(error),
      }),
    );
    const send = await road.sender();
    for (let i = 0; i < 10_000; i += 100) {
      await Promise.all(Array.from({ length: 100 }, (_, k) => send(String(i + k))));
      await waitFor('the packets', () => received === i + 100);
      // What the listener has no room for is no loss of the queue's.
      await lines.count(i + 100, 60_000);
    }
    assert.deepEqual(
      lines.texts,
      Array.from({ length: 10_000 }, (_, i) => String(i)),
    );
    assert.ok(Math.max(...batches) > 1 && Math.max(...batches) <= 64, `batches of up to ${Math.max(...batches)}`);
    const statistics = queue.statistics();
    assert.deepEqual(
      [statistics.received, statistics.verdictErrors, statistics.overruns, statistics.waiting, statistics.droppedFull],
      [10_000n, 0n, 0n, 0, 0],
    );
    assert.deepEqual(errors, []);
  });

  it('counts verdicts on packets that are not there', async () => {
    const arrivals = road.queue();
    const send = await road.sender();
    await send('one');
    await arrivals.count(1);
    const { id } = arrivals.packets[0]!;
    arrivals.queue.verdicts([
      [id, { action: 'drop' }],
      [id, { action: 'accept' }],
      [id + 1000, { action: 'accept', mark: 1 }],
    ]);
    await waitFor('the errors', () => arrivals.queue.statistics().verdictErrors === 2n);
    // And is as good as before.
    await send('two');
    await arrivals.count(2);
    assert.deepEqual(arrivals.errors, []);
  });

  it('has one listener only, which another is told', () => {
    road.queue();
    assert.throws(
      () => new Arrivals({}),
      (error: unknown) => error instanceof NetfilterError && error.code === 'QUEUE_BUSY',
    );
    // Another number is another queue.
    road.queue({ number: QUEUE + 1 });
  });

  for (const family of [4, 6] as const) {
    it(`tells where a packet of IPv${family} was to go before its destination was rewritten`, async function () {
      const address = family === 4 ? '203.0.113.9' : '2001:db8::9';
      const lines = await road.listen(family);
      await road.redirect(family, address);
      const arrivals = road.queue();
      const send = await road.sender(family, address);
      await send('where to');
      await arrivals.count(1);
      const [packet] = arrivals.packets;
      const far = addressBytes(family === 4 ? road.far.ipv4 : road.far.ipv6);
      const at = family === 4 ? 16 : 24;
      assert.deepEqual(packet!.packet.subarray(at, at + far.length), far, 'the destination is rewritten already');
      arrivals.queue.verdict(packet!.id, { action: 'accept' });
      await lines.count(1);
      if (!arrivals.queue.conntrack) {
        assert.equal(packet!.original, undefined);
        assert.ok(kernelLacksGlue(), 'a kernel with CONFIG_NETFILTER_NETLINK_GLUE_CT tells');
        return this.skip();
      }
      assert.deepEqual(packet!.original, {
        source: family === 4 ? road.node.ipv4 : road.node.ipv6,
        sourcePort: packet!.packet.readUInt16BE(family === 4 ? 20 : 40),
        destination: address,
        destinationPort: PORT,
        protocol: 17,
      });
    });
  }

  it('does not tell it where nobody asks', async () => {
    const arrivals = road.queue({ conntrack: false });
    assert.equal(arrivals.queue.conntrack, false);
    const send = await road.sender();
    await send('where to');
    await arrivals.count(1);
    assert.equal(arrivals.packets[0]!.original, undefined);
  });
});

/** As far as the kernel says how it was made. */
function kernelLacksGlue(): boolean {
  const config = gunzipSync(readFileSync('/proc/config.gz')).toString();
  return config.includes('# CONFIG_NETFILTER_NETLINK_GLUE_CT is not set');
}
