import assert from 'node:assert/strict';
import fc from 'fast-check';
import { workloadsOf } from '../../src/manager/identities.ts';
import type { PolicyObject } from '../../src/manager/policies.ts';
import { indexOf } from '../../src/manager/status.ts';
import { sameConfiguration, webhookConfiguration } from '../../src/manager/webhook/configuration.ts';
import type { Agents } from '../../src/manager/webhook/reporters.ts';
import { answer } from '../../src/manager/webhook/review.ts';
import type { LooseObject } from '../../src/sources/kubernetes/resource.ts';
import { DEPLOYMENT, pod, policy } from './facts.ts';

const IDENTITIES = indexOf(workloadsOf([pod({ name: 'web', owner: ['ReplicaSet', 'web-1'] })], DEPLOYMENT, 'local'));
const hasService = (namespace: string, name: string): boolean => namespace === 'shop' && name === 'front';
const AGENT = 'system:serviceaccount:system:agent';
const AGENTS: Agents = {
  namespace: 'system',
  account: 'agent',
  pod: (name) =>
    new Map([
      ['agent-x', { uid: 'u1', node: 'node1' }],
      ['agent-z', { uid: 'u3', node: '' }],
    ]).get(name),
};
const SPEC = { subject: { workload: 'Deployment/web' }, ingress: [] };

interface Asked {
  readonly kind?: string;
  readonly spec?: unknown;
  readonly old?: unknown;
  readonly operation?: string;
  readonly metadata?: object;
  readonly present?: readonly PolicyObject[];
}

interface Response {
  readonly uid: string;
  readonly allowed: boolean;
  readonly warnings?: readonly string[];
  readonly status?: { readonly message: string; readonly details: { readonly causes: readonly { field: string }[] } };
}

function ask({
  kind = 'WorkloadNetworkPolicy',
  spec = SPEC,
  old,
  operation,
  metadata = {},
  present = [],
}: Asked): Response {
  const object = { metadata: { name: 'web', ...metadata }, spec };
  const request = {
    uid: '1',
    kind: { group: 'sallyport.dev', version: 'v1alpha1', kind },
    operation: operation ?? (old === undefined ? 'CREATE' : 'UPDATE'),
    ...(kind.startsWith('Cluster') ? {} : { namespace: 'shop' }),
    object: operation === 'DELETE' ? null : object,
    oldObject: old === undefined ? null : { ...object, spec: old },
  };
  const review = { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request };
  const said = answer(review, () => ({ policies: present, identities: IDENTITIES, hasService }));
  assert.ok(said !== undefined && said !== 'unready');
  const { response } = said.body as { response: Response };
  assert.equal(response.uid, '1');
  assert.equal(response.allowed, said.allowed);
  return response;
}

