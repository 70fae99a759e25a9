// Loaded here, because they make globals, and mocha would blame the test that first loads them.
import 'reflect-metadata';
import '@peculiar/x509';
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type RequestOptions, request } from 'node:https';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { SecretKeeper } from '../../src/manager/secrets.ts';
import {
  bundleOf,
  type CertificatePlan,
  endOf,
  makeTrust,
  nextTrust,
  readTrust,
  type WebhookTrust,
  writeTrust,
} from '../../src/manager/webhook/certificate.ts';
import { reportHead } from '../../src/manager/webhook/head.ts';
import { WebhookIdentity } from '../../src/manager/webhook/identity.ts';
import type { Agents } from '../../src/manager/webhook/reporters.ts';
import { WebhookServer } from '../../src/manager/webhook/server.ts';
import { KubernetesClient } from '../../src/sources/kubernetes/client.ts';
import { MemoryApi } from './memory-api.ts';

const PLAN: CertificatePlan = { days: 90, names: ['manager.system.svc'], addresses: ['127.0.0.1'] };
const DAY = 86_400_000;
const GOOD = {
  apiVersion: 'admission.k8s.io/v1',
  kind: 'AdmissionReview',
  request: { uid: 'u', kind: { group: '', version: 'v1', kind: 'Pod' }, operation: 'CREATE', object: null },
};

const AGENTS: Agents = {
  namespace: 'system',
  account: 'agent',
  pod: (name) => (name === 'agent-x' ? { uid: 'u1', node: 'node1' } : undefined),
};
const EXTRA = { 'authentication.kubernetes.io/pod-name': ['agent-x'], 'authentication.kubernetes.io/pod-uid': ['u1'] };

/** What the agent of node1 writes, in the order of API servers. */
const reported = (node: string, bytes = 0, extra: object = EXTRA) => ({
  kind: 'AdmissionReview',
  apiVersion: 'admission.k8s.io/v1',
  request: {
    uid: 'u',
    kind: { group: 'sallyport.dev', version: 'v1alpha1', kind: 'NodeReport' },
    name: node,
    operation: 'UPDATE',
    userInfo: { username: 'system:serviceaccount:system:agent', extra },
    object: { metadata: { name: node }, status: 'x'.repeat(bytes) },
    oldObject: null,
  },
});

describe('the beginning of a question', () => {
  const head = (question: object): unknown => reportHead(Buffer.from(JSON.stringify(question)));

  it('is enough where it is about a report', () => {
    const { object: _, oldObject: __, ...request } = reported('node1').request;
    assert.deepEqual(head(reported('node1', 1 << 20)), { ...reported('node1'), request });
  });

  const { object, ...rest } = reported('node1').request;
  const objectFirst = { object, ...rest };
  const others: [what: string, question: object][] = [
    ['about something else', GOOD],
    ['written in another order', { request: objectFirst }],
    ['long before it comes to the objects', reported('node1', 0, { a: ['x'.repeat(20_000)] })],
    ['no review', { request: null, object: {} }],
    ['about a user who is called so', reported('node1', 0, { a: [], object: [] })],
  ];
  for (const [what, question] of others) {
    it(`is not where it is ${what}`, () => assert.equal(head(question), undefined));
  }

  it('does not end within a text', () => {
    const extra = { note: ['},"object":{},"'] };
    const found = head(reported('node1', 0, extra)) as { request: { userInfo: { extra: object } } };
    assert.deepEqual(found.request.userInfo.extra, extra);
  });
});

