import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Admission, Claimant, Claims } from '../../src/sources/claims.ts';
import { admitAddresses, MOST_ADDRESSES } from '../../src/sources/claims.ts';

const NODE = ['192.0.2.1', '172.17.0.1', 'fe80::1'];

interface Given {
  readonly declared?: readonly string[];
  readonly seen?: readonly string[];
  readonly gateways?: readonly string[];
  readonly startedAt?: number;
}

/** Addresses are written `address/prefix`, and `@` the index of this node's interface where it is not 2. */
function claimant(instance: string, given: Given): Claimant {
  const parse = (text: string, declared: boolean) => {
    const [network, via = '2'] = text.split('@');
    const [address, prefix] = network!.split('/');
    const seen = { address: address!, prefix: Number(prefix), declared };
    return declared ? seen : { ...seen, via: Number(via), device: 'eth0' };
  };
  return {
    instance,
    id: instance,
    startedAt: given.startedAt ?? 0,
    seen: [
      ...(given.declared ?? []).map((text) => parse(text, true)),
      ...(given.seen ?? []).map((text) => parse(text, false)),
    ],
    gateways: given.gateways ?? [],
  };
}

const none: Claims = new Map();

const owned = (admission: Admission, instance: string): string[] =>
  [...(admission.claims.get(instance)?.addresses ?? [])].sort();

