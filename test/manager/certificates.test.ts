// Loaded here, because they make globals, and mocha would blame the test that first loads them.
import 'reflect-metadata';
import '@peculiar/x509';
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import {
  type AgentAuthority,
  bundleOf,
  makeAuthority,
  nextAuthority,
  readAuthority,
  TOLD_MS,
  writeAuthority,
} from '../../src/manager/certificates/authority.ts';
import {
  type AskedCertificate,
  askedCertificate,
  askerOf,
  decide,
  USAGES,
} from '../../src/manager/certificates/decision.ts';
import { AuthorityKeeper, BUNDLE_FILE } from '../../src/manager/certificates/keeper.ts';
import { inTurn } from '../../src/manager/certificates/signer.ts';
import { SecretKeeper } from '../../src/manager/secrets.ts';
import { KubernetesClient } from '../../src/sources/kubernetes/client.ts';
import type { LooseObject } from '../../src/sources/kubernetes/resource.ts';
import { signCertificate } from '../../src/trust/authority.ts';
import { agentUri } from '../../src/trust/certificate.ts';
import { readRequest } from '../../src/trust/read-request.ts';
import { makeRequest } from '../../src/trust/request.ts';
import { MemoryApi } from './memory-api.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const INSTALLATION = { domain: 'cluster.local', namespace: 'system', account: 'agent' };
const POD = 'authentication.kubernetes.io/pod-name';
const UID = 'authentication.kubernetes.io/pod-uid';
const NODE = 'authentication.kubernetes.io/node-name';

const asked = (change: Partial<AskedCertificate> = {}): AskedCertificate => ({
  request: '',
  usages: USAGES,
  username: 'system:serviceaccount:system:agent',
  extra: { [POD]: ['agent-x'], [UID]: ['u1'] },
  approved: false,
  settled: false,
  ...change,
});
const pod = (spec: object = {}, metadata: object = {}, status: object = { phase: 'Running' }): LooseObject => ({
  metadata: { name: 'agent-x', namespace: 'system', uid: 'u1', ...metadata },
  spec: { nodeName: 'node1', serviceAccountName: 'agent', ...spec },
  status,
});
const publicKey = Uint8Array.of(1);
const wants = (uri: string) => ({ uri, publicKey });
const NODE1 = wants(agentUri('cluster.local', 'node1'));

function judge(
  one: AskedCertificate,
  running: LooseObject | undefined = pod(),
  read: Parameters<typeof decide>[3] = NODE1,
) {
  const asker = askerOf(one, INSTALLATION);
  return asker.denied ? asker : decide(one, asker, running, read, INSTALLATION);
}