describe('the certificate of the webhook', () => {
  it('is renewed when two thirds of its time are over, or its names change', async () => {
    const now = Date.now();
    const trust = await makeTrust(PLAN, now);
    assert.equal(await nextTrust(trust, PLAN, now + 59 * DAY, now), undefined);
    const renewed = await nextTrust(trust, PLAN, now + 61 * DAY, now);
    assert.equal(renewed?.authority.certificate, trust.authority.certificate);
    assert.ok(endOf(renewed!) > endOf(trust));
    assert.notEqual(await nextTrust(trust, { ...PLAN, names: ['else.system.svc'] }, now, now), undefined);
  });

  it('has an authority that is told of before it signs, and believed while its certificates may be shown', async () => {
    let trust: WebhookTrust = await makeTrust(PLAN, Date.now());
    const first = trust.authority.certificate;
    let believed = bundleOf(trust);
    let toldAt = 0;
    let changes = 0;
    for (let now = Date.now() + 9 * 365 * DAY; now < Date.now() + (9 * 365 + 30) * DAY; now += 3 * 60_000) {
      const next = await nextTrust(trust, PLAN, now, toldAt);
      if (next === undefined && changes > 2) break;
      if (next === undefined) continue;
      changes += 1;
      // Whoever believes what was told before the change believes what is shown after it.
      assert.ok(believed.includes(next.authority.certificate), `change ${changes}`);
      trust = next;
      believed = bundleOf(trust);
      toldAt = now;
      assert.deepEqual(readTrust(writeTrust(trust)), trust);
    }
    assert.notEqual(trust.authority.certificate, first);
    assert.ok(bundleOf(trust).includes(first));
    assert.ok(changes >= 2);
  });

  it('has no other authority before that has been told of for five minutes, and is renewed meanwhile', async () => {
    const made = Date.now() - 9.5 * 365 * DAY;
    const short = { ...PLAN, days: 4_000 };
    const trust = (await nextTrust(await makeTrust(short, made), short, made + 9.2 * 365 * DAY, made))!;
    assert.ok(trust.next !== undefined);
    const now = made + 9.3 * 365 * DAY;
    for (const toldAt of [undefined, now - 4 * 60_000]) {
      const next = await nextTrust(trust, { ...short, days: 90 }, now, toldAt);
      // Its own certificate is due, and of the authority that is believed.
      assert.equal(next?.authority.certificate, trust.authority.certificate);
      assert.notEqual(next.certificate, trust.certificate);
      assert.deepEqual(next.next, trust.next);
      assert.equal(await nextTrust(next, PLAN, now, toldAt), undefined);
    }
    const next = await nextTrust(trust, PLAN, now, now - 5 * 60_000);
    assert.deepEqual(next?.authority, trust.next);
  });

  it('waits for an authority to be told of, whoever leads, and anew where somebody took it away', async () => {
    const api = new MemoryApi().ship('/api/v1/namespaces/system/secrets/webhook');
    const signal = new AbortController().signal;
    let now = Date.now() - 9.2 * 365 * DAY;
    const replica = () =>
      new WebhookIdentity({
        secret: new SecretKeeper(new KubernetesClient(api), 'system', 'webhook'),
        plan: PLAN,
        logger: { info: () => {}, warn: () => {} },
        now: () => now,
        onCertificate: () => {},
      });
    const one = replica();
    await one.round(true, signal);
    const first = one.bundle!;
    now = Date.now();
    await one.round(true, signal);
    const both = one.bundle!;
    assert.ok(both.startsWith(first) && both.length > first.length);
    const later = async (identity: WebhookIdentity, leading = true, minutes = 6): Promise<boolean> => {
      now += minutes * 60_000;
      await identity.round(leading, signal);
      return !identity.bundle!.startsWith(first);
    };
    assert.equal(await later(one), false, 'told of nothing');
    one.told(first, true);
    assert.equal(await later(one), false, 'told of the former only');
    one.told(both, true);
    now += 3 * 60_000;
    one.told(both, true);
    assert.equal(await later(one, true, 4), false, 'taken away meanwhile');
    assert.equal(await later(one, false), false, 'does not lead');
    assert.equal(await later(one), false, 'leads again and knows nothing');
    const other = replica();
    assert.equal(await later(other), false, 'knows nothing');
    other.told(both, false);
    assert.equal(await later(other), true);
  });

  it('that does not belong together is none', async () => {
    const [one, other] = [await makeTrust(PLAN, Date.now()), await makeTrust(PLAN, Date.now())];
    assert.equal(readTrust({ ...writeTrust(one), 'ca.crt': other.authority.certificate }), undefined);
    assert.equal(readTrust({ ...writeTrust(one), 'tls.crt': 'nonsense' }), undefined);
    for (const key of ['ca.key', 'tls.key']) {
      assert.equal(readTrust({ ...writeTrust(one), [key]: writeTrust(other)[key]! }), undefined, key);
      assert.equal(readTrust({ ...writeTrust(one), [key]: 'nonsense' }), undefined, key);
    }
    assert.equal(readTrust({}), undefined);
  });
});

