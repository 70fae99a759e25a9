import assert from 'node:assert/strict';
import { KubernetesClient } from '../../../src/sources/kubernetes/client.ts';
import type { Connection, Request } from '../../../src/sources/kubernetes/connection.ts';
import { KubernetesError } from '../../../src/sources/kubernetes/error.ts';
import { NODE_REPORTS, NODES, PODS, WORKLOAD_IDENTITIES } from '../../../src/sources/kubernetes/resource.ts';

/** Remembers what is asked and gives the answers it was made with. */
function connectionOf(...answers: unknown[]): { readonly asked: Request[]; readonly client: KubernetesClient } {
  const asked: Request[] = [];
  const connection: Connection = {
    server: 'test',
    async request<T>(request: Request): Promise<T> {
      asked.push(request);
      const answer = answers.shift() ?? { metadata: {} };
      if (answer instanceof Error) throw answer;
      return answer as T;
    },
    async *stream() {},
    async close() {},
  };
  return { asked, client: new KubernetesClient(connection) };
}

const web = { namespace: 'shop', name: 'web' };
const report = { metadata: { name: 'node1' }, status: { ready: true } };

describe('the verbs of the API', () => {
  const verbs: readonly {
    name: string;
    run: (client: KubernetesClient) => Promise<unknown>;
    request: Partial<Request>;
  }[] = [
    {
      name: 'get',
      run: (client) => client.get(PODS, web),
      request: { method: 'GET', path: '/api/v1/namespaces/shop/pods/web' },
    },
    {
      name: 'get of what belongs to no namespace',
      run: (client) => client.get(NODES, { name: 'node1' }),
      request: { method: 'GET', path: '/api/v1/nodes/node1' },
    },
    {
      name: 'get of strange names',
      run: (client) => client.get(PODS, { namespace: '..', name: '../secrets?x' }),
      request: { method: 'GET', path: '/api/v1/namespaces/%2E%2E/pods/..%2Fsecrets%3Fx' },
    },
    {
      name: 'create',
      run: (client) => client.create(WORKLOAD_IDENTITIES, { metadata: web }, { dryRun: true }),
      request: {
        method: 'POST',
        path: '/apis/sallyport.dev/v1alpha1/namespaces/shop/workloadidentities',
        query: { dryRun: 'All' },
        body: { metadata: web, apiVersion: 'sallyport.dev/v1alpha1', kind: 'WorkloadIdentity' },
      },
    },
    {
      name: 'update',
      run: (client) => client.update(PODS, { metadata: web }),
      request: {
        method: 'PUT',
        path: '/api/v1/namespaces/shop/pods/web',
        query: {},
        body: { metadata: web, apiVersion: 'v1', kind: 'Pod' },
      },
    },
    {
      name: 'update of the status',
      run: (client) => client.updateStatus(NODE_REPORTS, report),
      request: { method: 'PUT', path: '/apis/sallyport.dev/v1alpha1/nodereports/node1/status' },
    },
    {
      name: 'patch',
      run: (client) => client.patch(PODS, web, { metadata: { labels: { a: null } } }),
      request: {
        method: 'PATCH',
        contentType: 'application/merge-patch+json',
        body: { metadata: { labels: { a: null } } },
      },
    },
    {
      name: 'patch of the status',
      run: (client) => client.patchStatus(PODS, web, { phase: 'x' }),
      request: { path: '/api/v1/namespaces/shop/pods/web/status', body: { status: { phase: 'x' } } },
    },
    {
      name: 'apply',
      run: (client) =>
        client.apply(NODE_REPORTS, report, { fieldManager: 'sallyport-agent', force: true, subresource: 'status' }),
      request: {
        method: 'PATCH',
        path: '/apis/sallyport.dev/v1alpha1/nodereports/node1/status',
        query: { fieldManager: 'sallyport-agent', force: 'true' },
        contentType: 'application/apply-patch+yaml',
        body: { ...report, apiVersion: 'sallyport.dev/v1alpha1', kind: 'NodeReport' },
      },
    },
    {
      name: 'delete of that very object',
      run: (client) => client.delete(PODS, web, { uid: 'u' }),
      request: {
        method: 'DELETE',
        path: '/api/v1/namespaces/shop/pods/web',
        body: { kind: 'DeleteOptions', apiVersion: 'v1', preconditions: { uid: 'u' } },
      },
    },
  ];
  for (const { name, run, request } of verbs) {
    it(`ask for ${name}`, async () => {
      const { asked, client } = connectionOf();
      await run(client);
      assert.equal(asked.length, 1);
      for (const [key, value] of Object.entries(request))
        assert.deepEqual(asked[0]?.[key as keyof Request], value, key);
    });
  }

  it('list page by page, and leave out what has no name', async () => {
    const page = (names: unknown[], next?: string) => ({
      metadata: { resourceVersion: '5', continue: next },
      items: names.map((name) => ({ metadata: { name } })),
    });
    const { asked, client } = connectionOf(page(['a', 7, ''], 'x'), page([], 'y'), {
      metadata: { resourceVersion: '5' },
      items: null,
    });
    const names = (await client.list(PODS, { namespace: 'shop' })).map(({ metadata }) => metadata.name);
    assert.deepEqual(names, ['a']);
    assert.deepEqual(
      asked.map(({ query }) => query?.continue),
      [undefined, 'x', 'y'],
    );
  });

  for (const answer of [
    'text',
    [],
    {},
    { items: [] },
    { items: {}, metadata: { resourceVersion: '1' } },
    { items: [], metadata: { resourceVersion: 7 } },
  ]) {
    it(`do not take ${JSON.stringify(answer)} for a list`, async () => {
      await assert.rejects(connectionOf(answer).client.list(PODS), { code: 'SERVER', message: /no list/ });
    });
  }

  it('do not take just anything for an object', async () => {
    await assert.rejects(connectionOf('text').client.get(PODS, web), { code: 'SERVER', message: /no object/ });
  });

  it('tell of what was not there to be deleted', async () => {
    assert.equal(await connectionOf(new KubernetesError('NOT_FOUND', 'gone')).client.delete(PODS, web), false);
    assert.equal(await connectionOf({ kind: 'Status' }).client.delete(PODS, web), true);
    await assert.rejects(connectionOf(new KubernetesError('FORBIDDEN', 'no')).client.delete(PODS, web), {
      code: 'FORBIDDEN',
    });
  });
});