describe('who may have an agent’s certificate', () => {
  it('is the agent’s pod, for the node it runs on', () => {
    assert.deepEqual(judge(asked()), { denied: false, node: 'node1', publicKey });
    const told = asked({ extra: { [POD]: ['agent-x'], [UID]: ['u1'], [NODE]: ['node1'] } });
    assert.deepEqual(judge(told), { denied: false, node: 'node1', publicKey });
  });

  const named = (uri: string) => judge(asked(), pod(), wants(uri));
  const told = (extra: AskedCertificate['extra']) => judge(asked({ extra }));
  const hostile: [who: string, answer: () => ReturnType<typeof judge>, reason: string][] = [
    ['a person', () => judge(asked({ username: 'alice' })), 'NotAnAgent'],
    ['an administrator', () => judge(asked({ username: 'kubernetes-admin' })), 'NotAnAgent'],
    ['a kubelet', () => judge(asked({ username: 'system:node:node1' })), 'NotAnAgent'],
    ['the manager', () => judge(asked({ username: 'system:serviceaccount:system:manager' })), 'NotAnAgent'],
    [
      'an account of that name elsewhere',
      () => judge(asked({ username: 'system:serviceaccount:shop:agent' })),
      'NotAnAgent',
    ],
    ['nobody', () => judge(asked({ username: '' })), 'NotAnAgent'],
    ['an account’s token that is of no pod', () => told({}), 'NoPod'],
    ['a token without the pod’s uid', () => told({ [POD]: ['agent-x'] }), 'NoPod'],
    ['a token of two pods', () => told({ [POD]: ['agent-x', 'agent-y'], [UID]: ['u1'] }), 'NoPod'],
    ['a token of an empty name', () => told({ [POD]: [''], [UID]: ['u1'] }), 'NoPod'],
    ['a token of another node', () => told({ [POD]: ['agent-x'], [UID]: ['u1'], [NODE]: ['node2'] }), 'NotItsPod'],
    [
      'a token of two nodes',
      () => told({ [POD]: ['agent-x'], [UID]: ['u1'], [NODE]: ['node1', 'node2'] }),
      'NotItsPod',
    ],
    [
      'a pod that is gone',
      () => decide(asked(), { denied: false, pod: 'agent-x', uid: 'u1' }, undefined, NODE1, INSTALLATION),
      'NotItsPod',
    ],
    ['a former pod of that name', () => judge(asked(), pod({}, { uid: 'u2' })), 'NotItsPod'],
    ['a pod of another account', () => judge(asked(), pod({ serviceAccountName: 'other' })), 'NotItsPod'],
    ['a pod that is on no node', () => judge(asked(), pod({ nodeName: undefined })), 'NotItsPod'],
    ['a pod that ends', () => judge(asked(), pod({}, { deletionTimestamp: '2026-01-01T00:00:00Z' })), 'NotItsPod'],
    ['a pod that has ended', () => judge(asked(), pod({}, {}, { phase: 'Failed' })), 'NotItsPod'],
    ['a pod of an odd kind', () => judge(asked(), { metadata: { name: 'agent-x' } }), 'NotItsPod'],
    ['the agent of node1 as node2', () => named(agentUri('cluster.local', 'node2')), 'WrongNode'],
    ['the agent of node1 of another domain', () => named(agentUri('other', 'node1')), 'WrongName'],
    ['the agent of node1 as the domain itself', () => named('spiffe://cluster.local'), 'WrongName'],
    ['the agent of node1 below itself', () => named('spiffe://cluster.local/agent/node1/x'), 'WrongName'],
    ['the agent of node1 in other letters', () => named('spiffe://cluster.local/agent/Node1'), 'WrongNode'],
    [
      'the agent of node1 as someone else’s workload',
      () => named('spiffe://cluster.local/ns/shop/sa/web'),
      'WrongName',
    ],
    [
      'an agent with what is no request',
      () => judge(asked(), pod(), new Error('Cannot use the request: it is none')),
      'Unreadable',
    ],
    ['an agent that wants to sign others', () => judge(asked({ usages: [...USAGES, 'cert sign'] })), 'WrongUsages'],
    [
      'an agent that wants another use',
      () => judge(asked({ usages: ['digital signature', 'client auth', 'code signing'] })),
      'WrongUsages',
    ],
    [
      'an agent that wants one use twice',
      () => judge(asked({ usages: ['client auth', 'client auth', 'server auth'] })),
      'WrongUsages',
    ],
    ['an agent that wants no use', () => judge(asked({ usages: [] })), 'WrongUsages'],
  ];
  for (const [who, answer, reason] of hostile) {
    it(`is not ${who}`, () => {
      const given = answer();
      assert.ok(given.denied, 'it was granted');
      assert.equal(given.reason, reason);
      assert.ok(given.message.length > 10 && given.message.length < 900);
    });
  }

  it('is not told at length what a stranger has written', () => {
    const given = judge(asked({ username: 'x'.repeat(100_000), usages: ['y'.repeat(100_000)] }));
    assert.ok(given.denied && given.message.length < 500);
  });
});

