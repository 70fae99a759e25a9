import assert from 'node:assert/strict';
import fc from 'fast-check';
import { IdentityLedger, workloadsOf } from '../../src/manager/identities.ts';
import { objectName } from '../../src/manager/names.ts';
import { deriveIdentity, formatIdentity } from '../../src/model/identity.ts';
import { workloadIdentitySchema } from '../../src/model/schema/workload-identity.ts';
import { DEPLOYMENT, type PodWish, pod } from './facts.ts';

const web = (name: string, more: Partial<PodWish> = {}): PodWish => ({ name, owner: ['ReplicaSet', 'web-1'], ...more });
const workloads = (...pods: PodWish[]) => workloadsOf(pods.map(pod), DEPLOYMENT, 'local');

const THERE = (namespace: string): boolean => namespace === 'shop';

describe('identities of workloads', () => {
  const owners: [what: string, owner: PodWish['owner'], key: string | undefined][] = [
    ['a deployment, through its replica set', ['ReplicaSet', 'web-1'], 'shop/deployment-web'],
    ['a cron job, through its job', ['Job', 'tidy-1'], 'shop/cronjob-tidy'],
    ['a stateful set', ['StatefulSet', 'db'], 'shop/statefulset-db'],
    ['a kind of somebody else', ['Rollout', 'web'], 'shop/rollout-web-xb9406209b5'],
    ['nobody', undefined, 'shop/pod-a'],
    ['a replica set nobody has told of yet', ['ReplicaSet', 'new-1'], undefined],
  ];
  for (const [what, owner, key] of owners) {
    it(`are those of ${what}`, () => {
      const found = [...workloads({ name: 'a', ...(owner === undefined ? {} : { owner }) }).keys()];
      assert.deepEqual(found, key === undefined ? [] : [key]);
    });
  }

  it('are one for each container and set of labels, and one for what a pod shares', () => {
    const facts = workloads(
      web('a', { containers: ['app', 'side'], labels: { app: 'web', 'pod-template-hash': '1' } }),
      web('b', { containers: ['app', 'side'], labels: { app: 'web', 'pod-template-hash': '2' } }),
      web('c', { containers: ['app'], labels: { app: 'web', track: 'canary' } }),
    ).get('shop/deployment-web')!;
    const named = [...facts.identities.values()].map(({ container, labels }) => `${container} ${labels.track ?? ''}`);
    assert.deepEqual(named.sort(), [' ', ' canary', 'app ', 'app canary', 'side ']);
    const workload = { namespace: 'shop', kind: 'Deployment', name: 'web' };
    const { id } = deriveIdentity('local', {
      workload,
      container: 'side',
      labels: { app: 'web', 'sallyport.dev/service-account': '' },
    });
    assert.ok(facts.identities.has(id));
  });

  it('count pods that run, and where', () => {
    const facts = workloads(
      web('a'),
      web('b', { node: 'two' }),
      web('c', { phase: 'Pending' }),
      web('d', { phase: 'Succeeded', node: 'three' }),
    ).get('shop/deployment-web')!;
    assert.deepEqual([facts.pods, facts.nodes], [2, 2]);
    const app = [...facts.identities.values()].find(({ container }) => container === 'app')!;
    assert.deepEqual(
      [...app.nodes],
      [
        ['one', 1],
        ['two', 1],
      ],
    );
  });

  it('do not change when pods are replaced, however many and in whatever order', () => {
    const ledger = new IdentityLedger(60_000);
    const before = JSON.stringify(
      ledger.desired(workloads(web('a'), web('b')), 0, THERE).get('shop/deployment-web')?.spec,
    );
    fc.assert(
      fc.property(fc.array(fc.array(fc.nat(5), { maxLength: 4 }), { maxLength: 8 }), (generations) => {
        for (const [at, names] of generations.entries()) {
          const now = workloads(...names.map((name) => web(`p${name}`, { node: `n${name}` })));
          const spec = ledger.desired(now, at * 1_000, THERE).get('shop/deployment-web')?.spec;
          assert.equal(JSON.stringify(spec), before);
        }
      }),
    );
  });

  it('stay for a while after the last pod, and are gone then', () => {
    const ledger = new IdentityLedger(60_000);
    ledger.desired(workloads(web('a')), 0, THERE);
    const [kept] = ledger.desired(new Map(), 59_999, THERE).values();
    assert.deepEqual(kept?.status, { pods: 0, nodes: 0 });
    assert.equal(ledger.desired(new Map(), 60_000, THERE).size, 0);
  });

  it('are forgotten sooner where those of pods that are gone fill the memory, and never those of pods there are', () => {
    const ledger = new IdentityLedger(1_000_000);
    const key = (i: number) => `${'k'.repeat(60)}${i}`;
    const labels = Object.fromEntries(Array.from({ length: 64 }, (_, i) => [key(i), 'v'.repeat(63)]));
    const stays = web('stays');
    let left = new Map<string, unknown>();
    for (let round = 0; round < 40; round++) {
      const gone = Array.from({ length: 200 }, (_, i): PodWish => ({ name: `p${round}-${i}`, labels }));
      left = ledger.desired(workloads(stays, ...gone), round, THERE);
    }
    // Two identities of 8 KB each pod, of 8,000 pods: 64 MiB hold about half of them, and those that went last.
    assert.ok(left.size > 3_000 && left.size < 5_000, String(left.size));
    assert.ok(left.has('shop/deployment-web') && left.has('shop/pod-p38-0') && !left.has('shop/pod-p0-0'));
  });

  it('go with their namespace at once', () => {
    const ledger = new IdentityLedger(60_000);
    ledger.desired(workloads(web('a')), 0, THERE);
    assert.equal(ledger.desired(new Map(), 1, () => false).size, 0);
    assert.equal(ledger.desired(new Map(), 2, THERE).size, 0);
  });

  it('are taken over from a former leader, and go as late as if it had just been', () => {
    const ledger = new IdentityLedger(60_000);
    const written = new IdentityLedger(60_000).desired(workloads(web('a')), 0, THERE).get('shop/deployment-web')!.spec;
    ledger.adopt(new Map([['shop/deployment-web', written]]), 500_000);
    assert.deepEqual(ledger.desired(new Map(), 559_999, THERE).get('shop/deployment-web')?.spec, written);
    assert.equal(ledger.desired(new Map(), 560_000, THERE).size, 0);
  });

  it('are as their schema says', () => {
    const [object] = new IdentityLedger(1).desired(workloads(web('a', { containers: ['x', 'y'] })), 0, THERE).values();
    assert.ok(workloadIdentitySchema.safeParse(object).success);
    assert.ok(object?.spec.identities.every(({ id }) => id === formatIdentity(BigInt(`0x${id}`))));
  });
});

