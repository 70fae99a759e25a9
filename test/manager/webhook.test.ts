import assert from 'node:assert/strict';
import fc from 'fast-check';
import { workloadsOf } from '../../src/manager/identities.ts';
import type { PolicyObject } from '../../src/manager/policies.ts';
import { indexOf } from '../../src/manager/status.ts';
import { sameConfiguration, webhookConfiguration } from '../../src/manager/webhook/configuration.ts';
import { answer } from '../../src/manager/webhook/review.ts';
import type { LooseObject } from '../../src/sources/kubernetes/resource.ts';
import { DEPLOYMENT, pod, policy } from './facts.ts';

const IDENTITIES = indexOf(workloadsOf([pod({ name: 'web', owner: ['ReplicaSet', 'web-1'] })], DEPLOYMENT, 'local'));
const hasService = (namespace: string, name: string): boolean => namespace === 'shop' && name === 'front';
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
  assert.ok(said !== undefined);
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
          kind: fc.constantFrom('WorkloadNetworkPolicy', 'ClusterHardeningPolicy', 'Pod'),
        }),
        operation: fc.constantFrom('CREATE', 'UPDATE', 'DELETE'),
        object: fc.oneof(fc.anything(), fc.record({ metadata: fc.anything(), spec: fc.anything() })),
        oldObject: fc.anything(),
      }),
    });
    fc.assert(
      fc.property(fc.oneof(fc.anything(), request), (body) => {
        const plain: unknown = JSON.parse(JSON.stringify(body) ?? 'null');
        answer(plain, () => ({ policies: [], identities: undefined }));
      }),
      { numRuns: 500 },
    );
  });
});

describe('the configuration of the webhook', () => {
  const request = {
    name: 'sallyport',
    way: { service: { namespace: 'system', name: 'manager' } },
    bundle: 'PEM',
    namespace: 'system',
    known: new Set(['hardeningpolicies', 'pods']),
  };
  const configured = (): LooseObject & { webhooks: { rules: { resources: string[] }[]; clientConfig: object }[] } =>
    webhookConfiguration(request) as never;

  it('asks about those of our kinds that are installed, and fails where nobody answers', () => {
    const [webhook] = configured().webhooks;
    assert.deepEqual(webhook?.rules[0]?.resources, ['hardeningpolicies']);
    const { failurePolicy, timeoutSeconds, sideEffects } = webhook as unknown as Record<string, unknown>;
    assert.deepEqual([failurePolicy, timeoutSeconds, sideEffects], ['Fail', 5, 'None']);
    assert.deepEqual(webhookConfiguration({ ...request, known: new Set() }), {
      metadata: configured().metadata,
      webhooks: [],
    });
  });

  it('is written again where somebody changed it, not where the server added to it', () => {
    const added = structuredClone(configured());
    Object.assign(added.webhooks[0]!, { defaulted: true });
    assert.ok(sameConfiguration(configured(), added));
    const changed = structuredClone(added);
    changed.webhooks[0]!.rules[0]!.resources.push('pods');
    assert.ok(!sameConfiguration(configured(), changed));
  });
});
