import assert from 'node:assert/strict';
import fc from 'fast-check';
import { buildClass, type Fallback, type PortRule, prefixes } from '../../src/compile/classes.ts';
import { flattenNetworks, networkKey } from '../../src/compile/networks.ts';
import { RANK_DEFAULT, RANK_NONE, rankOf } from '../../src/compile/rank.ts';
import type { PortSpan } from '../../src/compile/rules.ts';
import { Verdict } from '../../src/model/verdict.ts';
import { network } from './worlds.ts';

const DENIED = { rank: RANK_DEFAULT, rule: 9, verdict: Verdict.Deny };
const FALLBACK: Fallback = { enforced: DENIED, staged: DENIED };

function rule(id: number, spans?: PortSpan[], staged = false): PortRule {
  const outcome = { rank: id, rule: id, verdict: Verdict.Allow };
  return { outcome, staged, ...(spans === undefined ? {} : { spans }) };
}

function tcp(first: number, last = first): PortSpan {
  return { protocol: 6, first, last };
}

function entries(...rules: PortRule[]): string[] {
  return buildClass(rules, FALLBACK).ports.map(
    ({ protocol, port, prefix, decision }) => `${protocol} ${port}/${prefix} ${decision.rule} ${decision.stagedRule}`,
  );
}

describe('ranges as prefixes', () => {
  it('cover every port once and no other, each block aligned', () => {
    const port = fc.integer({ min: 0, max: 65_535 });
    fc.assert(
      fc.property(port, port, (a, b) => {
        const [first, last] = [Math.min(a, b), Math.max(a, b)];
        let next = first;
        for (const { port: start, prefix } of prefixes(first, last)) {
          assert.equal(start, next);
          assert.equal(start % (1 << (16 - prefix)), 0);
          next = start + (1 << (16 - prefix));
        }
        assert.equal(next, last + 1);
      }),
      { numRuns: 5_000 },
    );
  });

  it('are as few as can be', () => {
    assert.deepEqual([...prefixes(0, 65_535)], [{ port: 0, prefix: 0 }]);
    assert.equal([...prefixes(1, 65_534)].length, 30);
    assert.deepEqual([...prefixes(80, 80)], [{ port: 80, prefix: 16 }]);
    assert.equal([...prefixes(1024, 65_535)].length, 6);
  });
});

describe('a class', () => {
  it('has one entry for all ports, also where ranges cover them only together', () => {
    assert.deepEqual(entries(rule(1, [tcp(0, 1024), tcp(53, 65_535)]), rule(2, [tcp(0, 65_535)], true)), ['6 0/0 1 1']);
    assert.deepEqual(entries(rule(1, [tcp(0, 99), tcp(100, 65_535)]), rule(2, [tcp(0, 65_535)])), ['6 0/0 1 1']);
    const span = fc
      .tuple(fc.constantFrom(0, 1, 53, 99, 1024), fc.constantFrom(99, 1024, 65_534, 65_535))
      .map(([a, b]) => tcp(Math.min(a, b), Math.max(a, b)));
    const rules = fc.array(fc.tuple(fc.array(span, { minLength: 1, maxLength: 3 }), fc.boolean()), { maxLength: 4 });
    fc.assert(
      fc.property(rules, (all) => {
        const made = buildClass(
          all.map(([spans, staged], i) => rule(i + 1, spans, staged)),
          FALLBACK,
        );
        const keys = made.ports.map(({ protocol, port, prefix }) => `${protocol} ${port}/${prefix}`);
        assert.equal(new Set(keys).size, keys.length, keys.join());
      }),
      { numRuns: 2_000 },
    );
  });

  it('has one entry for one port, and none where nothing is said of ports', () => {
    assert.deepEqual(entries(rule(1, [tcp(80)])), ['6 80/16 1 1']);
    assert.deepEqual(entries(rule(1)), []);
    assert.deepEqual(entries(), []);
  });

  it('has one entry for a whole protocol', () => {
    assert.deepEqual(entries(rule(1, [tcp(0, 65_535)])), ['6 0/0 1 1']);
  });

  it('has nothing for ports that an earlier rule decides anyway', () => {
    assert.deepEqual(entries(rule(1), rule(2, [tcp(80)]), rule(3, [tcp(0, 65_535)])), []);
    assert.deepEqual(entries(rule(1, [tcp(0, 65_535)]), rule(2, [tcp(80)])), ['6 0/0 1 1']);
  });

  it('makes one range of neighbours that are decided alike', () => {
    assert.deepEqual(entries(rule(1, [tcp(80), tcp(81), tcp(82, 83)])), ['6 80/14 1 1']);
  });

  it('has nothing for a rule whose names stand for no port', () => {
    assert.deepEqual(entries(rule(1, [])), []);
  });

  it('counts staged rules in the staged outcome only', () => {
    assert.deepEqual(entries(rule(1, [tcp(80)], true), rule(2, [tcp(80, 81)])), ['6 80/16 2 1', '6 81/16 2 2']);
    const { any } = buildClass([rule(1, undefined, true)], FALLBACK);
    assert.deepEqual([any.rule, any.rank, any.stagedRule, any.stagedRank], [9, RANK_DEFAULT, 1, 1]);
  });

  it('is named by its content alone', () => {
    const one = buildClass([rule(1, [tcp(80), tcp(443)])], FALLBACK);
    const same = buildClass([rule(1, [tcp(443), tcp(80)])], FALLBACK);
    const other = buildClass([rule(2, [tcp(443), tcp(80)])], FALLBACK);
    assert.equal(one.id, same.id);
    assert.notEqual(one.id, other.id);
  });
});

