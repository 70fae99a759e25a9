import assert from 'node:assert/strict';
import { findAttachment } from '../../src/sources/attachment.ts';
import type { Link, NamespaceView } from '../../src/sources/host.ts';

function link(ifindex: number, name: string, kind: string, more: Partial<Link> = {}): Link {
  return { ifindex, name, kind, loopback: false, ...more };
}

const loopback = link(1, 'lo', '', { loopback: true });

/** The node's end of interface 5 in the namespace it knows as 7. */
const outer = link(20, 'veth20', 'veth', { peerIfindex: 5, linkNetnsid: 7 });
const inner = link(5, 'eth0', 'veth', { peerIfindex: 20, linkNetnsid: 0 });

function view(links: readonly Link[], more: Partial<NamespaceView> = {}): NamespaceView {
  return { links: [loopback, ...links], addresses: [], gateways: [], netnsid: 7, ...more };
}

describe('an attachment', () => {
  it('is the node’s end of a veth whose ends name each other', () => {
    const addresses = [
      { ifindex: 1, address: '127.0.0.1', prefix: 8 },
      { ifindex: 5, address: '10.0.0.2', prefix: 24 },
    ];
    assert.deepEqual(findAttachment([loopback, outer], view([inner], { addresses, gateways: ['10.0.0.1'] })), {
      mode: 'interface',
      interfaces: [{ ifindex: 20, name: 'veth20' }],
      seen: [{ address: '10.0.0.2', prefix: 24, device: 'eth0', via: 20, declared: false }],
      gateways: ['10.0.0.1'],
    });
  });

  it('has all interfaces of a namespace that has several', () => {
    const second = link(22, 'veth22', 'veth', { peerIfindex: 6, linkNetnsid: 7 });
    const found = findAttachment([outer, second], view([inner, link(6, 'eth1', 'veth', { peerIfindex: 22 })]));
    assert.deepEqual(
      found.interfaces.map((one) => one.name),
      ['veth20', 'veth22'],
    );
  });

  const strangers: readonly { what: string; node: Link; netnsid?: number }[] = [
    { what: 'ends in another namespace', node: { ...outer, linkNetnsid: 8 } },
    { what: 'names another end', node: { ...outer, peerIfindex: 6 } },
    { what: 'is no veth', node: { ...outer, kind: 'bridge' } },
  ];
  for (const { what, node } of strangers) {
    it(`is none where the node’s interface of that number ${what}`, () => {
      assert.deepEqual(findAttachment([node], view([inner])).interfaces, []);
    });
  }

  it('is none where the node has no link to the namespace', () => {
    const { netnsid: _, ...rest } = view([inner]);
    assert.deepEqual(findAttachment([outer], { ...rest, netnsid: undefined }).interfaces, []);
  });

  const devices: readonly { what: string; link: Link; reason: RegExp; addresses: number }[] = [
    {
      what: 'macvlan',
      link: link(5, 'eth0', 'macvlan', { peerIfindex: 2, linkNetnsid: 0 }),
      reason: /eth0 \(macvlan\)/,
      addresses: 1,
    },
    {
      what: 'ipvlan',
      link: link(5, 'eth0', 'ipvlan', { peerIfindex: 2, linkNetnsid: 0 }),
      reason: /eth0 \(ipvlan\)/,
      addresses: 1,
    },
    { what: 'a moved device', link: link(5, 'ens5', ''), reason: /ens5 \(a device\)/, addresses: 1 },
    { what: 'a bridge of its own', link: link(5, 'br0', 'bridge'), reason: /has no interface/, addresses: 0 },
    {
      what: 'a veth with an address that ends elsewhere',
      link: link(5, 'eth0', 'veth', { peerIfindex: 99, linkNetnsid: 1 }),
      reason: /eth0 \(veth\)/,
      addresses: 1,
    },
  ];
  for (const device of devices) {
    it(`by ${device.what} alone leaves only the sockets to judge, and says why`, () => {
      const addresses = [{ ifindex: 5, address: '10.0.0.2', prefix: 24 }];
      const found = findAttachment([outer], view([device.link], { addresses, netnsid: undefined }));
      assert.equal(found.mode, 'cgroup');
      assert.match(found.reason ?? '', device.reason);
      assert.equal(found.seen.length, device.addresses);
    });
  }

  it('does not count a veth without addresses that leads below it', () => {
    const below = link(6, 'below', 'veth', { peerIfindex: 99, linkNetnsid: 1 });
    const addresses = [{ ifindex: 6, address: 'fe80::6', prefix: 64 }];
    assert.equal(findAttachment([outer], view([inner, below], { addresses })).reason, undefined);
  });

  it('says what goes past its interfaces', () => {
    const found = findAttachment(
      [outer],
      view([inner, link(6, 'net1', 'macvlan', { peerIfindex: 2, linkNetnsid: 0 })]),
    );
    assert.equal(found.mode, 'interface');
    assert.match(found.reason ?? '', /net1 \(macvlan\) leads past/);
  });

  it('reads a bounded number of addresses', () => {
    const addresses = Array.from({ length: 10_000 }, (_, i) => ({
      ifindex: 5,
      address: `10.0.${i >> 8}.${i & 255}`,
      prefix: 8,
    }));
    assert.equal(findAttachment([outer], view([inner], { addresses })).seen.length, 256);
  });
});
