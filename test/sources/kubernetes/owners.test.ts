import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { formatWorkload } from '../../../src/model/workload.ts';
import type { Pod, PodOwner } from '../../../src/sources/cri/pod.ts';
import type { KubernetesClient } from '../../../src/sources/kubernetes/client.ts';
import { KubernetesError } from '../../../src/sources/kubernetes/error.ts';
import { guessOwner, PodOwners } from '../../../src/sources/kubernetes/owners.ts';
import type { KnownPod } from '../../../src/sources/kubernetes/pods.ts';
import type { ApiObject, ResourceType } from '../../../src/sources/kubernetes/resource.ts';

const HASH = '6b5fbb6bc4';
const labels = { app: 'web', 'pod-template-hash': HASH };
const web: Pod = { namespace: 'shop', name: `web-${HASH}-x9h7s`, uid: 'u1', labels };
const known: KnownPod = {
  ...web,
  ports: [{ name: 'http', protocol: 'TCP', port: 80 }],
  credentials: { serviceAccount: 'web', hostNetwork: false },
  controller: { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: `web-${HASH}`, uid: 'rs1' },
};
const deployment = [{ apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid: 'd', controller: true }];
const replicaSet = (owner?: string): ApiObject => ({
  metadata: {
    name: `web-${HASH}`,
    uid: 'rs1',
    ...(owner === undefined
      ? {}
      : { ownerReferences: [{ apiVersion: 'x', kind: owner, name: 'top', uid: 'd', controller: true }] }),
  },
});

