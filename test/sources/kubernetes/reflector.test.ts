import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection } from '../../../src/sources/kubernetes/connection.ts';
import { connect } from '../../../src/sources/kubernetes/connection.ts';
import type { KubernetesErrorCode } from '../../../src/sources/kubernetes/error.ts';
import type { ReflectorOptions } from '../../../src/sources/kubernetes/reflector.ts';
import { Reflector } from '../../../src/sources/kubernetes/reflector.ts';
import { PODS } from '../../../src/sources/kubernetes/resource.ts';
import { answerStatus, FakeApiServer } from './api-server.ts';

const PATH = '/api/v1/pods';

interface Kept {
  readonly color: string;
}

const pod = (name: string, color = 'red', namespace = 'shop') => ({ metadata: { namespace, name, labels: { color } } });

/** Waits for what will be; a test that waits in vain fails by mocha's limit. */
async function until(is: () => boolean): Promise<void> {
  while (!is()) await sleep(5);
}

describe('a reflector', () => {
  let server: FakeApiServer;
  let connection: Connection;
  let reflector: Reflector<Kept>;
  let changes = 0;
  const ending = new AbortController();

  beforeEach(async () => {
    server = new FakeApiServer();
    await server.start();
    server.objects(PATH);
    connection = await connect({ kubeconfig: server.kubeconfig() });
    changes = 0;
  });

  afterEach(async () => {
    await reflector.close();
    await connection.close();
    await server.close();
  });

  function make(more: Partial<ReflectorOptions<Kept>> = {}): Reflector<Kept> {
    reflector = new Reflector<Kept>({
      connection,
      resource: PODS,
      project: ({ metadata }) => (metadata.labels?.color === 'none' ? undefined : { color: metadata.labels!.color! }),
      now: Date.now,
      retry: { leastMs: 10, mostMs: 50 },
      gatherMs: 1,
      ...more,
    });
    reflector.onChange(() => {
      changes += 1;
    });
    return reflector;
  }

  async function follow(more: Partial<ReflectorOptions<Kept>> = {}): Promise<void> {
    await make(more).start(ending.signal);
    await until(() => server.watching === 1);
  }

  const colors = (): object => Object.fromEntries([...reflector.snapshot()].map(([key, { color }]) => [key, color]));
  const lists = () => server.seen.filter(({ query }) => !query.has('watch'));
  const watches = () => server.seen.filter(({ query }) => query.has('watch'));

  it('knows nothing before the first list is whole, and then all of it, page by page', async () => {
    for (let i = 0; i < 25; i++) server.set(PATH, pod(`web-${i}`));
    let held: (() => void) | undefined;
    server.intercept = ({ query }, response) => {
      if (query.get('continue') !== '20') return false;
      held = () => response.end(JSON.stringify({ metadata: { resourceVersion: '130' }, items: [pod('last')] }));
      return true;
    };
    const started = make({ pageSize: 10 }).start(ending.signal);
    await until(() => held !== undefined);
    assert.equal(reflector.synced, false);
    assert.equal(reflector.snapshot().size, 0);
    held?.();
    await started;
    assert.equal(reflector.synced, true);
    assert.equal(reflector.snapshot().size, 21);
    assert.deepEqual(
      lists().map(({ query }) => [query.get('limit'), query.get('continue')]),
      [
        ['10', null],
        ['10', '10'],
        ['10', '20'],
      ],
    );
    await until(() => watches().length === 1);
    assert.equal(watches()[0]!.query.get('resourceVersion'), '130');
    assert.equal(watches()[0]!.query.get('allowWatchBookmarks'), 'true');
  });

  it('follows what is made, changed and removed, and keeps the object of what did not change', async () => {
    server.set(PATH, pod('web'));
    server.set(PATH, pod('db', 'blue'));
    await follow();
    const web = reflector.snapshot().get('shop/web');
    server.set(PATH, pod('web', 'green'));
    server.set(PATH, pod('db', 'blue'));
    server.set(PATH, pod('new', 'white'));
    await until(() => reflector.snapshot().size === 3);
    assert.deepEqual(colors(), { 'shop/web': 'green', 'shop/db': 'blue', 'shop/new': 'white' });
    assert.notEqual(reflector.snapshot().get('shop/web'), web);
    server.remove(PATH, 'shop/db');
    // What is no longer kept has gone, too.
    server.set(PATH, pod('new', 'none'));
    await until(() => reflector.snapshot().size === 1);
    assert.deepEqual(colors(), { 'shop/web': 'green' });
  });

  it('is not heard of when an object changed in nothing that is kept', async () => {
    server.set(PATH, pod('web'));
    await follow();
    await until(() => changes === 1);
    const before = reflector.snapshot();
    server.set(PATH, pod('web'));
    await until(() => reflector.statistics().events === 1);
    await sleep(20);
    assert.equal(changes, 1);
    assert.equal(reflector.snapshot(), before);
  });

  it('goes on where a watch ended, from its last bookmark, without a list', async () => {
    server.set(PATH, pod('web'));
    await follow();
    server.bookmark(PATH);
    const bookmarked = server.version;
    await sleep(20);
    server.endWatches();
    await until(() => watches().length === 2);
    assert.equal(watches()[1]!.query.get('resourceVersion'), bookmarked);
    assert.equal(lists().length, 1);
    assert.equal(reflector.status().healthy, true);
  });

  const expirations: readonly { name: string; expire: (server: FakeApiServer) => void }[] = [
    {
      name: 'as an event',
      expire: (one) => {
        one.tell(PATH, { type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' } });
      },
    },
    {
      name: 'as an answer',
      expire: (one) => {
        let once = true;
        one.intercept = ({ query }, response) => {
          if (!query.has('watch') || !once) return false;
          once = false;
          answerStatus(response, 410, 'Gone', 'too old resource version');
          return true;
        };
        one.endWatches();
      },
    },
  ];
  for (const { name, expire } of expirations) {
    it(`lists again when its version is no longer kept, told ${name}`, async () => {
      server.set(PATH, pod('web'));
      server.set(PATH, pod('old'));
      await follow();
      const web = reflector.snapshot().get('shop/web');
      server.set(PATH, pod('missed', 'blue'), true);
      server.remove(PATH, 'shop/old', true);
      expire(server);
      await until(() => reflector.snapshot().has('shop/missed'));
      assert.deepEqual(colors(), { 'shop/web': 'red', 'shop/missed': 'blue' });
      assert.equal(reflector.snapshot().get('shop/web'), web);
      assert.equal(reflector.status().healthy, true);
      assert.equal(reflector.statistics().failures.EXPIRED, 1);
    });
  }

  it('asks for all at once after the server has forgotten where the list was', async () => {
    for (let i = 0; i < 4; i++) server.set(PATH, pod(`web-${i}`));
    server.intercept = ({ query }, response) => {
      if (!query.has('continue')) return false;
      answerStatus(response, 410, 'Expired', 'the provided continue parameter is too old');
      return true;
    };
    await follow({ pageSize: 2 });
    assert.equal(reflector.snapshot().size, 4);
    assert.deepEqual(
      lists().map(({ query }) => query.get('limit')),
      ['2', '2', null],
    );
  });

  for (const more of [{}, { fromCache: true }]) {
    it(`is not kept from the others by objects that fill a page${more.fromCache ? ' of the cache' : ''}`, async () => {
      await connection.close();
      connection = await connect({ kubeconfig: server.kubeconfig(), longest: 4_000 });
      const large = (name: string, bytes: number) => ({
        metadata: { ...pod(name).metadata, annotations: { large: 'x'.repeat(bytes) } },
      });
      for (let i = 0; i < 30; i++) server.set(PATH, large(`web-${i}`, i < 10 ? 3_000 : 100));
      await follow(more);
      assert.equal(reflector.snapshot().size, 30);
      const pages = lists().map(({ query }) => query.get('limit'));
      // As many as fit, and more again where they do.
      assert.deepEqual(
        pages.slice(0, 5),
        more.fromCache ? [null, '500', '63', '8', '1'] : ['500', '63', '8', '1', '2'],
      );
      assert.equal(reflector.status().healthy, true);
      server.set(PATH, large('huge', 5_000));
      await until(() => (reflector.statistics().failures.TOO_LARGE ?? 0) > 0);
      assert.equal(reflector.snapshot().size, 30);
    });
  }

  it('keeps what it knew where there is more than it may keep, says so, and goes on when there is less', async () => {
    for (const name of ['a', 'b']) server.set(PATH, pod(name, 'x'.repeat(400)));
    await follow({ mostBytes: 1_000 });
    server.set(PATH, pod('a', 'y'.repeat(300)));
    server.set(PATH, pod('c'));
    await until(() => reflector.snapshot().size === 3);
    server.set(PATH, pod('d', 'z'.repeat(400)));
    await until(() => !reflector.status().healthy);
    assert.match(reflector.status().error?.message ?? '', /more than 1000 bytes/);
    server.set(PATH, pod('e'), true);
    await sleep(100);
    assert.equal(reflector.snapshot().has('shop/e'), false);
    server.remove(PATH, 'shop/d', true);
    await until(() => reflector.snapshot().has('shop/e') && reflector.status().healthy);
    assert.deepEqual([...reflector.snapshot().keys()], ['shop/a', 'shop/b', 'shop/c', 'shop/e']);
  });

  it('makes a watch anew that says nothing, as one does whose connection is half open', async () => {
    server.set(PATH, pod('web'));
    await follow({ idleMs: 50 });
    // Nothing arrives of what happens now.
    server.set(PATH, pod('web', 'green'), true);
    await until(() => watches().length >= 2);
    assert.ok(reflector.statistics().silent >= 1);
    assert.equal(watches().at(-1)!.query.get('resourceVersion'), '101');
    assert.equal(reflector.status().healthy, true);
  });

  it('lists again at its maximum interval, whatever a watch has told', async () => {
    server.set(PATH, pod('web'));
    await follow({ relistMs: 60 });
    server.set(PATH, pod('web', 'green'), true);
    await until(() => (colors() as Record<string, string>)['shop/web'] === 'green');
    assert.equal(reflector.statistics().events, 0);
  });

  it('keeps what it knows while the server is away, says so, and goes on when it is back', async () => {
    server.set(PATH, pod('web'));
    await follow();
    await server.stop();
    await until(() => !reflector.status().healthy);
    assert.equal(reflector.status().error?.code, 'UNREACHABLE');
    assert.deepEqual(colors(), { 'shop/web': 'red' });
    await server.start();
    await until(() => server.watching === 1 && reflector.status().healthy);
    server.set(PATH, pod('web', 'green'));
    await until(() => (colors() as Record<string, string>)['shop/web'] === 'green');
    assert.equal(lists().length, 1);
  });

  const nonsense: readonly { name: string; text: string; code?: KubernetesErrorCode }[] = [
    { name: 'is no JSON', text: '{"type":\n' },
    { name: 'is no event', text: '[1]\n' },
    { name: 'has no object', text: '{"type":"ADDED","object":{"metadata":{}}}\n' },
    { name: 'is an unknown type', text: '{"type":"EXPLODED","object":{"metadata":{"name":"x"}}}\n' },
    { name: 'has no end', text: 'x'.repeat(17 << 20), code: 'TOO_LARGE' },
    { name: 'tells of a failure', text: '{"type":"ERROR","object":{"code":500,"message":"etcd is gone"}}\n' },
  ];
  for (const { name, text, code = 'SERVER' } of nonsense) {
    it(`lists again after a line that ${name}`, async () => {
      server.set(PATH, pod('web'));
      await follow();
      server.set(PATH, pod('missed'), true);
      server.write(PATH, text);
      await until(() => reflector.snapshot().has('shop/missed'));
      await until(() => reflector.status().healthy);
      assert.equal(reflector.statistics().failures[code], 1);
    });
  }

  it('is not kept from other objects by one nobody can make sense of', async () => {
    server.set(PATH, { metadata: { name: 'odd', namespace: 'shop' } });
    server.set(PATH, pod('web'));
    await follow();
    assert.deepEqual(colors(), { 'shop/web': 'red' });
    assert.equal(reflector.statistics().malformed, 1);
  });

  it('waits longer and longer for a server that ends every watch at once', async () => {
    server.intercept = ({ query }, response) => {
      if (!query.has('watch')) return false;
      response.end();
      return true;
    };
    await make({ retry: { leastMs: 200, mostMs: 60_000 } }).start(ending.signal);
    await sleep(400);
    assert.ok(watches().length >= 1 && watches().length < 12, `${watches().length} watches`);
    assert.equal(reflector.status().healthy, true);
  });

  it('waits as long as a busy server asks it to', async () => {
    let askedAt = 0;
    server.intercept = ({ query }, response) => {
      if (query.has('watch') || askedAt > 0) return false;
      askedAt = performance.now();
      response.setHeader('retry-after', '1');
      answerStatus(response, 429, 'TooManyRequests', 'busy');
      return true;
    };
    await follow();
    assert.ok(performance.now() - askedAt >= 990);
    assert.equal(reflector.statistics().failures.THROTTLED, 1);
  });

  it('says which permission is missing, and keeps asking', async () => {
    let allowed = false;
    server.intercept = (_, response) => {
      if (allowed) return false;
      answerStatus(response, 403, 'Forbidden', 'pods is forbidden: User "x" cannot list resource "pods"');
      return true;
    };
    const started = make().start(ending.signal);
    await until(() => reflector.status().error !== undefined);
    assert.match(reflector.status().error!.message, /cannot list resource "pods"/);
    assert.match(reflector.status().error!.hint!, /Role/);
    assert.equal(reflector.synced, false);
    allowed = true;
    await started;
    assert.equal(reflector.synced, true);
  });

  it('has none of a kind nobody has installed, where it is optional, until somebody does', async () => {
    await make({ namespace: 'other', optional: true }).start(ending.signal);
    assert.equal(reflector.synced, true);
    assert.equal(reflector.status().healthy, true);
    server.set('/api/v1/namespaces/other/pods', pod('web', 'red', 'other'));
    await until(() => reflector.snapshot().size === 1);
  });

  it('follows the older kind where the server does not know the newer one, and has none where it knows neither', async () => {
    const later = { ...PODS, version: 'v2' };
    server.set(PATH, pod('web'));
    await follow({ resource: later, older: PODS, optional: true });
    assert.deepEqual(colors(), { 'shop/web': 'red' });
    assert.equal(reflector.status().healthy, true);
    server.set(PATH, pod('api'));
    await until(() => reflector.snapshot().size === 2);
    await reflector.close();
    await make({ resource: later, older: { ...PODS, version: 'v3' }, optional: true }).start(ending.signal);
    assert.equal(reflector.snapshot().size, 0);
    assert.equal(reflector.status().healthy, true);
  });

  it('does not believe at once that a kind it has seen is gone: servers begin without them', async () => {
    server.set(PATH, pod('web'));
    await follow({ optional: true });
    server.intercept = (_, response) => {
      answerStatus(response, 404, 'NotFound', 'the server could not find the requested resource');
      return true;
    };
    server.endWatches();
    await until(() => !reflector.status().healthy);
    assert.deepEqual(colors(), { 'shop/web': 'red' });
  });

  it('asks only for what it was told to', async () => {
    await follow({ fieldSelector: 'spec.nodeName=node1', labelSelector: 'a=b', fromCache: true });
    for (const { query } of server.seen) {
      assert.equal(query.get('fieldSelector'), 'spec.nodeName=node1');
      assert.equal(query.get('labelSelector'), 'a=b');
    }
    assert.equal(lists()[0]!.query.get('resourceVersion'), '0');
    assert.equal(lists()[0]!.query.has('limit'), false);
  });

  it('ends at once, in the middle of anything', async () => {
    server.intercept = () => true; // never answers
    const started = make().start(ending.signal);
    await until(() => server.seen.length === 1);
    await reflector.close();
    await started;
    assert.equal(reflector.synced, false);
  });
});
