/** What a container could try with raw packets. Each test is an attack, and says that it fails. */
import assert from 'node:assert/strict';
import { InterfaceFlags, Slot } from '../../../src/datapath/layouts.gen.ts';
import { arp, ethernet, type Frame, fragments, ipv4, ipv6, raw, type Transport } from '../../rig/packets.ts';
import { icmp, icmpEcho, icmpError, icmpv6, neighbour, type TcpFlag, tcp, udp } from '../../rig/transports.ts';
import { IFINDEX, Laboratory } from '../datapath/laboratory.ts';

const WEB = '10.0.0.5';
const WEB6 = 'fd00::5';
const API = '10.0.0.6';
const API6 = 'fd00::6';
const DB = '10.0.0.7';
const HOST = '10.0.0.1';
const WORLD = '192.0.2.7';
const WORLD6 = '2001:db8::7';
const BROADCAST = 'ff:ff:ff:ff:ff:ff';

const policy = (spec: string): string => `---
apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  subject: {workload: Service/web}
${spec}
`;
const DNS_ONLY = policy(
  '  ingress: []\n  egress: [{to: [{workload: Service/api}], ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 80}]}]',
);

const between = (source: string, destination: string, transport: Transport): Buffer =>
  ethernet({}, ipv4({ source, destination }, transport));
const datagram = (from: number, to: number) => udp({ sourcePort: from, destinationPort: to }, Buffer.alloc(16));
const segment = (from: number, to: number, ...flags: TcpFlag[]) =>
  tcp({ sourcePort: from, destinationPort: to, flags });