describe('a request as the API server has it', () => {
  const object = (status: object = {}, spec: object = {}): LooseObject => ({
    metadata: { name: 'r' },
    spec: { request: Buffer.from('text').toString('base64'), username: 'u', usages: ['a'], ...spec },
    status,
  });

  it('is settled when it is denied, has failed or is signed, and not by being approved', () => {
    const states = [
      {},
      { conditions: [{ type: 'Approved' }] },
      { conditions: [{ type: 'Denied' }] },
      { certificate: 'x' },
    ];
    const failed = { conditions: [{ type: 'Approved' }, { type: 'Failed' }] };
    const read = [...states, failed].map((status) => askedCertificate(object(status)));
    assert.deepEqual(
      read.map((one) => [one?.approved, one?.settled]),
      [
        [false, false],
        [true, false],
        [false, true],
        [false, true],
        [true, true],
      ],
    );
  });

  it('is nobody’s where it says nobody, and nothing where it is none', () => {
    const none = askedCertificate(object({}, { username: undefined, usages: null, extra: null }));
    assert.deepEqual([none?.username, none?.usages, none?.extra, none?.request], ['', [], {}, 'text']);
    assert.equal(askedCertificate({ metadata: { name: 'r' }, spec: { extra: { [POD]: 'agent-x' } } }), undefined);
    assert.equal(askedCertificate({ metadata: { name: 'r' }, spec: 7 }), undefined);
  });

  it('waits for those of others when its asker has asked before', () => {
    const waiting: [string, { asker: string }][] = [
      ...Array.from({ length: 5 }, (_, i) => [`a${i}`, { asker: 'a' }] as [string, { asker: string }]),
      ['b', { asker: 'b' }],
    ];
    assert.deepEqual(inTurn(new Map(waiting)), ['a0', 'b', 'a1', 'a2', 'a3', 'a4']);
  });
});