describe('networks in a table', () => {
  const classOf = (rules: readonly number[]) => ({ id: BigInt(rules.reduce((sum, one) => sum + 2 ** one, 100)) });

  function flat(...peers: [rule: number, cidr: string, ...holes: string[]][]): string[] {
    const made = peers.map(([one, cidr, ...holes]) => ({
      rule: one,
      key: networkKey(network(cidr)),
      network: network(cidr),
      holes: holes.map(network),
    }));
    return flattenNetworks(made, classOf).entries.map(
      (entry) => `${entry.address.slice(12).join('.')}/${entry.prefix - 96} ${entry.class}`,
    );
  }

  it('are one entry each where they do not meet', () => {
    assert.deepEqual(flat([0, '10.0.0.0/8'], [1, '11.0.0.0/8']), ['10.0.0.0/8 101', '11.0.0.0/8 102']);
  });

  it('know in the smaller what holds in the bigger one', () => {
    assert.deepEqual(flat([0, '10.0.0.0/8'], [1, '10.1.0.0/16']), ['10.0.0.0/8 101', '10.1.0.0/16 103']);
  });

  it('leave out what would repeat the one around it', () => {
    assert.deepEqual(flat([0, '10.0.0.0/8'], [0, '10.1.0.0/16']), ['10.0.0.0/8 101']);
    assert.deepEqual(flat([0, '10.0.0.0/8', '10.0.0.0/8']), []);
  });

  it('have an entry for a hole, with what holds there', () => {
    assert.deepEqual(flat([0, '10.0.0.0/8', '10.1.0.0/16'], [1, '0.0.0.0/0']), [
      '0.0.0.0/0 102',
      '10.0.0.0/8 103',
      '10.1.0.0/16 102',
    ]);
  });
});

describe('ranks', () => {
  it('order by priority, then deny, alert, allow, then enforced before staged', () => {
    const order = [
      rankOf(0, 'Deny', 'Enforce'),
      rankOf(0, 'Deny', 'Stage'),
      rankOf(0, 'Alert', 'Enforce'),
      rankOf(0, 'Allow', 'Enforce'),
      rankOf(0, 'Allow', 'Stage'),
      rankOf(1, 'Deny', 'Enforce'),
      rankOf(65_535, 'Allow', 'Stage'),
      rankOf(0, 'Deny', 'Enforce', 9),
      rankOf(65_535, 'Allow', 'Stage', 15),
      RANK_DEFAULT,
      RANK_NONE,
    ];
    assert.deepEqual(
      order,
      [...new Set(order)].sort((a, b) => a - b),
    );
    assert.ok((order[0] ?? 0) > rankOf(65_535, 'Allow', 'Stage', 7));
  });
});