describe('the webhook', () => {
  it('warns of a Service that is not there, as subject and as peer', () => {
    const from = [{ workload: 'Service/front' }, { workload: 'Service/gone' }, { workload: 'other/Service/front' }];
    assert.deepEqual(ask({ spec: { subject: { workload: 'Deployment/web' }, ingress: [{ from }] } }).warnings, [
      'there is no shop/Service/gone: it means nobody',
      'there is no other/Service/front: it means nobody',
    ]);
    assert.deepEqual(ask({ spec: { subject: { workload: 'Service/gone' }, ingress: [] } }).warnings, [
      'spec.subject: shop/Service/gone selects no pod there is',
      'there is no shop/Service/gone: it means nobody',
    ]);
  });

  it('refuses a node with a namespace, as the subject of one, and with labels', () => {
    const causes = (spec: object, kind?: string) =>
      ask({ spec, ...(kind === undefined ? {} : { kind }) }).status?.details.causes.map(({ field }) => field);
    const subject = 'spec.subject.workload';
    assert.deepEqual(causes({ subject: { workload: 'Node/one' }, ingress: [] }), [subject]);
    assert.deepEqual(causes({ subject: { workload: 'shop/Node/one' }, ingress: [] }), [subject]);
    const from = [{ workload: 'Node/one', labels: { zone: 'a' } }];
    const peers = { subject: { workload: 'Deployment/web' }, ingress: [{ from }] };
    assert.deepEqual(causes(peers), ['spec.ingress[0].from[0].labels']);
    const cluster = 'ClusterWorkloadNetworkPolicy';
    assert.equal(causes({ subject: { workload: 'Node/one' }, ingress: [] }, cluster), undefined);
  });

  it('lets a good policy pass without a word', () => {
    assert.deepEqual(ask({}), { uid: '1', allowed: true });
  });

  it('refuses a bad one with every field and reason', () => {
    const { allowed, status } = ask({
      spec: { subject: { workload: 'Deployment/web' }, ingress: [{ form: [] }, { ports: [{ protocol: 'TPC' }] }] },
    });
    assert.equal(allowed, false);
    assert.deepEqual(
      status?.details.causes.map(({ field }) => field),
      ['spec.ingress[0].form', 'spec.ingress[1].ports[0].protocol'],
    );
    assert.match(status?.message ?? '', /form: found the unknown field .*did you mean from/);
    assert.match(status?.message ?? '', /protocol: found "TPC".*did you mean TCP/);
  });

  it('refuses what cannot stand beside another policy, and names that one', () => {
    const spec = (action: string) => ({ ...SPEC, priority: 7, ingress: [{ action, from: [{ entity: 'world' }] }] });
    const present = [policy('WorkloadNetworkPolicy', 'other', spec('Deny'))];
    const { allowed, status } = ask({ spec: spec('Allow'), present });
    assert.equal(allowed, false);
    assert.match(status?.message ?? '', /spec\.priority: .*see WorkloadNetworkPolicy\/shop\/other/);
  });

  it('judges a new version without the former one of the same name', () => {
    const spec = (action: string) => ({ ...SPEC, priority: 7, ingress: [{ action, from: [{ entity: 'world' }] }] });
    const present = [policy('WorkloadNetworkPolicy', 'web', spec('Deny'))];
    assert.ok(ask({ spec: spec('Allow'), old: spec('Deny'), present }).allowed);
  });

  it('refuses ready rules that nobody has', () => {
    const spec = { subject: SPEC.subject, rules: [{ ready: ['no-kernel-parmeters'] }] };
    assert.match(
      ask({ kind: 'HardeningPolicy', spec }).status?.message ?? '',
      /spec\.rules\[0\]\.ready\[0\].*catalogue/,
    );
  });

  const broad = policy('ClusterWorkloadNetworkPolicy', 'guard', {
    subject: { workload: '*/*/*' },
    priority: 5,
    ingress: [{ name: 'all', action: 'Deny', from: [{ cidr: '10.0.0.0/8' }] }],
  });
  const narrow = { ...SPEC, ingress: [{ name: 'some', from: [{ cidr: '10.1.0.0/16' }] }] };
  const warned: [what: string, asked: Asked, warning: RegExp][] = [
    [
      'selects nothing',
      { spec: { ...SPEC, subject: { workload: 'Deployment/wep' } } },
      /^spec\.subject: .* selects no pod/,
    ],
    [
      'hardens nothing',
      { kind: 'HardeningPolicy', spec: { subject: { workload: 'Pod/x' }, rules: [{ ready: ['baseline'] }] } },
      /selects no pod/,
    ],
    ['locks out name lookups', { spec: { subject: SPEC.subject, egress: [] } }, /no rule for UDP port 53/],
    [
      'is shadowed by another policy',
      { spec: narrow, present: [broad] },
      /rule some can never decide: rule all \(Deny\) of guard, priority 5/,
    ],
    [
      'shadows another policy',
      {
        kind: 'ClusterWorkloadNetworkPolicy',
        spec: { subject: { workload: '*/*/*' }, priority: 5, ingress: [{ action: 'Deny' }] },
        present: [policy('WorkloadNetworkPolicy', 'late', narrow)],
      },
      /rule 0 \(Deny\) leaves nothing to rule some of shop\/late/,
    ],
    [
      'has a rule under another one',
      { spec: { ...SPEC, ingress: [{ action: 'Deny' }, { from: [{ entity: 'world' }] }] } },
      /spec\.ingress\[1\]: .*all of which rule 0 \(Deny\) decides/,
    ],
  ];
  for (const [what, asked, warning] of warned) {
    it(`warns of one that ${what}`, () => {
      const { allowed, warnings = [] } = ask(asked);
      assert.ok(allowed);
      assert.ok(
        warnings.some((line) => warning.test(line)),
        warnings.join('\n') || 'no warning',
      );
      assert.ok(warnings.every((line) => line.length <= 256 && !line.includes('\n')));
    });
  }

  it('lets what is stored be deleted, ended and labelled, whatever is wrong with it', () => {
    const bad = { subject: {} };
    assert.ok(ask({ operation: 'DELETE', spec: bad }).allowed);
    assert.ok(ask({ spec: bad, old: SPEC, metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } }).allowed);
    assert.ok(ask({ spec: bad, old: bad, metadata: { labels: { a: 'b' } } }).allowed);
    assert.ok(!ask({ spec: bad, old: SPEC }).allowed);
  });

  it('says no more than a message may hold', () => {
    const ingress = Array.from({ length: 500 }, () => ({ from: [{ cidr: 'x'.repeat(50) }] }));
    const { status } = ask({ spec: { ...SPEC, ingress } });
    assert.ok((status?.message.length ?? 0) < 20_000);
    assert.ok((status?.details.causes.length ?? 0) <= 50);
  });

  it('answers or refuses to, whatever it is asked, and never throws', () => {
    const request = fc.record({
      apiVersion: fc.constant('admission.k8s.io/v1'),
      kind: fc.constant('AdmissionReview'),
      request: fc.record({
        uid: fc.string({ minLength: 1, maxLength: 9 }),
        kind: fc.record({
          group: fc.constant('sallyport.dev'),
          version: fc.constant('v1alpha1'),
          kind: fc.constantFrom('WorkloadNetworkPolicy', 'ClusterHardeningPolicy', 'NodeReport', 'Pod'),
        }),
        operation: fc.constantFrom('CREATE', 'UPDATE', 'DELETE'),
        object: fc.oneof(fc.anything(), fc.record({ metadata: fc.anything(), spec: fc.anything() })),
        oldObject: fc.anything(),
        userInfo: fc.oneof(fc.anything(), fc.record({ username: fc.constant(AGENT), extra: fc.anything() })),
      }),
    });
    fc.assert(
      fc.property(fc.oneof(fc.anything(), request), (body) => {
        const plain: unknown = JSON.parse(JSON.stringify(body) ?? 'null');
        answer(plain, () => ({ policies: [], identities: undefined, agents: AGENTS }));
      }),
      { numRuns: 500 },
    );
  });
});

