import assert from 'node:assert/strict';
import {
  arp,
  EtherType,
  ethernet,
  type Frame,
  fragmentHeader,
  fragments,
  ipv4,
  ipv6,
  optionsHeader,
  raw,
  routingHeader,
  vlan,
} from '../../rig/packets.ts';
import { icmpEcho, icmpError, icmpv6, icmpv6Error, neighbour, sctp, tcp, udp } from '../../rig/transports.ts';
import { Laboratory, type Outcome } from './laboratory.ts';

const ME = '10.0.0.5';
const ME6 = 'fd00::5';
const LINK_LOCAL = 'fe80::5';
const PEER = '10.0.0.6';
const PEER6 = 'fd00::6';

const POLICY = `
apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  subject: {workload: Service/web}
  egress:
    - name: to-api
      to: [{workload: Service/api}]
      ports: [{protocol: TCP, port: 80}, {protocol: UDP, port: 53}, {protocol: SCTP, port: 80}]
`;

const PASSED: Outcome = { passed: true };
const drop = (reason: string): Outcome => ({ passed: false, reason });
/** What policy says of a packet whose headers were read right. */
const POLICY_PASS = { passed: true, rule: 'shop/web egress to-api' };
const POLICY_DROP = { passed: false, reason: 'Policy', rule: 'shop/web egress default' };

const v4 = (payload: Parameters<typeof ipv4>[1], fields: Partial<Parameters<typeof ipv4>[0]> = {}): Buffer =>
  ethernet({}, ipv4({ source: ME, destination: PEER, ...fields }, payload));
const v6 = (payload: Parameters<typeof ipv6>[1], fields: Partial<Parameters<typeof ipv6>[0]> = {}): Buffer =>
  ethernet({}, ipv6({ source: ME6, destination: PEER6, ...fields }, payload));
const syn = (port: number) => tcp({ sourcePort: 40000, destinationPort: port, flags: ['SYN'] });
const query = (port: number) => udp({ sourcePort: 40000, destinationPort: port }, Buffer.alloc(32));
const frame = (etherType: number): Frame => ({ etherType, bytes: Buffer.alloc(46) });

