import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Elector } from '../../src/manager/elector.ts';
import { KubernetesClient } from '../../src/sources/kubernetes/client.ts';
import { MemoryApi } from './memory-api.ts';

const SILENT = { info: () => {}, warn: () => {} };

describe('an elector', () => {
  const started: Elector[] = [];
  const elector = (api: MemoryApi, identity: string): Elector => {
    const times = { leaseMs: 1_000, renewMs: 500, retryMs: 50 };
    const common = { client: new KubernetesClient(api), namespace: 'system', name: 'manager', logger: SILENT };
    const made = new Elector({ ...common, ...times, identity });
    started.push(made);
    return made;
  };
  const until = async (what: () => boolean): Promise<void> => {
    while (!what()) await sleep(10);
  };
  afterEach(async () => {
    await Promise.all(started.splice(0).map((one) => one.close()));
  });

  it('leads alone, and is told of by the others', async () => {
    const api = new MemoryApi();
    const [a, b] = [elector(api, 'a'), elector(api, 'b')];
    a.start();
    await until(() => a.leading);
    b.start();
    await until(() => b.holder === 'a');
    assert.ok(!b.leading);
  });

  it('gives up as it ends, so that the next one begins at once', async () => {
    const api = new MemoryApi();
    const [a, b] = [elector(api, 'a'), elector(api, 'b')];
    const turns: string[] = [];
    a.onChange((leading) => turns.push(`a ${leading}`));
    b.onChange((leading) => turns.push(`b ${leading}`));
    a.start();
    await until(() => a.leading);
    b.start();
    await until(() => b.holder === 'a');
    await a.close();
    await until(() => b.leading);
    assert.deepEqual(turns, ['a true', 'a false', 'b true']);
  });

  it('stops leading by itself when it cannot renew, and leads again when it can', async () => {
    const api = new MemoryApi();
    const a = elector(api, 'a');
    a.start();
    await until(() => a.leading);
    api.up = false;
    await until(() => !a.leading);
    api.up = true;
    await until(() => a.leading);
  });

  it('takes what a holder that is silent has left, not before its lease has ended', async () => {
    const api = new MemoryApi();
    const dead = elector(api, 'dead');
    dead.start();
    await until(() => dead.leading);
    const stale = structuredClone(api.objects);
    await dead.close();
    // As if it had not been able to give it up.
    for (const [path, object] of stale) api.objects.set(path, object);
    const b = elector(api, 'b');
    b.start();
    await until(() => b.holder === 'dead');
    const seen = performance.now();
    await until(() => b.leading);
    assert.ok(performance.now() - seen >= 900, 'the lease was taken too early');
  });
});