describe('reports of nodes', () => {
  const [POD, UID, NODE] = ['pod-name', 'pod-uid', 'node-name'].map((key) => `authentication.kubernetes.io/${key}`) as [
    string,
    string,
    string,
  ];
  const OWN = { [POD]: ['agent-x'], [UID]: ['u1'] };
  interface Written {
    readonly name?: string;
    readonly object?: string | null;
    readonly old?: string | null;
    readonly operation?: string;
    readonly username?: string;
    readonly extra?: object | null;
    readonly agents?: Agents | undefined;
  }
  const write = (wish: Written) => {
    const { name = 'node1', object = 'node1', old = null, operation = 'UPDATE', username = AGENT, extra = OWN } = wish;
    const called = (one: string | null) => (one === null ? null : { metadata: { name: one }, spec: { node: 'node1' } });
    const request = {
      uid: '1',
      kind: { group: 'sallyport.dev', version: 'v1alpha1', kind: 'NodeReport' },
      ...(name === '' ? {} : { name }),
      operation,
      userInfo: { username, groups: ['system:authenticated'], ...(extra === null ? {} : { extra }) },
      object: called(object),
      oldObject: called(old),
    };
    const review = { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request };
    return answer(review, () => ({
      policies: [],
      identities: undefined,
      agents: 'agents' in wish ? wish.agents : AGENTS,
    }));
  };
  const said = (wish: Written): Response => {
    const given = write(wish);
    assert.ok(given !== undefined && given !== 'unready');
    assert.equal(given.kind, 'NodeReport');
    return (given.body as { response: Response }).response;
  };

  const good: [what: string, wish: Written][] = [
    ['the agent of the node', {}],
    ['the agent of the node that makes it', { operation: 'CREATE' }],
    ['the agent of the node that takes it away', { operation: 'DELETE', object: null, old: 'node1' }],
    [
      'the agent whose token names the node',
      { extra: { ...OWN, [NODE]: ['node1'] }, agents: { ...AGENTS, pod: () => undefined } },
    ],
    ['an administrator', { username: 'kubernetes-admin', extra: null, object: 'node2', name: 'node2' }],
    ['the agents’ account of another installation', { username: 'system:serviceaccount:other:agent', name: 'node2' }],
  ];
  for (const [who, wish] of good)
    it(`are written by ${who}`, () => assert.deepEqual(said(wish), { uid: '1', allowed: true }));

  const two = { name: 'node2', object: 'node2' };
  const hostile: [what: string, wish: Written, why: RegExp][] = [
    ['the agent of another node', two, /report of node "node2", written by the agent of node node1/],
    ['the agent of another node that makes it', { ...two, operation: 'CREATE' }, /written by the agent of node node1/],
    [
      'the agent of another node that takes it away',
      { name: 'node2', operation: 'DELETE', object: null, old: 'node2' },
      /Cannot delete a report: .* of node node1/,
    ],
    ['whoever takes all of them away', { name: '', operation: 'DELETE', object: null, old: 'node2' }, /of node node1/],
    ['whoever says no name at all', { name: '', operation: 'DELETE', object: null, old: null }, /of node node1/],
    ['whoever calls it one thing and writes another', { name: 'node1', object: 'node2' }, /"node2"/],
    ['an agent whose token names another node', { extra: { ...OWN, [NODE]: ['node2'] } }, /of node node2/],
    ['an agent whose token names two', { ...two, extra: { ...OWN, [NODE]: ['node1', 'node2'] } }, /of several nodes/],
    ['a token of no pod', { extra: {} }, /of no pod/],
    ['a token of no pod, which says nothing', { extra: null }, /of no pod/],
    ['a token of two pods', { extra: { [POD]: ['agent-x', 'agent-y'], [UID]: ['u1'] } }, /of no pod/],
    ['a former pod of that name', { extra: { ...OWN, [UID]: ['u0'] } }, /no node that is known/],
    ['a pod that is not there', { extra: { [POD]: ['agent-y'], [UID]: ['u1'] } }, /no node that is known/],
    ['a pod that is on no node', { extra: { [POD]: ['agent-z'], [UID]: ['u3'] } }, /no node that is known/],
  ];
  for (const [who, wish, why] of hostile) {
    it(`are not written by ${who}`, () => {
      const { allowed, status } = said(wish);
      assert.equal(allowed, false);
      assert.match(status?.message ?? '', why);
    });
  }

  it('are not judged before it is known where agents are', () => {
    assert.equal(write({ agents: undefined }), 'unready');
  });
});

