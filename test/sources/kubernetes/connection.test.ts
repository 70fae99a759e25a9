// Loaded here, because it makes globals, and mocha would blame the test that first loads it.
import 'reflect-metadata';
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Connection, ConnectionOptions } from '../../../src/sources/kubernetes/connection.ts';
import { connect } from '../../../src/sources/kubernetes/connection.ts';
import type { KubernetesError, KubernetesErrorCode } from '../../../src/sources/kubernetes/error.ts';
import type { KubeconfigOptions } from '../../../src/sources/kubernetes/kubeconfig.ts';
import { loadTarget } from '../../../src/sources/kubernetes/kubeconfig.ts';
import { Authority } from '../../handshake/authority.ts';
import { answerStatus, FakeApiServer } from './api-server.ts';

async function drain(lines: AsyncIterable<string>): Promise<void> {
  for await (const _ of lines);
}

const GET = { method: 'GET', path: '/version' } as const;

describe('a connection to an API server', () => {
  let server: FakeApiServer;
  let connection: Connection | undefined;

  beforeEach(async () => {
    server = new FakeApiServer();
    server.intercept = (_, response) => {
      response.end('{"major":"1"}');
      return true;
    };
  });

  afterEach(async () => {
    await connection?.close();
    connection = undefined;
    await server.close();
  });

  async function open(options: KubeconfigOptions & ConnectionOptions): Promise<Connection> {
    connection = await connect(options);
    return connection;
  }

  const bearers = (): (string | undefined)[] => server.seen.map(({ headers }) => headers.authorization);

  it('asks with the token of the kubeconfig', async () => {
    await server.start();
    await open({ kubeconfig: server.kubeconfig({ token: 'abc' }) });
    assert.deepEqual(await connection?.request(GET), { major: '1' });
    assert.deepEqual(bearers(), ['Bearer abc']);
  });

  it('reads a token on disk again when the server does not know it, and each minute', async () => {
    await server.start();
    let now = 0;
    const path = server.file('token', 'old\n');
    let valid = 'old';
    server.intercept = ({ headers }, response) => {
      if (headers.authorization === `Bearer ${valid}`) response.end('{}');
      else answerStatus(response, 401, 'Unauthorized', 'Unauthorized');
      return true;
    };
    await open({ kubeconfig: server.kubeconfig({ tokenFile: path }), now: () => now });
    await connection?.request(GET);
    writeFileSync(path, 'new\n');
    await connection?.request(GET);
    valid = 'new';
    await connection?.request(GET);
    writeFileSync(path, 'newer\n');
    valid = 'newer';
    now = 61_000;
    await connection?.request(GET);
    assert.deepEqual(bearers(), ['Bearer old', 'Bearer old', 'Bearer old', 'Bearer new', 'Bearer newer']);
    valid = 'nobody knows';
    await assert.rejects(connection!.request(GET), { code: 'UNAUTHORIZED', status: 401, hint: /expired/ });
  });

  it('asks a plug-in for credentials, and again when they end or are refused', async () => {
    await server.start();
    const count = server.file('count', '');
    const plugin = server.file(
      'plugin',
      `#!/bin/sh\necho x >> ${count}\nn=$(wc -l < ${count})\n[ "$KUBERNETES_EXEC_INFO" ] || exit 1\n` +
        `printf '{"kind":"ExecCredential","status":{"token":"'$1$n'","expirationTimestamp":"1970-01-01T00:02:00Z"}}'\n`,
    );
    chmodSync(plugin, 0o700);
    let now = 0;
    const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: './plugin', args: ['t'] };
    await open({ kubeconfig: server.kubeconfig({ exec }), now: () => now });
    await connection?.request(GET);
    await connection?.request(GET);
    now = 111_000;
    await connection?.request(GET);
    assert.deepEqual(bearers(), ['Bearer t1', 'Bearer t1', 'Bearer t2']);
  });

  it('tells of a plug-in that fails, and not what it said', async () => {
    await server.start();
    const script = server.file('plugin', '#!/bin/sh\necho secret\n');
    chmodSync(script, 0o700);
    await open({ kubeconfig: server.kubeconfig({ exec: { command: './plugin' } }) });
    await assert.rejects(connection!.request(GET), (error: Error) => {
      assert.match(error.message, /Cannot get credentials from .*plugin: no ExecCredential/);
      assert.doesNotMatch(error.message, /secret/);
      return true;
    });
  });

  const jwt = (exp: number): string => {
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    return `${part({ alg: 'none' })}.${part({ exp })}.c2lnbmVk`;
  };
  const oidc = (config: object) => ({ 'auth-provider': { name: 'oidc', config } });

  it('asks with the token of an OpenID provider as long as that is good', async () => {
    await server.start();
    const token = jwt(Date.now() / 1000 + 3_600);
    await open({ kubeconfig: server.kubeconfig(oidc({ 'id-token': token })) });
    await connection?.request(GET);
    assert.deepEqual(bearers(), [`Bearer ${token}`]);
  });

  it('says that such a token has ended, or is none, and not what it is', async () => {
    await server.start();
    for (const token of [jwt(1), 'secret', 'secret.secret.secret', undefined]) {
      const connected = await connect({ kubeconfig: server.kubeconfig(oidc(token ? { 'id-token': token } : {})) });
      await assert.rejects(connected.request(GET), ({ code, message }: KubernetesError) => {
        assert.equal(code, 'UNAUTHORIZED');
        assert.match(message, /token of auth-provider oidc/);
        assert.ok(token === undefined || !message.includes(token));
        return true;
      });
      await connected.close();
    }
    assert.deepEqual(server.seen, []);
  });

  it('shows its client certificate, knows the server by its authority, and takes the new one when it is replaced', async () => {
    const authority = await Authority.create('test');
    const host = await authority.issue('server', { dns: ['kubernetes.default'] });
    await server.start({
      key: host.key,
      cert: host.certificate,
      ca: authority.certificate,
      requestCert: true,
      rejectUnauthorized: true,
    });
    const [first, second] = [await authority.issue('first'), await authority.issue('second')];
    const user = {
      'client-certificate': server.file('cert.pem', first.certificate),
      'client-key': server.file('key.pem', first.key),
    };
    const cluster = {
      'certificate-authority-data': Buffer.from(authority.certificate).toString('base64'),
      'tls-server-name': 'kubernetes.default',
    };
    let now = 0;
    await open({ kubeconfig: server.kubeconfig(user, cluster), now: () => now });
    assert.deepEqual(await connection?.request(GET), { major: '1' });
    server.file('cert.pem', second.certificate);
    server.file('key.pem', second.key);
    now = 61_000;
    assert.deepEqual(await connection?.request(GET), { major: '1' });
    const strangers = await Authority.create('strangers', 'CN=strangers');
    const other = { ...cluster, 'certificate-authority-data': Buffer.from(strangers.certificate).toString('base64') };
    const mistaken = await connect({ kubeconfig: server.kubeconfig(user, other) });
    await assert.rejects(mistaken.request(GET), { code: 'UNREACHABLE', hint: /certificate authority/ });
    await mistaken.close();
  });

  it('acts for somebody else where the kubeconfig says so', async () => {
    await server.start();
    await open({ kubeconfig: server.kubeconfig({ token: 'a', as: 'jane', 'as-groups': ['dev'] }) });
    await connection?.request(GET);
    const { headers } = server.seen[0]!;
    assert.equal(headers['impersonate-user'], 'jane');
    assert.equal(headers['impersonate-group'], 'dev');
  });

  const answers: readonly { status: number; reason: string; code: KubernetesErrorCode }[] = [
    { status: 403, reason: 'Forbidden', code: 'FORBIDDEN' },
    { status: 404, reason: 'NotFound', code: 'NOT_FOUND' },
    { status: 409, reason: 'AlreadyExists', code: 'CONFLICT' },
    { status: 410, reason: 'Expired', code: 'EXPIRED' },
    { status: 422, reason: 'Invalid', code: 'INVALID' },
    { status: 429, reason: 'TooManyRequests', code: 'THROTTLED' },
    { status: 500, reason: 'InternalError', code: 'SERVER' },
    { status: 503, reason: 'ServiceUnavailable', code: 'SERVER' },
    { status: 302, reason: 'Elsewhere', code: 'SERVER' },
  ];
  for (const { status, reason, code } of answers) {
    it(`is told ${status} as ${code}`, async () => {
      await server.start();
      server.intercept = (_, response) => {
        answerStatus(response, status, reason, `because ${reason}`);
        return true;
      };
      await open({ kubeconfig: server.kubeconfig() });
      const message = new RegExp(`GET /version of http://127.*because ${reason}`);
      await assert.rejects(connection!.request(GET), { name: 'KubernetesError', code, status, reason, message });
      const lines = connection!.stream('/watch', {}, new AbortController().signal);
      await assert.rejects(drain(lines), { code, status, reason });
    });
  }

  it('does not wait for ever, before an answer or within it, nor for a watch to be accepted', async () => {
    await server.start();
    server.intercept = ({ path }, response) => {
      if (path === '/within') response.write('{');
      return true;
    };
    await open({ kubeconfig: server.kubeconfig(), answerMs: 50 });
    for (const path of ['/before', '/within']) {
      await assert.rejects(connection!.request({ method: 'GET', path }), { code: 'UNREACHABLE', message: /50 ms/ });
    }
    const lines = connection!.stream('/before', {}, new AbortController().signal);
    await assert.rejects(drain(lines), { code: 'UNREACHABLE' });
  });

  it('may be silent for long once a watch is accepted, and is ended by its signal', async () => {
    await server.start();
    server.objects('/api/v1/pods');
    server.intercept = () => false;
    await open({ kubeconfig: server.kubeconfig(), answerMs: 30 });
    const ending = new AbortController();
    const lines: string[] = [];
    const opened = Promise.withResolvers<void>();
    const watch = (async () => {
      const stream = connection!.stream('/api/v1/pods', { watch: 'true' }, ending.signal, opened.resolve);
      for await (const line of stream) {
        lines.push(line);
        ending.abort(new Error('enough'));
      }
    })();
    await opened.promise;
    await new Promise((resolve) => setTimeout(resolve, 90));
    server.write('/api/v1/pods', '{"a":1}\n');
    await assert.rejects(watch, { message: 'enough' });
    assert.deepEqual(lines, ['{"a":1}']);
  });

  it('that is not there is said to be so', async () => {
    await server.start();
    const kubeconfig = server.kubeconfig();
    await server.stop();
    await open({ kubeconfig });
    await assert.rejects(connection!.request(GET), { code: 'UNREACHABLE', hint: /running/ });
  });

  it('keeps the path the server is behind', async () => {
    await server.start();
    await open({ kubeconfig: server.kubeconfig({}, { server: `${server.url}/k8s/clusters/c-1/` }) });
    await connection?.request(GET);
    assert.equal(server.seen[0]!.path, '/k8s/clusters/c-1/version');
  });
});

