import assert from 'node:assert/strict';
import fc from 'fast-check';
import { heldBy, isHeld, type LeaseSpec, type Observed, observe, released } from '../../src/manager/lease.ts';

const LEASE_MS = 15_000;

describe('a lease', () => {
  it('is held by another for its duration since it was seen to change, whatever its times say', () => {
    const spec = heldBy('other', LEASE_MS, undefined, Date.parse('1999-01-01'));
    const seen = observe(undefined, spec, 1_000);
    assert.ok(isHeld(seen, 'me', 15_999));
    assert.ok(!isHeld(seen, 'me', 16_000));
    assert.ok(!isHeld(seen, 'other', 1_000));
    const again = observe(seen, spec, 9_000);
    assert.equal(again.since, 1_000);
    const renewed = observe(again, heldBy('other', LEASE_MS, spec, Date.parse('1999-01-02')), 9_000);
    assert.equal(renewed.since, 9_000);
  });

  it('that was released is free at once', () => {
    const spec = released(heldBy('other', LEASE_MS, undefined, 0), 1);
    assert.ok(!isHeld(observe(undefined, spec, 0), 'me', 0));
  });

  it('counts its holders, and keeps since when the present one has it', () => {
    const first = heldBy('a', LEASE_MS, undefined, 0);
    assert.equal(first.leaseTransitions, 0);
    const renewed = heldBy('a', LEASE_MS, first, 5_000);
    assert.deepEqual([renewed.leaseTransitions, renewed.acquireTime], [0, first.acquireTime]);
    const taken = heldBy('b', LEASE_MS, renewed, 9_000);
    assert.deepEqual([taken.leaseTransitions, taken.acquireTime], [1, '1970-01-01T00:00:09.000000Z']);
  });

  it('with anything at all in it is read as one nobody holds, or somebody for an hour at most', () => {
    fc.assert(
      fc.property(fc.anything(), (spec) => {
        const seen = observe(undefined, spec, 0);
        assert.ok(seen.durationMs > 0 && seen.durationMs <= 3_600_000);
        assert.ok(!isHeld(seen, 'me', 3_600_000));
      }),
    );
  });
});

/** A replica as the elector is: what it saw, and until when its last renewal is good. */
interface Replica {
  readonly name: string;
  readonly offset: number;
  seen: Observed | undefined;
  until: number;
}

describe('an election', () => {
  it('has no two leaders at one time, however slow answers are, clocks differ and replicas stop', () => {
    const RENEW_MS = 10_000;
    const step = fc.record({
      who: fc.nat(2),
      wait: fc.constantFrom(0, 1, 500, 2_000, 5_000, 7_500, 14_999),
      // Time between the question and the API server's answer.
      latency: fc.constantFrom(0, 0, 0, 1, 200, 4_000, 9_999, 12_000),
      lost: fc.nat(4).map((n) => n === 0),
      end: fc.nat(19),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const replicas: Replica[] = ['a', 'b', 'c'].map((name, i) => ({
          name,
          offset: i * 1e9,
          seen: undefined,
          until: -1,
        }));
        let lease: LeaseSpec | undefined;
        let version = 0;
        let now = 0;
        for (const { who, wait, latency, lost, end } of steps) {
          now += wait;
          const replica = replicas[who]!;
          if (end === 0 && now < replica.until && lease !== undefined) {
            // It gives up, and no longer leads before that is written.
            replica.until = -1;
            if (lease.holderIdentity === replica.name) lease = released(lease, now + replica.offset);
            continue;
          }
          const asked = now;
          const read = version;
          // The answer is of now; it arrives later, and what is written arrives later still.
          if (lease !== undefined) replica.seen = observe(replica.seen, lease, now);
          if (replica.seen !== undefined && isHeld(replica.seen, replica.name, now)) {
            replica.until = -1;
            continue;
          }
          const spec = heldBy(replica.name, LEASE_MS, lease, now + replica.offset);
          if (lost || latency > RENEW_MS) continue;
          now += latency;
          if (version !== read) continue;
          lease = spec;
          version += 1;
          replica.seen = observe(replica.seen, spec, now);
          replica.until = asked + RENEW_MS;
          const leaders = replicas.filter(({ until }) => now < until).map(({ name }) => name);
          assert.ok(leaders.length <= 1, leaders.join());
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
