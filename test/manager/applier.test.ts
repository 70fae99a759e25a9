import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Applier } from '../../src/manager/applier.ts';
import { Events } from '../../src/manager/events.ts';
import { type Desired, GeneratedObjects } from '../../src/manager/generated.ts';
import { Lines } from '../../src/manager/lines.ts';
import { digest } from '../../src/manager/policies.ts';
import { KubernetesClient } from '../../src/sources/kubernetes/client.ts';
import { WORKLOAD_IDENTITIES } from '../../src/sources/kubernetes/resource.ts';
import { MemoryApi } from './memory-api.ts';

const SILENT = { warn: () => {}, debug: () => {} };

/** Until nothing is to be written any more. */
async function settled(applier: Applier): Promise<void> {
  let quiet = 0;
  while (quiet < 3) {
    const before = applier.statistics;
    await sleep(5);
    const { waiting, written } = applier.statistics;
    quiet = waiting === 0 && written === before.written ? quiet + 1 : 0;
  }
}

describe('the applier', () => {
  it('writes the last of what is said of a key', async () => {
    const applier = new Applier({ logger: SILENT, mayWrite: () => true });
    const done: number[] = [];
    for (const n of [1, 2, 3]) applier.add({ party: '', key: 'a', run: async () => void done.push(n) });
    await settled(applier);
    assert.deepEqual(done, [3]);
    await applier.close();
  });

  it('tries again what fails, later and later, and keeps nobody else from being written', async () => {
    const applier = new Applier({ logger: SILENT, mayWrite: () => true, leastMs: 4, mostMs: 20, random: () => 1 });
    let failures = 0;
    const at: number[] = [];
    const run = async (): Promise<void> => {
      at.push(performance.now());
      failures += 1;
      if (failures < 4) throw new Error('no');
    };
    applier.add({ party: 'shop', key: 'bad', run });
    const others: number[] = [];
    for (let n = 0; n < 20; n += 1)
      applier.add({ party: n < 10 ? 'shop' : 'town', key: `good ${n}`, run: async () => void others.push(n) });
    await settled(applier);
    assert.deepEqual([failures, others.length, applier.statistics.failed], [4, 20, 3]);
    const waits = at.slice(1).map((time, i) => time - at[i]!);
    assert.ok(waits[0]! >= 3 && waits[1]! >= 7 && waits[2]! >= 15, waits.join());
    await applier.close();
  });

  it('writes nothing for who does not lead', async () => {
    let leads = false;
    const applier = new Applier({ logger: SILENT, mayWrite: () => leads });
    applier.add({ party: '', key: 'a', run: () => assert.fail('written') });
    await settled(applier);
    leads = true;
    await sleep(10);
    assert.equal(applier.statistics.written, 0);
    await applier.close();
  });

  it('writes no faster than it may', async () => {
    let now = 0;
    const applier = new Applier({ logger: SILENT, mayWrite: () => true, rate: 10, burst: 5, monotonic: () => now });
    for (let n = 0; n < 20; n += 1) applier.add({ party: '', key: `${n}`, run: async () => {} });
    const wait = async (written: number): Promise<void> => {
      while (applier.statistics.written < written) await sleep(5);
      await sleep(30);
      assert.equal(applier.statistics.written, written);
    };
    await wait(5);
    now = 500;
    await wait(10);
    await applier.close();
  });
});

describe('lines of what waits', () => {
  const any = () => true;
  const order = (lines: Lines<string>): string => {
    const taken: string[] = [];
    for (let next = lines.take(any); next !== undefined; next = lines.take(any)) taken.push(next);
    return taken.join(' ');
  };
  const filled = (most: number, ...all: readonly string[]): Lines<string> => {
    const lines = new Lines<string>(most);
    for (const one of all) lines.set(one.slice(0, 1), one, one);
    return lines;
  };

  it('are served in turn: who has a thousand things to do keeps nobody waiting', () => {
    const lines = new Lines<string>(10_000);
    for (let n = 0; n < 1_000; n += 1) lines.set('a', `a${n}`, `a${n}`);
    lines.set('b', 'b0', 'b0');
    lines.set('b', 'b1', 'b1');
    lines.set('c', 'c0', 'c0');
    assert.match(order(lines), /^a0 b0 c0 a1 b1 a2 a3 /);
    assert.equal(lines.size, 0);
  });

  it('let whoever comes late have his turn after one of each', () => {
    const lines = filled(9, 'a0', 'a1', 'a2', 'b0', 'b1');
    assert.equal(lines.take(any), 'a0');
    lines.set('c', 'c0', 'c0');
    assert.equal(order(lines), 'b0 a1 c0 b1 a2');
  });

  it('pass over what may not go yet, which keeps its place', () => {
    const lines = filled(9, 'a0', 'a1', 'b0');
    assert.equal(
      lines.take((_, key) => key !== 'a0'),
      'a1',
    );
    assert.equal(
      lines.take(() => false),
      undefined,
    );
    assert.equal(order(lines), 'b0 a0');
  });

  it('that are full take from the longest for who has less than his share', () => {
    const lines = filled(4, 'a0', 'a1', 'a2', 'a3', 'a4');
    assert.equal(lines.set('a', 'a5', 'a5'), false);
    assert.equal(lines.set('b', 'b0', 'b0'), true);
    assert.equal(lines.set('b', 'b1', 'b1'), true);
    assert.equal(lines.set('b', 'b2', 'b2'), false);
    assert.equal(lines.size, 4);
    assert.equal(lines.get('a', 'a0'), undefined);
    assert.equal(order(lines), 'a2 b0 a3 b1');
  });

  it('forget what is not kept', () => {
    const lines = filled(9, 'a0', 'a1', 'b0');
    lines.filter((key) => key === 'a1');
    assert.equal(lines.size, 1);
    assert.equal(order(lines), 'a1');
  });
});