describe('the configuration of the webhook', () => {
  const request = {
    way: { service: { namespace: 'system', name: 'manager' } },
    bundle: 'PEM',
    namespace: 'system',
    known: new Set(['hardeningpolicies', 'nodereports', 'pods']),
  };
  interface Webhook {
    readonly rules: { resources: string[]; operations: string[]; scope: string }[];
    readonly failurePolicy: string;
    readonly timeoutSeconds: number;
    readonly sideEffects: string;
  }
  const configured = () => webhookConfiguration(request) as unknown as { readonly webhooks: Webhook[] };
  const stored = (): LooseObject & { readonly webhooks: Webhook[] } => ({
    metadata: { name: 'sallyport' },
    ...structuredClone(configured()),
  });

  it('asks about those of our kinds that are installed, and fails where nobody answers', () => {
    const [webhook] = configured().webhooks;
    assert.deepEqual(webhook?.rules[0]?.resources, ['hardeningpolicies']);
    const { failurePolicy, timeoutSeconds, sideEffects } = webhook ?? {};
    assert.deepEqual([failurePolicy, timeoutSeconds, sideEffects], ['Fail', 5, 'None']);
    assert.deepEqual(webhookConfiguration({ ...request, known: new Set() }), { webhooks: [] });
  });

  it('asks about everything that can be done to a report, and lets it pass where nobody answers', () => {
    const [, webhook] = configured().webhooks;
    const [rule] = webhook?.rules ?? [];
    assert.deepEqual(rule?.resources, ['nodereports', 'nodereports/status']);
    assert.deepEqual(rule.operations, ['CREATE', 'UPDATE', 'DELETE']);
    assert.equal(rule.scope, 'Cluster');
    const { failurePolicy, timeoutSeconds } = webhook ?? {};
    assert.deepEqual([failurePolicy, timeoutSeconds], ['Ignore', 3]);
    const without = webhookConfiguration({ ...request, known: new Set(['hardeningpolicies']) });
    assert.equal(without.webhooks.length, 1);
  });

  it('is written again where somebody changed it, not where the server added to it', () => {
    const added = stored();
    Object.assign(added.webhooks[0]!, { defaulted: true });
    Object.assign(added.metadata, { labels: { 'app.kubernetes.io/managed-by': 'Helm' } });
    assert.ok(sameConfiguration(configured(), added));
    const changed = structuredClone(added);
    changed.webhooks[0]!.rules[0]!.resources.push('pods');
    assert.ok(!sameConfiguration(configured(), changed));
    // As it comes.
    assert.ok(!sameConfiguration(configured(), { metadata: { name: 'sallyport' } }));
  });
});