describe('headers of what an endpoint sends', () => {
  let lab: Laboratory;

  before(() => {
    lab = new Laboratory([
      { workload: 'shop/Service/web', addresses: [ME, ME6, LINK_LOCAL] },
      { workload: 'shop/Service/api', addresses: [PEER, PEER6] },
    ]);
    lab.policy(POLICY);
  });

  beforeEach(() => lab.forget());
  after(() => lab.close());

  const cases: readonly [string, () => Buffer, Outcome][] = [
    ['an allowed port passes', () => v4(syn(80)), POLICY_PASS],
    ['another port does not', () => v4(syn(81)), POLICY_DROP],
    ['IPv6 is judged by the same rule', () => v6(syn(80)), POLICY_PASS],
    ['and denied by the same default', () => v6(syn(81)), POLICY_DROP],
    ['UDP is judged by its own rule', () => v4(query(53)), POLICY_PASS],
    ['SCTP has ports', () => v4(sctp({ sourcePort: 1, destinationPort: 80 })), POLICY_PASS],
    ['SCTP to another port does not pass', () => v4(sctp({ sourcePort: 1, destinationPort: 81 })), POLICY_DROP],
    ['a protocol without ports is judged as such', () => v4(raw(47, Buffer.alloc(16))), POLICY_DROP],
    ['IPv4 options do not hide the port', () => v4(syn(81), { options: Buffer.alloc(40, 1) }), POLICY_DROP],
    ['IPv4 options do not hurt', () => v4(syn(80), { options: Buffer.alloc(40, 1) }), POLICY_PASS],
    ['a header length below 20 is refused', () => v4(syn(80), { headerLength: 4 }), drop('Header')],
    ['a wrong version is refused', () => v4(syn(80), { version: 5 }), drop('Header')],
    ['a TCP header that is cut is refused', () => v4(raw(6, Buffer.alloc(10))), drop('Truncated')],
    ['a UDP header that is cut is refused', () => v4(raw(17, Buffer.alloc(4))), drop('Truncated')],
    ['an ICMP header that is cut is refused', () => v4(raw(1, Buffer.alloc(6))), drop('Truncated')],
    ['ICMPv6 in IPv4 is refused', () => v4(raw(58, Buffer.alloc(16))), drop('Header')],
    ['a TCP header that is cut in IPv6 is refused', () => v6(syn(80)).subarray(0, 64), drop('Truncated')],
    [
      'extension headers do not hide the port',
      () => v6(syn(81), { extensions: [optionsHeader(0), optionsHeader(60, 16)] }),
      POLICY_DROP,
    ],
    [
      'extension headers do not hurt',
      () => v6(syn(80), { extensions: [optionsHeader(0), optionsHeader(60, 16)] }),
      POLICY_PASS,
    ],
    [
      'a chain of nine extension headers is refused',
      () => v6(syn(80), { extensions: Array.from({ length: 9 }, () => optionsHeader(60)) }),
      drop('Extensions'),
    ],
    [
      'a routing header of type 0 is refused',
      () => v6(syn(80), { extensions: [routingHeader(0, 1, [PEER6])] }),
      drop('Extensions'),
    ],
    ['a mapped IPv4 address in IPv6 is refused', () => v6(syn(80), { destination: '::ffff:10.0.0.6' }), drop('Header')],
    ['a source address of somebody else is refused', () => v4(syn(80), { source: PEER }), drop('Spoofed')],
    ['a source address of nobody is refused', () => v4(syn(80), { source: '192.0.2.1' }), drop('Spoofed')],
    ['an IPv6 source of somebody else is refused', () => v6(syn(80), { source: PEER6 }), drop('Spoofed')],
    [
      'a spoofed answer is refused',
      () => v4(tcp({ sourcePort: 80, destinationPort: 4000, flags: ['SYN', 'ACK'] }), { source: PEER }),
      drop('Spoofed'),
    ],
    ['a frame that is not IP is refused', () => ethernet({}, frame(0x88b5)), drop('Ethertype')],
    [
      'a double VLAN tag does not hide IP',
      () =>
        ethernet(
          {},
          vlan({ id: 1, type: EtherType.QinQ }, vlan({ id: 2 }, ipv4({ source: ME, destination: PEER }, syn(80)))),
        ),
      drop('Ethertype'),
    ],
    ['ARP for its own address passes', () => ethernet({}, arp({ sender: ME, target: PEER })), PASSED],
    ['an ARP probe passes', () => ethernet({}, arp({ sender: '0.0.0.0', target: ME })), PASSED],
    [
      'ARP that claims the address of another is refused',
      () => ethernet({}, arp({ operation: 'reply', sender: PEER, target: '10.0.0.1' })),
      drop('Arp'),
    ],
    ['ARP for nobody is refused', () => ethernet({}, arp({ sender: '10.0.0.99', target: PEER })), drop('Arp')],
    ['neighbour solicitation passes', () => v6(neighbour(135, PEER6), { source: ME6, hopLimit: 255 }), PASSED],
    [
      'an advertisement of its own address passes',
      () => v6(neighbour(136, LINK_LOCAL), { source: LINK_LOCAL, hopLimit: 255 }),
      PASSED,
    ],
    [
      'an advertisement of the address of another is refused',
      () => v6(neighbour(136, PEER6), { hopLimit: 255 }),
      drop('Arp'),
    ],
    [
      'playing the router is refused',
      () => v6(icmpv6(134, 0, Buffer.alloc(12)), { source: LINK_LOCAL, hopLimit: 255 }),
      drop('Arp'),
    ],
    [
      'a redirect is refused',
      () => v6(icmpv6(137, 0, Buffer.alloc(36)), { source: LINK_LOCAL, hopLimit: 255 }),
      drop('Arp'),
    ],
    [
      'neighbour discovery from afar is an ordinary packet',
      () => v6(neighbour(135, PEER6), { hopLimit: 64 }),
      POLICY_DROP,
    ],
    [
      'an ICMP error about nothing is refused',
      () => v4(icmpError({ type: 3, code: 4 }, ipv4({ source: PEER, destination: ME }, query(9)))),
      drop('Unrelated'),
    ],
    [
      'a later fragment without its first is refused',
      () => v4(raw(17, Buffer.alloc(64)), { id: 7, fragmentOffset: 8 }),
      drop('Fragment'),
    ],
    [
      'a TCP fragment that rewrites the flags is refused',
      () => v4(raw(6, Buffer.alloc(64)), { id: 7, fragmentOffset: 1 }),
      drop('Fragment'),
    ],
    [
      'a first TCP fragment without the whole header is refused',
      () => v4(raw(6, Buffer.alloc(16)), { id: 7, moreFragments: true }),
      drop('Fragment'),
    ],
    [
      'a later IPv6 fragment without its first is refused',
      () => v6(raw(17, Buffer.alloc(64)), { extensions: [fragmentHeader({ id: 3, offset: 8, more: false })] }),
      drop('Fragment'),
    ],
  ];
  for (const [name, build, expected] of cases) {
    it(name, () => assert.deepEqual(lab.sends(build()), expected));
  }

  it('fragments follow their first one, in both families, and only the first is counted on the rule', () => {
    for (const whole of [
      ipv4({ source: ME, destination: PEER }, udp({ sourcePort: 1, destinationPort: 53 }, Buffer.alloc(200))),
      ipv6({ source: ME6, destination: PEER6 }, udp({ sourcePort: 1, destinationPort: 53 }, Buffer.alloc(200))),
    ]) {
      const pieces = fragments(whole, 64).map((piece) => ethernet({}, piece));
      assert.ok(pieces.length > 2);
      assert.deepEqual(
        pieces.map((piece) => lab.sends(piece)),
        pieces.map((_, index) => (index === 0 ? POLICY_PASS : PASSED)),
      );
    }
  });

  it('fragments of a denied datagram are all denied', () => {
    const whole = ipv4(
      { source: ME, destination: PEER },
      udp({ sourcePort: 1, destinationPort: 54 }, Buffer.alloc(200)),
    );
    for (const piece of fragments(whole, 64)) assert.equal(lab.sends(ethernet({}, piece)).passed, false);
  });

  it('an ICMP error about a flow that passed is let in, and about one that did not is not', () => {
    const sent = ipv4({ source: ME, destination: PEER }, query(53));
    assert.equal(lab.sends(ethernet({}, sent)).passed, true);
    const error = (inner: Frame) =>
      ethernet({}, ipv4({ source: '10.0.0.1', destination: ME }, icmpError({ type: 3, code: 4 }, inner)));
    assert.deepEqual(lab.receives(error(sent)), PASSED);
    assert.deepEqual(lab.receives(error(ipv4({ source: ME, destination: PEER }, query(54)))), drop('Unrelated'));
    const sent6 = ipv6({ source: ME6, destination: PEER6 }, query(53));
    assert.equal(lab.sends(ethernet({}, sent6)).passed, true);
    const tooBig = ethernet(
      {},
      ipv6({ source: 'fd00::1', destination: ME6 }, icmpv6Error({ type: 2, code: 0 }, sent6)),
    );
    assert.deepEqual(lab.receives(tooBig), PASSED);
  });

  it('no cut of an allowed packet passes by its missing end', () => {
    const packet = v4(syn(80));
    // A test run wants a whole IP header.
    for (let length = 14 + 20; length < 14 + 20 + 20; length++) {
      assert.equal(lab.sends(packet.subarray(0, length)).passed, false, `${length} bytes`);
    }
  });

  it('an echo request is judged by its type', () => {
    assert.deepEqual(lab.sends(v4(icmpEcho())), POLICY_DROP);
  });
});