describe('the agents’ authority', () => {
  const PLAN = { domain: 'cluster.local', lifetimeMs: DAY };
  const authorities = (pem: string) =>
    (pem.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----\n?/g) ?? []).map((one) => new X509Certificate(one));

  it('is followed by another without a moment in which a certificate is not believed', async () => {
    const { publicKey: key } = await readRequest(makeRequest('cluster.local', 'n').request);
    let now = Date.parse('2027-01-01T00:00:00Z');
    let trust: AgentAuthority = await makeAuthority(PLAN, now);
    let told = now;
    const signed: { certificate: X509Certificate; at: number }[] = [];
    const signers = new Set<string>();
    let most = 0;
    for (const end = now + 3 * 365 * DAY; now < end; now += 6 * HOUR) {
      const before = bundleOf(trust);
      trust = (await nextAuthority(trust, PLAN, told, now)) ?? trust;
      const read = readAuthority(writeAuthority(trust));
      assert.deepEqual(read, trust);
      if (bundleOf(trust) !== before) told = now;
      const believed = authorities(bundleOf(trust));
      most = Math.max(most, believed.length);
      // Agents read what was there before, for a while yet.
      const late = authorities(before);
      assert.ok(
        late.some((one) => one.raw.equals(new X509Certificate(trust.authority.certificate).raw)),
        'signs untold',
      );
      if (now % (2 * DAY) === 0 || signed.length === 0) {
        const request = { domain: 'cluster.local', node: 'n', publicKey: key, lifetimeMs: DAY, now };
        signed.push({ certificate: new X509Certificate(await signCertificate(trust.authority, request)), at: now });
        signers.add(trust.authority.certificate);
      }
      for (const { certificate, at } of signed.slice(-3)) {
        if (at + DAY <= now) continue;
        assert.ok(
          believed.some((one) => certificate.verify(one.publicKey)),
          'a certificate that lives is not believed',
        );
      }
    }
    assert.ok(signers.size >= 4 && signers.size <= 6, `${signers.size} authorities in three years`);
    assert.equal(most, 2);
  }).timeout(60_000);

  it('does not sign with the next one as long as agents may not have heard of it', async () => {
    const now = Date.parse('2027-01-01T00:00:00Z');
    const first = await makeAuthority(PLAN, now);
    const later = now + 300 * DAY;
    const two = await nextAuthority(first, PLAN, now, later);
    assert.ok(two?.next !== undefined);
    assert.equal(two.authority.certificate, first.authority.certificate);
    assert.equal(await nextAuthority(two, PLAN, undefined, later + 30 * DAY), undefined);
    assert.equal(await nextAuthority(two, PLAN, later, later + TOLD_MS - 1), undefined);
    const three = await nextAuthority(two, PLAN, later, later + TOLD_MS);
    assert.equal(three?.authority.certificate, two.next.certificate);
    assert.equal(three?.previous?.certificate, first.authority.certificate);
  });

  it('is made anew only where it has ended with nobody to follow it', async () => {
    const now = Date.parse('2027-01-01T00:00:00Z');
    const first = await makeAuthority(PLAN, now);
    const over = now + 366 * DAY;
    const made = await nextAuthority(first, PLAN, now, over);
    assert.notEqual(made?.authority.certificate, first.authority.certificate);
    const next = (await makeAuthority(PLAN, over - DAY)).authority;
    assert.deepEqual(await nextAuthority({ ...first, next }, PLAN, undefined, over), { authority: next });
  });

  it('is not read where half of it is missing, or the key is another’s', async () => {
    const [one, two] = await Promise.all([makeAuthority(PLAN, Date.now()), makeAuthority(PLAN, Date.now())]);
    const texts = writeAuthority(one);
    assert.equal(readAuthority({}), undefined);
    assert.equal(readAuthority({ ...texts, 'ca.key': '' }), undefined);
    assert.equal(readAuthority({ ...texts, 'ca.key': two.authority.key }), undefined);
    assert.equal(readAuthority({ ...texts, 'ca.crt': 'x' }), undefined);
    assert.deepEqual(readAuthority({ ...texts, 'previous-ca.crt': 'x', 'previous-ca.until': 'never' }), one);
  });

  const signal = new AbortController().signal;
  const SECRET = '/api/v1/namespaces/system/secrets/ca';
  const BUNDLE = '/api/v1/namespaces/system/configmaps/ca';
  const keeper = (api: MemoryApi) => {
    const client = new KubernetesClient(api);
    const errors: unknown[] = [];
    const secret = new SecretKeeper(client, 'system', 'ca');
    const logger = { info: () => {}, error: (...all: unknown[]) => void errors.push(all) };
    const bundle = { namespace: 'system', name: 'ca' };
    return { errors, keeper: new AuthorityKeeper({ client, secret, bundle, plan: PLAN, logger, now: Date.now }) };
  };
  const published = (api: MemoryApi): string => {
    const { data } = api.objects.get(BUNDLE) as LooseObject & { data: Record<string, string> };
    return data[BUNDLE_FILE] ?? '';
  };

  it('is made once, told to agents, and signs only then', async () => {
    const api = new MemoryApi().ship(SECRET).ship(BUNDLE);
    const [one, two] = [keeper(api).keeper, keeper(api).keeper];
    const signs = () => one.signing?.certificate;
    assert.equal(signs(), undefined);
    await one.round(signal);
    await two.round(signal);
    assert.deepEqual(two.signing, one.signing);
    assert.equal(published(api), signs() ?? 'nothing signs');
    assert.equal(api.writes.length, 2);
    assert.doesNotMatch(published(api), /PRIVATE/);
  });

  it('signs nothing while agents have no place to read of it', async () => {
    const api = new MemoryApi().ship(SECRET);
    const one = keeper(api).keeper;
    await assert.rejects(one.round(signal), { code: 'NOT_FOUND', hint: /manager-objects\.yaml/ });
    const signs = () => one.signing?.certificate;
    assert.equal(signs(), undefined);
    api.ship(BUNDLE);
    await one.round(signal);
    assert.equal(published(api), signs());
  });

  it('is told again where somebody has changed what agents believe', async () => {
    const api = new MemoryApi().ship(SECRET).ship(BUNDLE);
    const one = keeper(api).keeper;
    await one.round(signal);
    const stranger = (await makeAuthority(PLAN, Date.now())).authority.certificate;
    api.objects.set(BUNDLE, {
      metadata: { name: 'ca', namespace: 'system', resourceVersion: '9' },
      data: { [BUNDLE_FILE]: stranger },
    } as never);
    await one.round(signal);
    assert.equal(published(api), one.signing?.certificate);
  });

  it('that is somebody’s, or half, is not overwritten, and nothing is signed with it', async () => {
    const api = new MemoryApi().ship(SECRET).ship(BUNDLE);
    const { keeper: one, errors } = keeper(api);
    await one.round(signal);
    const data = { 'ca.crt': Buffer.from('mine').toString('base64') };
    api.objects.set(SECRET, { metadata: { name: 'ca', resourceVersion: '9' }, data } as never);
    const writes = api.writes.length;
    await one.round(signal);
    await one.round(signal);
    assert.equal(api.writes.length, writes);
    assert.equal(errors.length, 1);
    assert.equal(one.signing, undefined);
  });
});