describe('attacks by packets', () => {
  let lab: Laboratory;

  before(() => {
    lab = new Laboratory([
      { workload: 'shop/Service/web', addresses: [WEB, WEB6, 'fe80::5'] },
      { workload: 'shop/Service/api', addresses: [API, API6] },
      { workload: 'shop/Service/db', addresses: [DB] },
    ]);
    lab.own(HOST, { endpoint: 0, slot: Slot.Host, flags: 0 });
  });

  beforeEach(() => {
    lab.policy('');
    lab.forget();
  });
  after(() => lab.close());

  describe('by headers', () => {
    /** Fragments of IPv6 packets, made by hand: a first one whose payload ends before its transport header. */
    const piece = (next: number, offset: number, more: boolean, payload: Buffer, padding: Buffer = Buffer.alloc(0)) => {
      const header = Buffer.alloc(8);
      header[0] = next;
      header.writeUInt16BE((offset << 3) | (more ? 1 : 0), 2);
      header.writeUInt32BE(7, 4);
      const body = Buffer.concat([header, payload, padding]);
      return ethernet(
        {},
        ipv6(
          { source: WEB6, destination: API6, payloadLength: header.length + payload.length },
          { protocol: 44, encode: () => body },
        ),
      );
    };
    const bytesOf = (transport: Transport): Buffer =>
      transport.encode({ source: Buffer.alloc(16), destination: Buffer.alloc(16) });

    for (const [name, protocol, option, allowed, closed] of [
      ['UDP', 17, Buffer.from([17, 0, 1, 4, 0, 0, 0, 0]), datagram(1, 53), datagram(1, 54)],
      [
        'TCP',
        6,
        Buffer.from([6, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        segment(1, 80, 'SYN'),
        segment(1, 81, 'SYN'),
      ],
    ] as const) {
      it(`padding behind an IPv6 fragment is not taken for its ${name} header`, () => {
        lab.policy(DNS_ONLY);
        const first = lab.sends(piece(60, 0, true, option, bytesOf(allowed)));
        const second = lab.sends(piece(protocol, option.length / 8, false, bytesOf(closed)));
        assert.deepEqual([first.passed, second.passed], [false, false]);
      });
    }

    it('a refused first fragment takes no room from the fragments of others', () => {
      lab.policy(DNS_ONLY);
      const whole = (to: number) =>
        ipv4({ source: WEB, destination: API }, udp({ destinationPort: to }, Buffer.alloc(99)));
      for (const piece of fragments(whole(54), 64)) lab.sends(ethernet({}, piece));
      const spoofed = ipv4({ source: DB, destination: API }, udp({ destinationPort: 53 }, Buffer.alloc(99)));
      for (const piece of fragments(spoofed, 64)) lab.sends(ethernet({}, piece));
      assert.equal([...lab.programs.tables.fragments.keys()].length, 0);
      for (const piece of fragments(whole(53), 64)) assert.equal(lab.sends(ethernet({}, piece)).passed, true);
      assert.equal([...lab.programs.tables.fragments.keys()].length, 1);
    });
  });

  describe('by ICMP', () => {
    const sent = ipv4({ source: API, destination: WEB }, datagram(9, 53));
    const error = (destination: string, inner: Frame) =>
      between(WEB, destination, icmpError({ type: 3, code: 3 }, inner));

    it('an error about an allowed flow cannot be sent to somebody else', () => {
      lab.policy(policy('  egress: []'));
      assert.equal(lab.receives(ethernet({}, sent)).passed, true);
      assert.equal(lab.sends(error(API, sent)).passed, true, 'to whom it concerns');
      for (const stranger of [DB, HOST, WORLD]) assert.equal(lab.sends(error(stranger, sent)).passed, false, stranger);
    });

    it('an error about a flow that is allowed no more does not pass', () => {
      assert.equal(lab.receives(ethernet({}, sent)).passed, true);
      assert.equal(lab.sends(error(API, sent)).passed, true);
      lab.policy(policy('  ingress: []\n  egress: []'));
      assert.equal(lab.sends(error(API, sent)).passed, false);
    });

    const PING = policy(
      '  egress: []\n  ingress: [{from: [{workload: Service/api}], ports: [{protocol: ICMP, type: 8}]}]',
    );

    it('an allowed echo does not open the way for other messages with the same identifier', () => {
      lab.policy(PING);
      const word = Buffer.from([10, 0, 0, 99, 0, 0, 0, 0]);
      const id = word.readUInt16BE(0);
      assert.equal(lab.receives(between(API, WEB, icmpEcho({ id }))).passed, true);
      assert.equal(lab.sends(between(WEB, API, icmpEcho({ id, reply: true }))).passed, true);
      for (const type of [5, 9, 13, 17]) {
        assert.equal(lab.receives(between(API, WEB, icmp(type, 0, word))).passed, false, `type ${type}`);
        assert.equal(lab.sends(between(WEB, API, icmp(type, 0, word))).passed, false, `type ${type} back`);
      }
    });

    for (const id of [0, 8, 256, 4711, 65535]) {
      it(`whoever may answer an echo may not ask one with its identifier ${id}`, () => {
        lab.policy(PING);
        assert.equal(lab.receives(between(API, WEB, icmpEcho({ id }))).passed, true);
        assert.equal(lab.sends(between(WEB, API, icmpEcho({ id, reply: true }))).passed, true);
        assert.equal(lab.sends(between(WEB, API, icmpEcho({ id }))).passed, false);
        assert.equal(lab.receives(between(API, WEB, icmpEcho({ id, reply: true }))).passed, false);
      });
    }

    it('a fragmented echo goes on as one', () => {
      lab.policy(PING);
      const whole = ipv4({ source: API, destination: WEB }, icmpEcho({ id: 3 }, Buffer.alloc(120)));
      for (const piece of fragments(whole, 64)) assert.equal(lab.receives(ethernet({}, piece)).passed, true);
    });

    it('neighbour discovery does not carry data off the link', () => {
      lab.policy(policy('  egress: []'));
      const solicit = (destination: string) =>
        ethernet({}, ipv6({ source: WEB6, destination, hopLimit: 255 }, neighbour(135, destination)));
      assert.equal(lab.sends(solicit(API6)).passed, true, 'a neighbour');
      assert.equal(lab.sends(solicit('fe80::1')).passed, true, 'the gateway');
      assert.equal(lab.sends(solicit(WORLD6)).passed, false);
      const router = ethernet(
        {},
        ipv6({ source: WEB6, destination: WORLD6, hopLimit: 255 }, icmpv6(133, 0, Buffer.alloc(600))),
      );
      assert.equal(lab.sends(router).passed, false);
    });
  });

  describe('by addresses', () => {
    it('what is sent to the address of another at this door does not come in', () => {
      // On a bridge a container attracts it by sending frames with the other's hardware address.
      const stolen = lab.receives(between(API, DB, segment(40000, 5432, 'SYN')));
      assert.equal(stolen.passed, false);
      assert.equal(lab.receives(between(API, WORLD, datagram(1, 2))).passed, false, 'nor to an address of nobody');
    });

    it('what came for another address does not allow answers in its name', () => {
      for (const destination of [DB, '10.0.255.255', '224.0.0.251']) {
        const flood = ethernet(
          { destination: BROADCAST },
          ipv4({ source: API, destination }, udp({ sourcePort: 9, destinationPort: 5353 }, Buffer.alloc(8))),
        );
        lab.receives(flood);
        assert.equal(lab.sends(between(destination, API, datagram(5353, 9))).passed, false, destination);
      }
    });

    it('broadcasts and multicasts still come in', () => {
      for (const destination of ['10.0.255.255', '255.255.255.255', '224.0.0.251']) {
        const packet = ethernet({ destination: BROADCAST }, ipv4({ source: API, destination }, datagram(9, 5353)));
        assert.equal(lab.receives(packet).passed, true, destination);
      }
      const group = ethernet(
        { destination: '33:33:00:00:00:fb' },
        ipv6({ source: API6, destination: 'ff02::fb' }, datagram(9, 5353)),
      );
      assert.equal(lab.receives(group).passed, true);
    });

    it('nobody pretends to look for the address of another that is just coming up', () => {
      const probe = (target: string) =>
        ethernet({}, ipv6({ source: '::', destination: 'ff02::1:ff00:6', hopLimit: 255 }, neighbour(135, target)));
      assert.equal(lab.sends(probe(WEB6)).passed, true);
      assert.equal(lab.sends(probe(API6)).passed, false);
      assert.equal(lab.sends(ethernet({}, arp({ sender: '0.0.0.0', target: WEB }))).passed, true);
      assert.equal(lab.sends(ethernet({}, arp({ sender: '0.0.0.0', target: API }))).passed, false);
    });
  });

  describe('by the state of a flow', () => {
    it('a forged reset does not make a quiet connection forgotten', () => {
      lab.policy(DNS_ONLY);
      assert.equal(lab.sends(between(WEB, API, segment(1, 80, 'SYN'))).passed, true);
      assert.equal(lab.receives(between(API, WEB, segment(80, 1, 'SYN', 'ACK'))).passed, true);
      assert.equal(lab.receives(between(API, WEB, segment(80, 1, 'RST'))).passed, true);
      const { flows } = lab.programs.tables;
      for (const [key, flow] of [...flows.entries()]) flows.set(key, { ...flow, seen: 0n });
      assert.equal(lab.sends(between(WEB, API, segment(1, 80, 'ACK'))).passed, true);
      assert.equal(lab.receives(between(API, WEB, segment(80, 1, 'ACK'))).passed, true);
    });

    it('a connection request in both directions opens only the allowed one', () => {
      lab.policy(DNS_ONLY);
      assert.equal(lab.receives(between(API, WEB, segment(80, 1, 'SYN'))).passed, false);
      assert.equal(lab.sends(between(WEB, API, segment(1, 80, 'SYN'))).passed, true);
      assert.equal(lab.receives(between(API, WEB, segment(80, 1, 'SYN'))).passed, false);
      assert.equal(lab.receives(between(API, WEB, segment(80, 1, 'SYN', 'FIN'))).passed, false);
    });

    it('a container that nobody sees sending does not speak for the one that was seen', () => {
      // A pod: web's address is shared, and app has just sent from port 5000.
      const app = Slot.First + 1;
      const { senders, interfaces, addresses } = lab.programs.tables;
      const [key] = [...addresses.entries()].find(([, owner]) => owner.endpoint === 1 && owner.flags === 0) ?? [];
      assert.ok(key !== undefined);
      interfaces.set(IFINDEX, { endpoint: 1, slot: Slot.First, flags: InterfaceFlags.Shared, cgroupLevel: 1 });
      const bytes = Buffer.from('00000000000000000000ffff0a000005', 'hex');
      const sender = { address: { bytes }, port: 5000, protocol: 17 };
      senders.set(sender, { endpoint: 1, slot: app, seen: process.hrtime.bigint() });
      assert.equal(lab.sends(between(WEB, DB, datagram(5000, 53))).passed, true);
      assert.notEqual(senders.get(sender)?.slot, app);
      interfaces.set(IFINDEX, { endpoint: 1, slot: Slot.First, flags: 0, cgroupLevel: 0 });
    });
  });

  it('a packet of a protocol without ports does not ride on one that has them', () => {
    lab.policy(DNS_ONLY);
    assert.equal(lab.sends(between(WEB, API, datagram(1, 53))).passed, true);
    assert.equal(lab.sends(between(WEB, API, raw(136, Buffer.from('00010035000800000000', 'hex')))).passed, false);
    assert.equal(lab.sends(between(WEB, API, raw(4, Buffer.alloc(28)))).passed, false);
  });
});
