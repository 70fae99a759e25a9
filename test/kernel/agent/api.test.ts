import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { connect as connectSocket } from 'node:net';
import { dirname } from 'node:path';
import type { ErrorView } from '../../../src/agent/api/contract.ts';
import { parseExposition } from '../../agent/exposition.ts';
import { waitFor } from '../../rig/cleanup.ts';
import { connect } from '../../rig/traffic.ts';
import { Station, unitPolicy } from './station.ts';

interface Answer {
  readonly status: number;
  readonly text: string;
}

const NOBODY = '65534';

describe('the API of a real agent', function () {
  this.timeout(120_000);
  let station: Station;

  before(async () => {
    station = await Station.create(['web', 'api']);
    await station.start();
  });
  after(() => station?.close());

  const call = (method: string, path: string, body?: string | Buffer, type = 'application/json'): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { 'content-type': type };
      const sent = request({ socketPath: station.socket, method, path, headers }, (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => {
          text += part;
        });
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      });
      sent.on('error', reject);
      sent.end(body);
    });

  it('listens on a socket that root alone can open', () => {
    assert.equal(statSync(station.socket).mode & 0o777, 0o600);
    assert.equal(statSync(dirname(station.socket)).mode & 0o777, 0o750);
  });

  const follow = (...args: string[]) => station.background([...args, '-o', 'json']);

  const refused: [name: string, run: () => Promise<Answer>, status: number, code: string, message: RegExp][] = [
    ['an unknown path', () => call('GET', '/v1/nothing'), 404, 'NOT_FOUND', /GET \/v1\/nothing/],
    ['an unknown method', () => call('PUT', '/v1/status', '{}'), 404, 'NOT_FOUND', /PUT/],
    ['a body that is not JSON', () => call('POST', '/v1/explain', '{'), 400, 'USAGE', /JSON/],
    [
      'a body of another type',
      () => call('POST', '/v1/explain', 'x', 'text/csv'),
      400,
      'USAGE',
      /Unsupported Media Type/,
    ],
    [
      'a body with an unknown field',
      () => call('POST', '/v1/explain', '{"from":"a","to":"b","x":1}'),
      400,
      'USAGE',
      /body/,
    ],
    ['a body that lacks a field', () => call('POST', '/v1/explain', '{"from":"a"}'), 400, 'USAGE', /body/],
    ['no body', () => call('POST', '/v1/policies'), 400, 'USAGE', /body/],
    ['a body too large', () => call('POST', '/v1/policies', Buffer.alloc(5 << 20, 'x')), 413, 'TOO_LARGE', /4194304/],
    ['an unknown query', () => call('GET', '/v1/events?wat=1'), 400, 'USAGE', /query/],
    ['a number that is none', () => call('GET', '/v1/flows?limit=many'), 400, 'USAGE', /query/],
    ['a hostile name', () => call('GET', '/v1/endpoints/__proto__'), 404, 'NOT_FOUND', /"__proto__" was not found/],
    ['a hostile body', () => call('POST', '/v1/explain', '{"__proto__":{"from":"x"},"to":"y"}'), 400, 'USAGE', /./],
  ];
  for (const [name, run, status, code, message] of refused) {
    it(`refuses ${name} with an error of the table`, async () => {
      const answer = await run();
      assert.equal(answer.status, status, answer.text);
      const { error } = JSON.parse(answer.text) as ErrorView;
      assert.equal(error.code, code);
      assert.match(error.message, message);
    });
  }

  it('reads a body too large to its end before it closes: whoever writes first and reads then learns why', async () => {
    const length = 5 << 20;
    const head = `POST /v1/policies HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${length}`;
    const caller = connectSocket(station.socket);
    const failed = new Promise<never>((_, reject) => caller.once('error', reject));
    const written = new Promise<void>((resolve) => {
      caller.write(`${head}\r\n\r\n`);
      // Given time, an agent that does not read on has closed.
      setTimeout(() => caller.write(Buffer.alloc(length, 'x'), () => resolve()), 200);
    });
    await Promise.race([written, failed]);
    const [answer] = (await Promise.race([once(caller, 'data'), failed])) as [Buffer];
    assert.match(answer.toString(), /^HTTP\/1\.1 413 /);
    caller.destroy();
  });

  it('survives callers that do not speak HTTP, or not to the end', async () => {
    for (const bytes of [
      'nonsense\r\n\r\n',
      'GET /v1/status HTTP/1.1\r\n',
      `GET /${'x'.repeat(100_000)} HTTP/1.1\r\n\r\n`,
      '\0\0\0',
    ]) {
      await new Promise<void>((resolve) => {
        const socket = connectSocket(station.socket, () => socket.end(bytes));
        socket
          .on('error', () => resolve())
          .on('close', () => resolve())
          .resume();
      });
    }
    assert.equal((await call('GET', '/v1/version')).status, 200);
  });

  it('streams events as they come', async () => {
    await station.apply(unitPolicy('api', 'api', '  ingress: []'));
    const follower = follow('event', 'follow', '--verdict', 'Deny');
    await waitFor('it follows', async () => (await station.status()).events.followers === 1);
    const target = { address: station.endpoint('api').ipv4, port: 8080 };
    await connect(station.endpoint('web'), target, { timeoutMs: 200 });
    const [line] = await follower.output(/^\{.*\}$/m);
    const event = JSON.parse(line ?? '') as { verdict: string; destination: { name: string } };
    assert.equal(event.verdict, 'Deny');
    assert.equal(event.destination.name, 'test/Unit/api');
    follower.kill('SIGINT');
    assert.equal((await follower.exited).status, 130);
    await waitFor('it follows no more', async () => (await station.status()).events.followers === 0);
    await station.cli(['policy', 'delete', 'test/api']);
  });

  it('reports allowed packets while somebody follows flows', async () => {
    const follower = follow('flow', 'follow');
    await waitFor('it follows', async () => (await station.status()).events.followers === 1);
    const target = { address: station.endpoint('api').ipv4, port: 80 };
    assert.equal((await connect(station.endpoint('web'), target)).result, 'ok');
    const [line] = await follower.output(/^\{.*"verdict":"Allow".*\}$/m);
    assert.match(line ?? '', /"name":"test\/Unit\/web"/);
    follower.kill('SIGTERM');
    assert.equal((await follower.exited).status, 0);
  });

  it('serves metrics that Prometheus can read, and nothing else, over HTTP', async () => {
    const get = async (path: string, method = 'GET') => {
      const { stdout } = await station.node.host.attempt([
        process.execPath,
        '-e',
        `fetch('http://127.0.0.1:9464${path}',{method:'${method}'}).then(async r=>console.log(JSON.stringify([r.status,await r.text(),r.headers.get('content-type')])))`,
      ]);
      return JSON.parse(stdout) as [status: number, text: string, type: string];
    };
    const [status, text, type] = await get('/metrics');
    assert.equal(status, 200);
    assert.match(type, /^text\/plain; version=0\.0\.4/);
    const families = parseExposition(text);
    for (const name of [
      'sallyport_build_info',
      'sallyport_endpoints',
      'sallyport_policy_latency_seconds',
      'sallyport_map_entries',
      'process_resident_memory_bytes',
    ]) {
      assert.ok(families.has(name), name);
    }
    assert.deepEqual((await get('/readyz')).slice(0, 2), [200, 'ok\n']);
    assert.deepEqual((await get('/healthz')).slice(0, 2), [200, 'ok\n']);
    assert.equal((await get('/')).at(0), 404);
    assert.equal((await get('/metrics', 'POST')).at(0), 405);
  });
});

describe('who may call a real agent', function () {
  this.timeout(120_000);
  let station: Station;
  afterEach(() => station.close());

  const status = (uid: string) =>
    station.node.host.attempt([
      'setpriv',
      `--reuid=${uid}`,
      `--regid=${uid}`,
      '--clear-groups',
      process.execPath,
      '-e',
      `require('http').get({socketPath:'${station.socket}',path:'/v1/version'},r=>{r.resume();console.log(r.statusCode)}).on('error',e=>console.log(e.code))`,
    ]);

  it('is root alone, unless others are named', async () => {
    station = await Station.create([]);
    chmodSync(station.directory, 0o755);
    await station.start();
    assert.equal((await status(NOBODY)).stdout.trim(), 'EACCES');
    assert.equal((await status('0')).stdout.trim(), '200');
  });

  it('is a user that is named, and no other, by what the kernel says of the caller', async () => {
    station = await Station.create([]);
    chmodSync(station.directory, 0o755);
    await station.start(['--set', 'api.uids=[12345]']);
    assert.equal((await status('12345')).stdout.trim(), '200');
    assert.equal((await status(NOBODY)).stdout.trim(), '403');
  });
});