describe('a kubeconfig', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'sallyport-test-kubeconfig-'));
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  function file(content: object | string, name = 'config'): string {
    const path = join(directory, name);
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
    return path;
  }

  const whole = (server: string, user: object = {}) => ({
    'current-context': 'one',
    clusters: [{ name: 'c', cluster: { server } }],
    contexts: [
      { name: 'one', context: { cluster: 'c', user: 'u', namespace: 'shop' } },
      { name: 'two', context: { cluster: 'd', user: 'u' } },
    ],
    users: [{ name: 'u', user }],
  });

  it('finds files beside itself', () => {
    const kubeconfig = file(whole('https://a:6443', { tokenFile: 'token', 'client-key': '/k' }));
    const { user, namespace } = loadTarget({ kubeconfig });
    assert.deepEqual(user, { key: { file: '/k' }, token: { file: join(directory, 'token') } });
    assert.equal(namespace, 'shop');
  });

  it('may be several, of which the first that says something counts', () => {
    const first = file(whole('https://a:6443'), 'first');
    const second = file(
      { 'current-context': 'other', clusters: [{ name: 'd', cluster: { server: 'https://d:6443' } }] },
      'second',
    );
    const env = { KUBECONFIG: `${first}:${second}` };
    assert.equal(loadTarget({ env }).server, 'https://a:6443');
    assert.equal(loadTarget({ env, context: 'two' }).server, 'https://d:6443');
  });

  it('is not needed in a pod, and has no say there unless it is named', () => {
    file('token', 'token');
    const env = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443', HOME: directory };
    const target = loadTarget({ env, serviceAccount: directory });
    assert.equal(target.server, 'https://[fd00::1]:443');
    assert.deepEqual(target.user, { token: { file: join(directory, 'token') } });
    assert.deepEqual(target.authority, { file: join(directory, 'ca.crt') });
  });

  const bad: readonly { name: string; content: object | string; message: RegExp }[] = [
    { name: 'is no YAML', content: 'a: [', message: /Cannot use kubeconfig .*config/ },
    { name: 'is a list', content: [], message: /expected object/ },
    { name: 'names no context', content: { clusters: [] }, message: /no current context/ },
    {
      name: 'names a context it does not have',
      content: { 'current-context': 'x' },
      message: /no "x" among its contexts/,
    },
    { name: 'has a server that is none', content: whole('ftp://a'), message: /server/ },
    {
      name: 'has a user of an auth-provider that nobody knows',
      content: whole('https://a', { 'auth-provider': { name: 'openstack' } }),
      message: /auth-provider that nobody knows \(openstack\)/,
    },
    { name: 'has a number for a token', content: whole('https://a', { token: 7 }), message: /token/ },
  ];
  for (const { name, content, message } of bad) {
    it(`that ${name} is refused`, () => {
      assert.throws(() => loadTarget({ kubeconfig: file(content) }), { code: 'INVALID', message });
    });
  }

  it('that is not there is refused, and so is none at all', () => {
    assert.throws(() => loadTarget({ kubeconfig: join(directory, 'none') }), { code: 'INVALID', message: /ENOENT/ });
    assert.throws(() => loadTarget({ env: { HOME: directory } }), {
      code: 'INVALID',
      message: /no pod/,
      hint: /KUBECONFIG/,
    });
  });

  it('does not get its credentials sent over plain HTTP to another machine', async () => {
    const kubeconfig = file(whole('http://10.0.0.1:8080', { token: 'abc' }));
    await assert.rejects(connect({ kubeconfig }), { code: 'INVALID', message: /plain HTTP/ });
    const anonymous = await connect({ kubeconfig: file(whole('http://10.0.0.1:8080')) });
    await anonymous.close();
  });
});
