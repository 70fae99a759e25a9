/** What the kernel does for containers on the host's network when nobody knows yet with whom they speak. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { Incident, Reason } from '../../../src/datapath/layouts.gen.ts';
import type { Between } from '../../../src/datapath/port.ts';
import { parsePacket } from '../../../src/hold/packet.ts';
import { Cgroup } from '../../rig/cgroup.ts';
import { closeOnExit } from '../../rig/cleanup.ts';
import { Place } from '../../rig/netns.ts';
import type { Endpoint } from '../../rig/node.ts';
import type { Background } from '../../rig/process.ts';
import { buildTraffic, connect, serve } from '../../rig/traffic.ts';
import { shopPolicy, Town } from './town.ts';

const HOLD_RATE = 50;
const BETWEEN: Between = { tags: false, holdMark: 0x1000, holdRate: HOLD_RATE, holdOpen: false, refusal: 'reset' };
const POLICY = shopPolicy('exporter', 'exporter', '  egress: [{to: [{workload: Service/api}]}]');
const UDP = 17;
const TCP = 6;

/** Sends what has a place in one frame, what has not, and what the kernel is to cut (UDP_SEGMENT), or many. */
const SEND = `import socket, sys
address, how = sys.argv[1:]
s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM); to = (address, 5353)
if how == "many":
  for n in range(1000): s.sendto(b"m", to)
else:
  s.sendto(b"x" * 700, to); s.sendto(b"y" * 40000, to)
  s.setsockopt(17, 103, 1000); s.sendto(b"z" * 2500, to)
print("sent")`;

interface Taken {
  readonly endpoint: string;
  readonly segment: number;
  readonly packet: Buffer;
}

describe('containers on the host’s network', function () {
  this.timeout(120_000);
  let town: Town;
  let exporter: Place & { readonly cgroup: Cgroup };
  let far: Endpoint;
  let taken: Taken[] = [];

  before(async () => {
    await buildTraffic();
    town = await Town.create('routed', BETWEEN);
    const place = town.node.createHostContainer('exporter');
    assert.ok(place.cgroup !== undefined);
    exporter = Object.assign(place, { cgroup: place.cgroup });
    town.settleHost('exporter', exporter.cgroup);
    town.know('api');
    // Of another node, as far as this one knows.
    far = await town.node.createEndpoint('far');
    await town.enforce(POLICY);
    town.datapath.peers.setDomains([`${far.ipv4}/32`, `${far.ipv6}/128`].map((cidr) => ({ cidr, hold: true })));
    town.datapath.taken.onPackets((packets) => {
      for (const { packet, ...one } of packets) taken.push({ ...one, packet: Buffer.from(packet) });
    });
  });
  after(() => town?.close());

  const send = async (from: Place, address: string, how = 'sizes'): Promise<readonly Taken[]> => {
    taken = [];
    const said = await from.attempt(['python3', '-c', SEND, address, how]);
    assert.equal(said.stdout.trim(), 'sent', said.stderr);
    town.datapath.taken.drain();
    return taken;
  };
  const dropped = (reason: number): bigint => town.datapath.dropCounters().get(reason)?.packets ?? 0n;

  for (const family of ['ipv4', 'ipv6'] as const) {
    it(`lose to the agent what has to wait, and are not told, over ${family}`, async () => {
      const before = town.datapath.incidents().get(Incident.Held) ?? 0n;
      const packets = await send(exporter, far[family]);
      assert.deepEqual(
        packets.map(({ endpoint, segment, packet }) => {
          const read = parsePacket(packet);
          if ('malformed' in read) throw new Error(read.malformed);
          const body = read.bytes.subarray(read.payload);
          return [endpoint, segment, body.length, String.fromCharCode(body[0]!, body.at(-1)!), read.destinationPort];
        }),
        [
          ['exporter', 0, 700, 'xx', 5353],
          ['exporter', 0, 40_000, 'yy', 5353],
          ['exporter', 1_000, 2_500, 'zz', 5353],
        ],
      );
      assert.equal((town.datapath.incidents().get(Incident.Held) ?? 0n) - before, 3n);
    });
  }

  it('may have only so many wait in a second', async () => {
    const before = dropped(Reason.HoldRate);
    taken = [];
    // What is too much is an error, as any refusal is.
    await exporter.attempt(['python3', '-c', SEND, far.ipv4, 'many']);
    town.datapath.taken.drain();
    assert.ok(taken.length <= 3 * HOLD_RATE, `${taken.length} were taken`);
    assert.ok(dropped(Reason.HoldRate) > before);
  });

  it('are refused what would have to wait where the agent could not send it: behind an interface of their own', async () => {
    town.settleHost('exporter', exporter.cgroup, undefined, 1);
    await town.enforce(POLICY);
    const before = dropped(Reason.Unverified);
    taken = [];
    await exporter.attempt(['python3', '-c', SEND, far.ipv4, 'sizes']);
    town.datapath.taken.drain();
    assert.deepEqual(taken, []);
    assert.ok(dropped(Reason.Unverified) > before);
    town.settleHost('exporter', exporter.cgroup);
    await town.enforce(POLICY);
  });

  it('leave nothing to the next agent of what waited for the last', async () => {
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    town.die();
    await exporter.run(['python3', '-c', SEND, far.ipv4, 'sizes']);
    town.restart();
    taken = [];
    town.datapath.taken.onPackets((packets) => taken.push(...packets));
    town.datapath.taken.drain();
    assert.deepEqual(taken, []);
    await town.enforce(POLICY);
  });

  describe('that listen', () => {
    let strangers: Background;
    const who = (address: string, port: number, protocol = UDP) =>
      town.datapath.peers.listenerAt({ address, port }, protocol)?.endpoint;

    before(async () => {
      const below = new Cgroup(join(exporter.cgroup.name, 'below'));
      closeOnExit(() => below.close());
      await serve(exporter, { udp: '9100', tcp: '9100' });
      await serve(new Place(town.node.namespace, below), { udp: '9200', address: town.node.ipv4 });
      strangers = await serve(town.node.host, { udp: '9300', tcp: '9300' });
    });
    after(() => strangers?.close());

    it('are found at the addresses of the host, by port and protocol', () => {
      const { ipv4, ipv6 } = town.node;
      assert.deepEqual(
        [who(ipv4, 9100), who(ipv6, 9100), who(ipv4, 9100, TCP), who(ipv6, 9100, TCP)],
        Array(4).fill('exporter'),
      );
      assert.equal(who(ipv4, 9200), 'exporter', 'from a cgroup below their own');
    });

    it('are not found where they are not', () => {
      const { ipv4, ipv6 } = town.node;
      assert.deepEqual(
        [who(ipv6, 9200), who(ipv4, 9200, TCP), who(ipv4, 9101), who(ipv4, 9300), who(ipv4, 9300, TCP)],
        Array(5).fill(undefined),
        'another address, protocol or port, or the host’s own',
      );
      assert.deepEqual(
        [who(far.ipv4, 9100), who('198.51.100.7', 9100), who('nowhere', 9100), who(ipv4, 9100, 132), who(ipv4, 0, 1)],
        Array(5).fill(undefined),
        'nobody of this host, and no such protocol',
      );
    });
  });

  it('answer whom they were asked by', async () => {
    const listening = await serve(exporter, { udp: '9400' });
    const asked = await connect(far, { address: town.node.ipv4, port: 9400, udp: true }, { timeoutMs: 500 });
    assert.equal(asked.result, 'ok');
    listening.close();
  });
});