describe('generated objects', () => {
  const KEY = 'shop/deployment-web';
  const PATH = '/apis/sallyport.dev/v1alpha1/namespaces/shop/workloadidentities/deployment-web';
  const desired = (pods: number, spec: object = { workload: 'a' }): Map<string, Desired> =>
    new Map([[KEY, { spec, status: { pods, nodes: 1 }, statusDigest: `${pods}`, presentStatus: undefined }]]);

  it('are made, changed and taken away, and left alone while they are as they should be', async () => {
    const api = new MemoryApi();
    let now = 0;
    const applier = new Applier({ logger: SILENT, mayWrite: () => true });
    const client = new KubernetesClient(api);
    const objects = new GeneratedObjects({
      client,
      applier,
      resource: WORKLOAD_IDENTITIES,
      now: () => now,
      logger: SILENT,
    });
    const round = async (wanted: Map<string, Desired>): Promise<string[]> => {
      api.writes.length = 0;
      const stored = api.objects.get(PATH);
      const facts = { uid: 'u', generation: 1, digest: digest(stored?.spec) };
      const status = (stored?.status as { pods?: number } | undefined)?.pods;
      const seen = new Map(
        [...wanted].map(([key, one]) => [
          key,
          { ...one, presentStatus: status === undefined ? undefined : `${status}` },
        ]),
      );
      objects.reconcile(seen, stored === undefined ? new Map() : new Map([[KEY, facts]]));
      await settled(applier);
      return api.writes.map(({ method, path }) => `${method} ${path.split('/').slice(7).join('/')}`);
    };
    assert.deepEqual(await round(desired(1)), ['POST ']);
    assert.deepEqual(await round(desired(1)), ['PATCH deployment-web/status']);
    assert.deepEqual(await round(desired(1)), []);
    // Counts that go up and down are not written each time.
    assert.deepEqual(await round(desired(2)), []);
    assert.deepEqual(await round(desired(1)), []);
    now += 10_000;
    assert.deepEqual(await round(desired(2)), ['PATCH deployment-web/status']);
    assert.deepEqual(await round(desired(2, { workload: 'b' })), ['PATCH deployment-web']);
    assert.deepEqual(await round(new Map()), ['DELETE deployment-web']);
    await applier.close();
  });

  it('that somebody made by hand become ours', async () => {
    const api = new MemoryApi();
    api.objects.set(PATH, { metadata: { namespace: 'shop', name: 'deployment-web' }, spec: { workload: 'x' } });
    const applier = new Applier({ logger: SILENT, mayWrite: () => true });
    const client = new KubernetesClient(api);
    const objects = new GeneratedObjects({
      client,
      applier,
      resource: WORKLOAD_IDENTITIES,
      now: () => 0,
      logger: SILENT,
    });
    objects.reconcile(desired(1), new Map());
    await settled(applier);
    assert.deepEqual(api.objects.get(PATH)?.spec, { workload: 'a' });
    assert.equal(api.objects.get(PATH)?.metadata.labels?.['app.kubernetes.io/managed-by'], 'sallyport');
    await applier.close();
  });
});

describe('events', () => {
  const about = { apiVersion: 'v', kind: 'HardeningPolicy', namespace: 'shop', name: 'web', uid: 'u' };
  const made = (api: MemoryApi) => {
    const applier = new Applier({ logger: SILENT, mayWrite: () => true, rate: 1_000, burst: 1_000 });
    const client = new KubernetesClient(api);
    return { applier, events: new Events({ client, applier, instance: 'm', now: () => 0 }) };
  };

  it('that repeat become a series', async () => {
    const api = new MemoryApi();
    const { applier, events } = made(api);
    const event = { type: 'Warning', reason: 'Refused', action: 'Judge', note: 'bad' } as const;
    events.tell(about, event);
    await settled(applier);
    for (let n = 0; n < 9; n += 1) events.tell(about, event);
    await settled(applier);
    const [stored, ...others] = [...api.objects.values()] as unknown as { series: { count: number }; note: string }[];
    assert.deepEqual([others.length, stored?.series.count, stored?.note], [0, 10, 'bad']);
    await applier.close();
  });

  it('of one object are bounded, and no longer than they may be', async () => {
    const api = new MemoryApi();
    const { applier, events } = made(api);
    for (let n = 0; n < 100; n += 1) {
      events.tell(about, { type: 'Normal', reason: 'Accepted', action: 'Judge', note: `${n} ${'x'.repeat(5_000)}` });
    }
    await settled(applier);
    assert.deepEqual([api.objects.size, events.dropped], [20, 80]);
    for (const stored of api.objects.values()) assert.ok((stored as unknown as { note: string }).note.length <= 1_024);
    await applier.close();
  });
});
