import assert from 'node:assert/strict';
import { AgentError } from '../../src/agent/errors.ts';
import { describeIdentity, pickEndpoint, pickIdentity, pickPolicy } from '../../src/agent/names.ts';
import { deriveIdentity, formatIdentity, type Identity } from '../../src/model/identity.ts';

function identity(path: string, container = '', labels: Record<string, string> = {}): Identity {
  const [namespace = '', kind = '', name = ''] = path.split('/');
  return deriveIdentity('test', { workload: { namespace, kind, name }, container, labels });
}

const web = identity('shop/Service/web');
const nginx = identity('shop/Service/web', 'nginx');
const deployment = identity('shop/Deployment/web');
const other = identity('bank/Service/api');
const api = identity('shop/Service/api');
const blue = identity('lab/Service/x', '', { color: 'blue' });
const green = identity('lab/Service/x', '', { color: 'green' });
const all = [web, nginx, deployment, other, api, blue, green];

function failure(run: () => unknown): AgentError {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof AgentError);
    return error;
  }
  assert.fail('found something');
}

describe('the name of a workload', () => {
  const good: [text: string, namespace: string | undefined, expected: Identity][] = [
    ['shop/Service/web', undefined, web],
    ['Service/web', undefined, web],
    ['Deployment/web', undefined, deployment],
    ['web[nginx]', undefined, nginx],
    ['shop/Service/web[nginx]', undefined, nginx],
    ['api', 'shop', api],
    ['bank/Service/api', 'shop', other],
    [formatIdentity(green.id), undefined, green],
  ];
  for (const [text, namespace, expected] of good) {
    it(`${text}${namespace === undefined ? '' : ` in ${namespace}`} means ${describeIdentity(expected)}`, () => {
      assert.equal(pickIdentity(text, all, namespace), expected);
    });
  }

  const ambiguous: [text: string, candidates: RegExp][] = [
    ['web', /shop\/Deployment\/web, shop\/Service\/web/],
    ['api', /bank\/Service\/api, shop\/Service\/api/],
    ['lab/Service/x', new RegExp(`x \\(${formatIdentity(blue.id)}\\)`)],
  ];
  for (const [text, expected] of ambiguous) {
    it(`${text} is ambiguous, and the error lists what it could be`, () => {
      const error = failure(() => pickIdentity(text, all));
      assert.equal(error.code, 'AMBIGUOUS');
      assert.match(error.message, expected);
    });
  }

  it('is not found with a hint of what is near', () => {
    const error = failure(() => pickIdentity('Service/we', all));
    assert.equal(error.code, 'NOT_FOUND');
    assert.match(error.hint ?? '', /shop\/Service\/web/);
    assert.equal(failure(() => pickIdentity('a/b/c/d', all)).code, 'NOT_FOUND');
    assert.equal(failure(() => pickIdentity('[]', all)).hint, undefined);
  });

  it('lists no more candidates than fit a line', () => {
    const many = Array.from({ length: 50 }, (_, index) => identity(`n${index}/Service/web`));
    assert.match(failure(() => pickIdentity('web', many)).message, / and 42 more$/);
  });
});

describe('the name of an endpoint', () => {
  const endpoints = [
    { id: 'abcdef01', identity: web },
    { id: 'abcdef02', identity: web },
    { id: 'ffff', identity: api },
  ];
  it('is its id, the beginning of it, or its workload', () => {
    assert.equal(pickEndpoint('ffff', endpoints).id, 'ffff');
    assert.equal(pickEndpoint('abcdef01', endpoints).id, 'abcdef01');
    assert.equal(pickEndpoint('shop/Service/api', endpoints).id, 'ffff');
  });
  it('is ambiguous when two begin alike, and nothing when it is too short', () => {
    assert.equal(failure(() => pickEndpoint('abcd', endpoints)).code, 'AMBIGUOUS');
    assert.equal(failure(() => pickEndpoint('web', endpoints)).code, 'AMBIGUOUS');
    assert.equal(failure(() => pickEndpoint('fff', endpoints)).code, 'NOT_FOUND');
  });
});

describe('the name of a policy', () => {
  const policies = [
    { kind: 'WorkloadNetworkPolicy', namespace: 'shop', name: 'api' },
    { kind: 'WorkloadNetworkPolicy', namespace: 'bank', name: 'api' },
    { kind: 'ClusterWorkloadNetworkPolicy', namespace: '', name: 'base' },
  ];
  it('is its name, its namespace and name, or its name in a given namespace', () => {
    assert.equal(pickPolicy('shop/api', policies), policies[0]);
    assert.equal(pickPolicy('api', policies, { namespace: 'bank' }), policies[1]);
    assert.equal(pickPolicy('base', policies), policies[2]);
    assert.match(failure(() => pickPolicy('api', policies)).message, /bank\/api, WorkloadNetworkPolicy shop\/api/);
    assert.equal(failure(() => pickPolicy('base', policies, { kind: 'WorkloadNetworkPolicy' })).code, 'NOT_FOUND');
  });
  it('is its kind, too, where policies of two kinds have it', () => {
    const both = [...policies, { kind: 'HardeningPolicy', namespace: 'shop', name: 'api' }];
    const error = failure(() => pickPolicy('shop/api', both));
    assert.equal(error.code, 'AMBIGUOUS');
    assert.match(error.hint ?? '', /--kind/);
    assert.equal(pickPolicy('shop/api', both, { kind: 'HardeningPolicy' }), both[3]);
  });
});