describe('the owner of a pod', () => {
  let pods: Map<string, KnownPod>;
  let now: number;
  let asked: string[];
  let answer: () => Promise<ApiObject>;
  let owners: PodOwners;
  let told = 0;
  let given = 0;
  let changed: () => void = () => {};

  beforeEach(() => {
    pods = new Map();
    now = 1_000_000;
    asked = [];
    told = 0;
    given = 0;
    answer = async () => replicaSet('Deployment');
    owners = make();
  });
  afterEach(() => owners.close());

  function make(): PodOwners {
    const made = new PodOwners({
      client: {
        getMetadata: (resource: ResourceType, { name }: { name: string }) => {
          asked.push(`${resource.kind} ${name}`);
          return answer();
        },
      } as unknown as KubernetesClient,
      pods: {
        snapshot: () => new Map(pods),
        onChange: (listener: () => void) => {
          changed = listener;
          return () => {};
        },
      } as never,
      now: () => now,
      waitMs: 5_000,
      onGiven: () => {
        given += 1;
      },
    });
    made.onChange(() => {
      told += 1;
    });
    return made;
  }

  const know = (pod: KnownPod): void => {
    pods = new Map([[`${pod.namespace}/${pod.name}`, pod]]);
    changed();
  };
  const owner = (pod = web): string => {
    const found = owners.resolve(pod);
    return found === 'not yet' ? found : formatWorkload(found.workload);
  };

  it('is asked of its ReplicaSet once, and not told of before the answer', async () => {
    know(known);
    assert.equal(owner(), 'not yet');
    assert.equal(owner(), 'not yet');
    told = 0;
    await sleep(1);
    assert.equal(told, 1);
    assert.equal(owner(), 'shop/Deployment/top');
    assert.deepEqual(asked, [`ReplicaSet web-${HASH}`]);
    const found = owners.resolve(web);
    assert.deepEqual(found !== 'not yet' && found.ports, known.ports);
  });

  const tops: readonly { name: string; pod: KnownPod; answer?: ApiObject; owner: string }[] = [
    { name: 'a ReplicaSet nobody owns', pod: known, answer: replicaSet(), owner: `shop/ReplicaSet/web-${HASH}` },
    {
      name: 'a ReplicaSet of another controller',
      pod: known,
      answer: replicaSet('Rollout'),
      owner: 'shop/Rollout/top',
    },
    {
      name: 'a Job of a CronJob',
      pod: { ...known, controller: { apiVersion: 'batch/v1', kind: 'Job', name: 'x-1', uid: 'rs1' } },
      answer: replicaSet('CronJob'),
      owner: 'shop/CronJob/top',
    },
  ];
  for (const { name, pod, answer: said, owner: wanted } of tops) {
    it(`is found behind ${name}`, async () => {
      answer = async () => said ?? replicaSet();
      know(pod);
      owner();
      await sleep(1);
      assert.equal(owner(), wanted);
    });
  }

  it('is its controller at once, whatever that is', () => {
    for (const kind of ['StatefulSet', 'DaemonSet', 'Whatever']) {
      know({ ...known, uid: kind, controller: { ...known.controller!, kind } });
      assert.equal(owner({ ...web, uid: kind }), `shop/${kind}/web-${HASH}`);
    }
    assert.deepEqual(asked, []);
  });

  it('is the pod itself where nobody made it', () => {
    const { controller: _, ...alone } = known;
    know(alone);
    assert.equal(owner(), `shop/Pod/${web.name}`);
  });

  it('is not told of until somebody has told of the pod, then guessed, then put right once', async () => {
    assert.equal(owner(), 'not yet');
    now += 4_999;
    assert.equal(owner(), 'not yet');
    now += 1;
    assert.equal(owner(), 'shop/Deployment/web');
    know(known);
    // What was said once is not taken back while the sure answer is waited for.
    assert.equal(owner(), 'shop/Deployment/web');
    await sleep(1);
    assert.equal(owner(), 'shop/Deployment/top');
  });

  it('is guessed with all that another pod of its template is known to have, and of no other template', async () => {
    answer = async () => ({ metadata: { ...replicaSet('Deployment').metadata, ownerReferences: deployment } });
    know(known);
    owner();
    await sleep(1);
    assert.equal(owner(), 'shop/Deployment/web');
    const others = ['u2', 'u3'].map((uid) => ({ ...web, uid, name: `web-${HASH}-${uid}abc` }));
    const [sibling, stranger] = [others[0]!, { ...others[1]!, labels: { ...labels, 'pod-template-hash': 'x' } }];
    for (const pod of [sibling, stranger]) assert.equal(owner(pod), 'not yet');
    now += 5_000;
    const { ports, credentials } = known;
    const { workload } = owners.resolve(web) as PodOwner;
    assert.deepEqual(owners.resolve(sibling), { workload, ports, credentials, sure: false });
    const { credentials: none } = owners.resolve(stranger) as PodOwner;
    assert.equal(none, undefined);
  });

  it('is guessed at once when it cannot be asked for, and asked for again later', async () => {
    answer = async () => {
      throw new KubernetesError('UNREACHABLE', 'away');
    };
    know(known);
    assert.equal(owner(), 'not yet');
    await sleep(1);
    assert.equal(owner(), 'shop/Deployment/web');
    assert.equal(asked.length, 1);
    answer = async () => replicaSet('Rollout');
    now += 30_001;
    assert.equal(owner(), 'shop/Deployment/web');
    await sleep(1);
    assert.equal(owner(), 'shop/Rollout/top');
  });

  it('stays what it was when the API server has forgotten the pod', async () => {
    know(known);
    owner();
    await sleep(1);
    assert.equal(owner(), 'shop/Deployment/top');
    pods = new Map();
    changed();
    now += 60_000;
    assert.equal(owner(), 'shop/Deployment/top');
  });

  it('stays what it was for the next agent, guesses too, without a wait', async () => {
    now += 1;
    owner();
    now += 5_000;
    assert.equal(owner(), 'shop/Deployment/web');
    const kept = JSON.parse(JSON.stringify([...owners.given]));
    owners.close();
    owners = make();
    owners.remember(new Map(kept));
    assert.equal(owner(), 'shop/Deployment/web');
    know(known);
    assert.equal(owner(), 'shop/Deployment/web');
  });

  it('is of a ReplicaSet of the same name made anew no longer', async () => {
    answer = async () => ({ metadata: { ...replicaSet('Rollout').metadata, uid: 'another' } });
    know(known);
    owner();
    await sleep(1);
    assert.equal(owner(), 'shop/Deployment/web');
  });

  it('is of no other namespace, whosever uid a pod names as its owner’s', async () => {
    answer = async () => replicaSet('Deployment');
    know(known);
    owner();
    await sleep(1);
    assert.equal(owner(), 'shop/Deployment/top');
    const thief: Pod = { ...web, namespace: 'evil', uid: 'u2' };
    answer = async () => {
      throw new KubernetesError('NOT_FOUND', 'no such ReplicaSet');
    };
    for (const pod of [known, { ...known, namespace: 'evil', uid: 'u2' }]) {
      pods.set(`${pod.namespace}/${pod.name}`, pod);
    }
    changed();
    owner(thief);
    await sleep(1);
    assert.equal(owner(thief), 'evil/Deployment/web');
    assert.equal(asked.length, 2);
    assert.equal(owner(), 'shop/Deployment/top');
  });

  it('is found by the hash of a static pod’s file, and by no hash another pod claims', () => {
    const { controller: _, ...alone } = known;
    know({ ...alone, uid: 'of its mirror', hash: 'u1' });
    assert.equal(owner(), `shop/Pod/${web.name}`);
    // Named last, and with the victim's uid.
    const thief: KnownPod = { ...alone, namespace: 'zoo', name: 'thief', uid: 'u9', hash: 'u1', labels: { app: 'x' } };
    pods = new Map([
      [`shop/${web.name}`, { ...alone, uid: 'u1' }],
      ['zoo/thief', thief],
    ]);
    changed();
    const found = owners.resolve(web);
    assert.ok(found !== 'not yet');
    assert.deepEqual([formatWorkload(found.workload), found.labels], [`shop/Pod/${web.name}`, labels]);
  });

  it('is its controller, also where that is called as something every object has', () => {
    for (const kind of ['constructor', 'toString', 'hasOwnProperty']) {
      know({ ...known, uid: kind, controller: { ...known.controller!, kind } });
      assert.equal(owner({ ...web, uid: kind }), `shop/${kind}/web-${HASH}`);
    }
    assert.deepEqual(asked, []);
  });

  it('is remembered only when it is news', async () => {
    know(known);
    owner();
    await sleep(1);
    for (let i = 0; i < 5; i++) owner();
    assert.equal(given, 1);
    know({ ...known, labels: { ...labels, color: 'blue' } });
    owner();
    assert.equal(given, 2);
  });

  const guesses: readonly { name: string; labels: Record<string, string>; guess: string | undefined }[] = [
    { name: `web-${HASH}-abcde`, labels: { 'pod-template-hash': HASH }, guess: 'shop/Deployment/web' },
    { name: 'web-other-abcde', labels: { 'pod-template-hash': HASH }, guess: 'shop/ReplicaSet/web-other' },
    { name: 'db-0', labels: { 'statefulset.kubernetes.io/pod-name': 'db-0' }, guess: 'shop/StatefulSet/db' },
    {
      name: 'log-abcde',
      labels: { 'controller-revision-hash': 'x', 'pod-template-generation': '1' },
      guess: 'shop/DaemonSet/log',
    },
    { name: 'once-abcde', labels: { 'job-name': 'once' }, guess: 'shop/Job/once' },
    { name: 'nightly-27000000-abcde', labels: { 'job-name': 'nightly-27000000' }, guess: 'shop/CronJob/nightly' },
    { name: 'nightly-x', labels: { 'batch.kubernetes.io/job-name': 'nightly-27' }, guess: 'shop/Job/nightly-27' },
    { name: 'alone', labels: { app: 'x' }, guess: undefined },
    { name: '../x-abcde', labels: { 'pod-template-hash': '' }, guess: undefined },
  ];
  for (const { name, labels: written, guess } of guesses) {
    it(`is guessed to be ${guess ?? 'itself'} of ${name}`, () => {
      const found = guessOwner({ namespace: 'shop', name, labels: written });
      assert.equal(found === undefined ? undefined : formatWorkload(found), guess);
    });
  }
});