describe('names of generated objects', () => {
  it('are plain where they can be', () => {
    assert.equal(objectName({ kind: 'Deployment', name: 'web' }), 'deployment-web');
  });

  it('are names of Kubernetes, and no two workloads have the same', () => {
    const part = fc.stringMatching(/^[A-Za-z0-9._:@-]{1,253}$/);
    const kind = fc.oneof(
      fc.constantFrom('Deployment', 'deployment', 'DEPLOYMENT'),
      fc.stringMatching(/^[A-Za-z0-9._:@-]{1,63}$/),
    );
    const seen = new Map<string, string>();
    fc.assert(
      fc.property(kind, part, (one, name) => {
        const made = objectName({ kind: one, name });
        assert.match(made, /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/);
        const known = seen.get(made);
        assert.ok(known === undefined || known === `${one}\0${name}`, `${known} and ${one}/${name} are both ${made}`);
        seen.set(made, `${one}\0${name}`);
      }),
      { numRuns: 2_000 },
    );
  });

  it('cannot be made to meet by names that look hashed', () => {
    const long = objectName({ kind: 'Deployment', name: 'x'.repeat(253) });
    assert.notEqual(objectName({ kind: 'Deployment', name: long.slice('deployment-'.length) }), long);
    assert.notEqual(objectName({ kind: 'A', name: 'b-c' }), objectName({ kind: 'a', name: 'b-c' }));
  });
});
