import assert from 'node:assert/strict';
import * as fc from 'fast-check';
import { decodePacket, type PacketRecord } from '../../src/events/decode.ts';
import { Digest } from '../../src/events/digest.ts';
import type { Event } from '../../src/events/event.ts';
import { EventJournal, type JournalOptions } from '../../src/events/journal.ts';
import { allowed, denied, names } from './record.ts';

function journal(options: Partial<JournalOptions> = {}): EventJournal {
  return new EventJournal({
    names,
    now: () => 0,
    keep: 8,
    queue: 4,
    followers: 2,
    sinks: [],
    observe: () => {},
    ...options,
  });
}

const packets = (count: number, change: (index: number) => Partial<PacketRecord>): PacketRecord[] =>
  Array.from({ length: count }, (_, index) => ({ ...denied, ...change(index) }));

describe('the journal', () => {
  it('keeps the newest events, oldest first', () => {
    const kept = journal();
    kept.addRecords(packets(20, (index) => ({ bytes: index })));
    const list = kept.list({}, 100);
    assert.deepEqual(
      list.map((event) => event.sequence),
      [13, 14, 15, 16, 17, 18, 19, 20],
    );
    assert.equal(kept.list({}, 3).length, 3);
    assert.equal(kept.list({}, 0).length, 0);
  });

  it('filters by type, verdict and by what the event is about', () => {
    const kept = journal();
    kept.addRecords([denied, { ...denied, kind: 'drop', endpoint: 'e2' }]);
    kept.addNotice({ type: 'policy', severity: 'info', action: 'applied', subject: 'shop/api', message: 'x' });
    assert.equal(kept.list({ types: ['drop'] }, 9).length, 1);
    assert.equal(kept.list({ about: 'e2' }, 9).length, 1);
    assert.equal(kept.list({ about: 'shop/api' }, 9).length, 3);
    assert.equal(kept.list({ about: 'shop/Service/web' }, 9).length, 2);
    assert.equal(kept.list({ verdicts: ['Alert'] }, 9).length, 0);
  });

  it('does not keep observations, and asks the kernel for them only while somebody follows flows', () => {
    const asked: boolean[] = [];
    const kept = journal({ observe: (on) => asked.push(on) });
    const plain = kept.follow({});
    const flows = kept.follow({ observations: true });
    kept.addRecords([allowed]);
    assert.equal(kept.list({ observations: true }, 9).length, 0);
    flows?.close();
    flows?.close();
    plain?.close();
    assert.deepEqual(asked, [true, false]);
  });

  it('refuses one follower more than may be', () => {
    const kept = journal();
    const first = kept.follow({});
    assert.ok(kept.follow({}));
    assert.equal(kept.follow({}), undefined);
    first?.close();
    assert.ok(kept.follow({}));
  });

  it('hands each sink the first sight and every repeat', () => {
    const counts: number[] = [];
    const kept = journal({ sinks: [(_, entry) => counts.push(entry.count)] });
    kept.addRecords([denied, denied, { ...denied, peer: 2 }]);
    assert.deepEqual(counts, [1, 2, 1]);
  });
});

describe('a follower', () => {
  it('gets what was added since it began, in order', async () => {
    const kept = journal();
    kept.addRecords([denied]);
    const follower = kept.follow({});
    kept.addRecords([denied, denied]);
    const batch = await follower?.next(1000);
    assert.deepEqual(
      batch?.map((event) => ('sequence' in event ? event.sequence : 0)),
      [2, 3],
    );
  });

  it('is told how many it missed when it was too slow, also when nothing comes after', async () => {
    const kept = journal();
    const follower = kept.follow({});
    kept.addRecords(packets(10, () => ({})));
    const batch = await follower?.next(1000);
    assert.equal(batch?.length, 5);
    assert.deepEqual(batch?.[4], { type: 'lost', time: '2026-01-02T03:04:05.678Z', count: 6 });
    assert.equal(follower?.lost, 6);
    assert.equal(kept.lostToFollowers, 6);
  });

  it('waits no longer than asked, then gets an empty list', async () => {
    const follower = journal().follow({});
    assert.deepEqual(await follower?.next(1), []);
  });

  it('drains what is queued after the end, then ends', async () => {
    const kept = journal();
    const follower = kept.follow({});
    kept.addRecords([denied]);
    kept.close();
    assert.equal((await follower?.next(1000))?.length, 1);
    assert.equal(await follower?.next(1000), undefined);
    assert.equal(kept.followers, 0);
  });

  it('never holds more than its queue, and counts every event it did not get', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(12), { maxLength: 30 }), async (bursts) => {
        const kept = journal();
        const follower = kept.follow({});
        let got = 0;
        let lost = 0;
        for (const burst of [...bursts, 0]) {
          kept.addRecords(packets(burst, () => ({})));
          for (const event of (await follower?.next(0)) ?? []) {
            if (event.type === 'lost') lost += event.count;
            else got += 1;
          }
        }
        assert.equal(
          got + lost,
          bursts.reduce((sum, burst) => sum + burst, 0),
        );
      }),
      { numRuns: 50 },
    );
  });
});

describe('the digest', () => {
  const event = (change: Partial<PacketRecord>, sequence = 1): Event =>
    decodePacket({ ...denied, ...change }, names, sequence);

  it('takes events that differ only in time, size and client port for the same', () => {
    const digest = new Digest(10);
    digest.add(event({}));
    const entry = digest.add(event({ time: 5, bytes: 9, source: { address: '10.0.0.2', port: 41000 } }));
    assert.equal(entry.count, 2);
    assert.equal(digest.list().length, 1);
  });

  const different: Partial<PacketRecord>[] = [
    { destination: { address: '10.0.0.3', port: 8081 } },
    { peer: 2 },
    { verdict: 3 },
    { rule: 6 },
    { protocol: 17 },
    { direction: 'ingress' },
    { endpoint: 'e2' },
    { kind: 'drop' },
    { stagedVerdict: 1 },
  ];
  for (const change of different) {
    it(`tells apart what differs in ${Object.keys(change).join()}`, () => {
      const digest = new Digest(10);
      digest.add(event({}));
      assert.equal(digest.add(event(change)).count, 1);
    });
  }

  it("keeps a quiet endpoint's one event through another's port scan", () => {
    const digest = new Digest(100);
    digest.add(event({ endpoint: 'quiet' }));
    for (let port = 1; port <= 5000; port += 1) {
      digest.add(event({ endpoint: 'scanner', destination: { address: '10.0.0.3', port } }, port));
    }
    const owners = digest.list().map((entry) => entry.owner);
    assert.equal(owners.length, 100);
    assert.ok(owners.includes('quiet'));
    assert.equal(digest.forgotten, 5001 - 100);
  });

  it('gives repeats once', () => {
    const digest = new Digest(10);
    for (let count = 0; count < 4; count += 1) digest.add(event({}));
    assert.deepEqual(
      digest.takeRepeats().map(({ repeats }) => repeats),
      [3],
    );
    assert.deepEqual(digest.takeRepeats(), []);
  });
});