describe('the webhook server', () => {
  const refused: string[] = [];
  const faults: unknown[] = [];
  const server = new WebhookServer({
    host: '127.0.0.1',
    port: 0,
    present: () => ({ policies: [], identities: undefined }),
    onAnswer: () => {},
    onRefused: (why) => void refused.push(why),
    onFault: (error) => void faults.push(error),
  });
  let port = 0;
  let trust: WebhookTrust;

  const ask = (
    options: RequestOptions,
    body?: string | Buffer,
    ca = bundleOf(trust),
  ): Promise<{ status: number; text: string }> => {
    const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
    const asked = request(
      {
        host: '127.0.0.1',
        port,
        path: '/validate',
        method: 'POST',
        ca,
        agent: false,
        headers: { 'content-type': 'application/json' },
        ...options,
      },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() }));
      },
    );
    asked.on('error', reject);
    asked.end(body);
    return promise;
  };

  before(async () => {
    trust = await makeTrust(PLAN, Date.now());
    port = await server.listen();
    server.show(trust.certificate, trust.key);
  });
  after(() => server.close());

  it('answers questions', async () => {
    const { status, text } = await ask({}, JSON.stringify(GOOD));
    assert.equal(status, 200);
    assert.equal((JSON.parse(text) as { response: { allowed: boolean } }).response.allowed, true);
  });

  it('says that it cannot tell yet whose report it is, so that the API server lets it pass', async () => {
    refused.length = 0;
    const kind = { group: 'sallyport.dev', version: 'v1alpha1', kind: 'NodeReport' };
    const { status } = await ask({}, JSON.stringify({ ...GOOD, request: { ...GOOD.request, kind } }));
    assert.equal(status, 503);
    assert.deepEqual(refused, ['unready']);
  });

  it('refuses a report of another node, however long it is and however little room there is', async () => {
    const small = new WebhookServer({
      host: '127.0.0.1',
      port: 0,
      present: () => ({ policies: [], identities: undefined, agents: AGENTS }),
      onAnswer: () => {},
      onRefused: (why) => void refused.push(why),
      onFault: (error) => void faults.push(error),
      bytesMost: 1_000,
    });
    small.show(trust.certificate, trust.key);
    const at = { port: await small.listen() };
    refused.length = 0;
    for (const [node, megabytes, allowed] of [
      ['node1', 0, true],
      ['node2', 0, false],
      ['node2', 20, false],
    ] as const) {
      const { status, text } = await ask(at, JSON.stringify(reported(node, megabytes << 20)));
      const { response } = JSON.parse(text) as { response: { uid: string; allowed: boolean } };
      assert.deepEqual([status, response.uid, response.allowed], [200, 'u', allowed], `${node} ${megabytes}`);
    }
    assert.deepEqual(refused, []);
    // What is beyond all that an API server could say is not read for ever.
    await ask(at, JSON.stringify(reported('node2', 40 << 20))).catch((error: NodeJS.ErrnoException) =>
      assert.ok(error.code),
    );
    assert.deepEqual(refused, ['size']);
    await small.close();
  });

  const bad: [what: string, options: RequestOptions, body: string, status: number, why: string][] = [
    ['another path', { path: '/' }, '{}', 404, 'path'],
    ['another method', { method: 'PUT' }, '{}', 405, 'method'],
    ['another type', { headers: { 'content-type': 'text/plain' } }, '{}', 415, 'type'],
    ['what is not JSON', {}, '{', 400, 'malformed'],
    ['JSON of something else', {}, '{"kind":"Pod"}', 400, 'malformed'],
    ['what lies too deep', {}, `{"request":${'['.repeat(1e6)}${']'.repeat(1e6)}}`, 400, 'malformed'],
  ];
  for (const [what, options, body, status, why] of bad) {
    it(`refuses ${what}`, async () => {
      refused.length = 0;
      assert.equal((await ask(options, body)).status, status);
      assert.deepEqual(refused, [why]);
    });
  }

  it('reads no more than an object can have', async () => {
    refused.length = 0;
    const said = { headers: { 'content-type': 'application/json', 'content-length': String(9 << 20) } };
    await ask(said, Buffer.alloc(9 << 20, 32)).catch((error: NodeJS.ErrnoException) => assert.ok(error.code));
    // One that does not say how long it is.
    const unsaid = { headers: { 'content-type': 'application/json', 'transfer-encoding': 'chunked' } };
    await ask(unsaid, Buffer.alloc(9 << 20, 32)).catch((error: NodeJS.ErrnoException) => assert.ok(error.code));
    assert.deepEqual(refused, ['size', 'size']);
  });

  it('outlives whoever does not speak TLS', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const socket = connect({ host: '127.0.0.1', port });
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    socket.end('GET / HTTP/1.0\r\n\r\n');
    socket.resume();
    await promise;
    assert.equal((await ask({}, JSON.stringify(GOOD))).status, 200);
  });

  it('hangs up on whoever connects and says nothing, before TLS and after', async () => {
    const short = new WebhookServer({
      host: '127.0.0.1',
      port: 0,
      present: () => ({ policies: [], identities: undefined }),
      onAnswer: () => {},
      onRefused: () => {},
      onFault: (fault) => faults.push(fault),
      timeoutMs: 100,
    });
    const trust = await makeTrust(PLAN, Date.now());
    short.show(trust.certificate, trust.key);
    const port = await short.listen();
    const silent = [connect(port, '127.0.0.1'), connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })];
    for (const socket of silent) socket.on('error', () => {}).resume();
    await Promise.all(silent.map((socket) => once(socket, 'close')));
    await short.close();
  });

  it('shows a new certificate from the next connection on, without a restart', async () => {
    const next = await makeTrust(PLAN, Date.now());
    server.show(next.certificate, next.key);
    await assert.rejects(ask({}, JSON.stringify(GOOD)));
    assert.equal((await ask({}, JSON.stringify(GOOD), bundleOf(next))).status, 200);
    assert.throws(() => server.show(next.certificate, trust.key));
    assert.equal((await ask({}, JSON.stringify(GOOD), bundleOf(next))).status, 200);
    assert.deepEqual(faults, []);
  });
});