describe('addresses', () => {
  it('are a newcomer’s as they come, where nobody has them', () => {
    const web = claimant('web', { seen: ['172.17.0.2/16', 'fe80::42:2/64', 'fd00::2/64'] });
    const admission = admitAddresses([web], none, NODE);
    assert.deepEqual(owned(admission, 'web'), ['172.17.0.2', 'fd00::2', 'fe80::42:2']);
    assert.deepEqual(admission.warnings, []);
  });

  it('are whose runtime assigned them, whoever showed them first', () => {
    const thief = claimant('thief', { seen: ['172.17.0.2/16'], startedAt: 1 });
    const first = admitAddresses([thief], none, NODE);
    assert.deepEqual(owned(first, 'thief'), ['172.17.0.2']);
    const web = claimant('web', { declared: ['172.17.0.2/16'], seen: ['172.17.0.2/16'], startedAt: 2 });
    const second = admitAddresses([thief, web], first.claims, NODE);
    assert.deepEqual([owned(second, 'web'), owned(second, 'thief')], [['172.17.0.2'], []]);
    assert.deepEqual(
      second.warnings.map(({ code, subject }) => [code, subject]),
      [['ADDRESS_TAKEN', 'thief']],
    );
  });

  it('stay whose they are when another shows them later, also an older one', () => {
    const [web, old] = [claimant('web', { seen: ['10.0.0.2/24'] }), claimant('old', { seen: ['10.0.0.1/24'] })];
    const first = admitAddresses([web, old], none, NODE);
    const greedy = claimant('old', { seen: ['10.0.0.1/24', '10.0.0.2/24'], startedAt: -1 });
    const second = admitAddresses([greedy, web], first.claims, NODE);
    assert.deepEqual([owned(second, 'web'), owned(second, 'old')], [['10.0.0.2'], ['10.0.0.1']]);
    assert.equal(second.warnings[0]?.code, 'ADDRESS_TAKEN');
  });

  const additions = [
    { adds: '10.0.0.9/24', accepted: true, why: 'inside the network it had' },
    { adds: '10.0.0.9/8', accepted: true, why: 'inside, whatever prefix it shows' },
    { adds: '10.0.1.9/16', accepted: false, why: 'outside' },
    { adds: 'fe80::9/64', accepted: true, why: 'link-local' },
    { adds: 'fe80:1::9/16', accepted: false, why: 'not the link-local network' },
    { adds: '10.0.0.254/24', accepted: false, why: 'a gateway’s' },
    { adds: '10.0.0.1/24', accepted: false, why: 'the node’s' },
    { adds: '127.0.0.1/8', accepted: false, why: 'loopback' },
    { adds: '224.0.0.1/4', accepted: false, why: 'multicast' },
    { adds: '0.0.0.0/0', accepted: false, why: 'unspecified' },
    { adds: 'ff02::1/128', accepted: false, why: 'multicast' },
    { adds: '::/0', accepted: false, why: 'unspecified' },
    { adds: 'nonsense/0', accepted: false, why: 'no address' },
  ];
  for (const { adds, accepted, why } of additions) {
    it(`added later are ${accepted ? 'accepted' : 'refused'}: ${adds} is ${why}`, () => {
      const node = [...NODE, '10.0.0.1'];
      const before = { seen: ['10.0.0.2/24'], gateways: ['10.0.0.254'] };
      const first = admitAddresses([claimant('web', before)], none, node);
      const after = { ...before, seen: [...before.seen, adds] };
      const second = admitAddresses([claimant('web', after)], first.claims, node);
      assert.equal(owned(second, 'web').length, accepted ? 2 : 1);
    });
  }

  it('added later widen nothing', () => {
    const steps = [['10.0.0.2/24'], ['10.0.0.2/24', '10.0.0.3/8'], ['10.0.0.2/24', '10.0.0.3/8', '10.9.9.9/8']];
    let claims = none;
    let admission: Admission | undefined;
    for (const seen of steps) {
      admission = admitAddresses([claimant('web', { seen })], claims, NODE);
      claims = admission.claims;
    }
    assert.deepEqual(owned(admission!, 'web'), ['10.0.0.2', '10.0.0.3']);
  });

  it('of one that ended may be another’s who showed them before, inside its own network', () => {
    const [old, next] = [claimant('old', { seen: ['10.0.0.2/24'] }), claimant('new', { seen: ['10.0.0.2/24'] })];
    const first = admitAddresses([old, { ...next, startedAt: 1 }], none, NODE);
    assert.deepEqual([owned(first, 'old'), owned(first, 'new')], [['10.0.0.2'], []]);
    assert.deepEqual(owned(admitAddresses([next], first.claims, NODE), 'new'), ['10.0.0.2']);
  });

  it('of the node open no network to those who show them', () => {
    const first = admitAddresses([claimant('web', { seen: ['192.0.2.1/24'] })], none, NODE);
    const second = admitAddresses([claimant('web', { seen: ['192.0.2.1/24', '192.0.2.9/24'] })], first.claims, NODE);
    assert.deepEqual(owned(second, 'web'), []);
  });

  it('in a new network the runtime assigned are accepted', () => {
    const first = admitAddresses([claimant('web', { declared: ['10.0.0.2/24'] })], none, NODE);
    const joined = claimant('web', { declared: ['10.0.0.2/24', '10.5.0.2/24'], seen: ['10.5.0.7/24@3'] });
    assert.deepEqual(owned(admitAddresses([joined], first.claims, NODE), 'web'), ['10.0.0.2', '10.5.0.2', '10.5.0.7']);
  });

  it('on an interface the runtime assigned others to are refused at first sight too, unless in their network', () => {
    const web = claimant('web', {
      declared: ['10.0.0.2/24'],
      seen: ['10.0.0.2/24', '10.0.0.3/24', '10.7.0.2/8', '192.168.9.1/24@4'],
    });
    assert.deepEqual(owned(admitAddresses([web], none, NODE), 'web'), ['10.0.0.2', '10.0.0.3', '192.168.9.1']);
  });

  it('are not the container’s to widen by showing a wider prefix for an assigned one', () => {
    const web = { declared: ['10.0.0.2/32'], seen: ['10.0.0.2/8'] };
    const first = admitAddresses([claimant('web', web)], none, NODE);
    const greedy = claimant('web', { ...web, seen: ['10.0.0.2/8', '10.0.0.3/8'] });
    assert.deepEqual(owned(admitAddresses([greedy], first.claims, NODE), 'web'), ['10.0.0.2']);
  });

  it('on an interface that comes later are accepted as they come, and those after them are additions', () => {
    const steps = [[], ['fe80::2/64@7'], ['10.0.0.2/24@7'], ['10.0.0.2/24@7', '10.0.0.3/24@7', '10.9.0.1/24@7']];
    let claims = none;
    let admission: Admission | undefined;
    for (const seen of steps) {
      admission = admitAddresses([claimant('web', { seen })], claims, NODE);
      claims = admission.claims;
    }
    assert.deepEqual(owned(admission!, 'web'), ['10.0.0.2', '10.0.0.3']);
    const second = admitAddresses([claimant('web', { seen: ['10.0.0.2/24@7', '10.9.0.1/24@8'] })], claims, NODE);
    assert.deepEqual(owned(second, 'web'), ['10.0.0.2', '10.9.0.1']);
  });

  it('are bounded for each endpoint', () => {
    const seen = Array.from({ length: 200 }, (_, i) => `10.0.0.${i + 1}/24`);
    const admission = admitAddresses([claimant('web', { seen })], none, NODE);
    assert.equal(owned(admission, 'web').length, MOST_ADDRESSES);
    assert.equal(admission.warnings[0]?.code, 'ADDRESSES_TOO_MANY');
  });

  it('of one that ended are free', () => {
    const first = admitAddresses([claimant('old', { seen: ['10.0.0.2/24'] })], none, NODE);
    const second = admitAddresses([claimant('new', { seen: ['10.0.0.2/24'] })], first.claims, NODE);
    assert.deepEqual(owned(second, 'new'), ['10.0.0.2']);
  });

  const small = fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.0.3', '10.1.0.1', '172.17.0.1', 'fe80::2', 'fd00::1');
  const anyone = fc.record({
    seen: fc.array(
      fc.record({
        address: small,
        prefix: fc.constantFrom(0, 8, 24, 32),
        via: fc.constantFrom(2, 3),
        declared: fc.boolean(),
      }),
      { maxLength: 6 },
    ),
    gateways: fc.array(small, { maxLength: 2 }),
    startedAt: fc.nat(2),
  });
  const rounds = fc.array(fc.array(anyone, { maxLength: 4 }), { minLength: 1, maxLength: 4 });

  it('have one owner each, never the node’s, in any order and any history', () => {
    fc.assert(
      fc.property(rounds, (history) => {
        let claims = none;
        for (const round of history) {
          const claimants = round.map((one, i): Claimant => ({ ...one, instance: `${i}`, id: `${i}` }));
          const admission = admitAddresses(claimants, claims, NODE);
          const reversed = admitAddresses([...claimants].reverse(), claims, NODE);
          assert.deepEqual(new Map([...reversed.claims].sort()), new Map([...admission.claims].sort()));
          const all = [...admission.claims.values()].flatMap((claim) => [...claim.addresses]);
          assert.equal(new Set(all).size, all.length);
          assert.ok(!all.some((address) => NODE.includes(address)));
          for (const { instance, seen } of claimants) {
            for (const address of admission.claims.get(instance)!.addresses) {
              assert.ok(seen.some((one) => one.address === address));
            }
          }
          claims = admission.claims;
        }
      }),
    );
  });

  it('that were assigned to one alone are that one’s, whatever others show', () => {
    fc.assert(
      fc.property(fc.array(anyone, { maxLength: 4 }), (others) => {
        const claimants = others.map(
          (one, i): Claimant => ({
            ...one,
            seen: one.seen.map((seen) => ({ ...seen, declared: false })),
            instance: `${i}`,
            id: `${i}`,
          }),
        );
        const before = admitAddresses(claimants, none, NODE);
        const web = claimant('web', { declared: ['10.0.0.2/24'], startedAt: 9 });
        assert.deepEqual(owned(admitAddresses([...claimants, web], before.claims, NODE), 'web'), ['10.0.0.2']);
      }),
    );
  });
});
