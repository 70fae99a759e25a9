import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type {
  HandshakeDetailView,
  HandshakeRecordView,
  HandshakeView,
  PeerAgentView,
  PeerView,
  RecordPageView,
} from '../../src/agent/api/between-contract.ts';
import { ENDS, RESULTS, recordQuery, revokeBody } from '../../src/agent/api/between-contract.ts';
import { complete } from '../../src/cli/completion/complete.ts';
import { makeProgram } from '../../src/cli/program.ts';
import { type Shown, sallyport } from './terminal.ts';

const NOW = Date.parse('2027-01-01T00:00:00Z');
const ago = (seconds: number): string => new Date(NOW - seconds * 1_000).toISOString();

const ends = {
  source: { node: 'n1', identity: '0000000000000001', workload: 'shop/Service/web', address: '10.1.0.2', port: 4000 },
  destination: { identity: '0000000000000002', address: 'fd00::3', port: 53 },
};
const handshake: HandshakeView = {
  id: '00f1c2d3e4a5b697',
  end: 'source',
  state: 'offered',
  agent: 'node2',
  protocol: 'UDP',
  ...ends,
  startedAt: ago(0.25),
  deadline: ago(-2.75),
  held: { packets: 3, bytes: 1_536 },
};
const record = (number: number, change: Partial<HandshakeRecordView> = {}): HandshakeRecordView => ({
  id: number.toString(16).padStart(16, '0'),
  time: ago(number),
  end: 'source',
  result: 'refused',
  step: 'accept',
  reason: 'policy',
  rule: 'shop/api.ingress[0]',
  protocol: 'UDP',
  ...ends,
  durationMs: 12.4,
  ...change,
});
const peer: PeerView = {
  endpoint: '3f2a00112233445566778899aabbccdd',
  workload: 'shop/Service/web',
  address: '203.0.113.9',
  conversation: { protocol: 'UDP', remotePort: 53, localPort: 4000 },
  kind: 'verified',
  identity: '0000000000000002',
  remoteWorkload: 'shop/Service/api',
  verifiedAt: ago(60),
  expiresAt: ago(-240),
  usedAt: ago(5),
  agent: 'node2',
  handshake: handshake.id,
};
const agent: PeerAgentView = {
  name: 'node2',
  address: '192.0.2.2:7350',
  state: 'waiting',
  since: ago(90),
  error: 'connect ECONNREFUSED',
  inbound: true,
  identities: 7,
  cidrs: ['10.2.0.0/16', '203.0.113.10/32'],
};

describe('commands on what goes on between nodes', () => {
  let directory: string;
  let server: Server;
  let asked: { method: string; path: string; query: Record<string, string>; body: unknown }[];
  let answer: (path: string, query: Record<string, string>, body: unknown) => unknown;
  before((done) => {
    directory = mkdtempSync(join(tmpdir(), 'sallyport-cli-'));
    server = createServer(async (request, response) => {
      const url = new URL(request.url ?? '', 'http://agent');
      const query = Object.fromEntries(url.searchParams);
      let text = '';
      for await (const chunk of request) text += String(chunk);
      const body = text === '' ? undefined : (JSON.parse(text) as unknown);
      asked.push({ method: request.method ?? '', path: url.pathname, query, body });
      response.writeHead(200).end(JSON.stringify(answer(url.pathname, query, body)));
    }).listen(join(directory, 's'), done);
  });
  after(() => {
    server.close();
    rmSync(directory, { recursive: true });
  });
  beforeEach(() => {
    asked = [];
  });
  const run = (...words: string[]): Promise<Shown> =>
    sallyport(['--socket', join(directory, 's'), ...words], { now: NOW });

  it('list handshakes under way', async () => {
    answer = () => [handshake];
    const { out } = await run('handshake', 'list');
    assert.match(out, /^ID +AS +STATE +AGENT +PROTOCOL +SOURCE +DESTINATION +HELD +AGE\n/);
    assert.match(
      out,
      /\n00f1c2d3e4a5b697 +source +offered +node2 +UDP +shop\/Service\/web 10\.1\.0\.2:4000 +0000000000000002 \[fd00::3\]:53 +3 1\.5KiB +250ms\n$/,
    );
    assert.deepEqual(
      asked.map(({ path }) => path),
      ['/v1/handshakes'],
    );
    answer = () => [];
    assert.deepEqual(await run('hs', 'ls'), { exit: 0, out: '', err: 'No handshake found.\n' });
  });

  it('show all of one handshake', async () => {
    const detail: HandshakeDetailView = { id: handshake.id, underWay: handshake, records: [record(1)], peers: [peer] };
    answer = () => detail;
    const { out } = await run('handshake', 'show', handshake.id);
    assert.match(out, /^Under way\nID .*\n00f1.*\nRecords\nTIME .*\n2026.*\nVerified by it\nWORKLOAD .*\nshop.*\n$/);
    assert.equal(asked[0]?.path, '/v1/handshakes/00f1c2d3e4a5b697');
    assert.deepEqual(JSON.parse((await run('handshake', 'show', handshake.id, '-o', 'json')).out), detail);
    assert.equal((await run('handshake', 'show', handshake.id, '-o', 'name')).out, 'handshake/00f1c2d3e4a5b697\n');
    answer = () => ({ id: handshake.id, records: [], peers: [] });
    assert.equal((await run('handshake', 'show', 'a/../b')).exit, 0);
    assert.equal(asked.at(-1)?.path, '/v1/handshakes/a%2F..%2Fb');
  });

  it('ask for the records that are wanted, in words the API takes', async () => {
    answer = (): RecordPageView => ({ records: [record(1, { rule: '', reason: 'timeout' })] });
    const filter = ['--since', '1h', '--until', '2026-12-31T23:59:00+00:00', '--result', 'refused'];
    const more = ['--workload', 'shop/*/web', '--identity', '0000000000000001', '--end', 'source', '--limit', '7'];
    const { out } = await run('handshake', 'records', ...filter, ...more);
    assert.match(
      out,
      /\n2026-12-31T23:59:59\.000Z +source +refused +accept +timeout +UDP .* 12ms +0000000000000001\n$/,
    );
    assert.deepEqual(asked[0]?.query, {
      since: '2026-12-31T23:00:00.000Z',
      until: '2026-12-31T23:59:00.000Z',
      result: 'refused',
      workload: 'shop/*/web',
      identity: '0000000000000001',
      end: 'source',
      limit: '7',
    });
    const read = recordQuery.parse(asked[0]?.query);
    assert.deepEqual([read.since, read.limit, read.end], [NOW - 3_600_000, 7, 'source']);
  });

  it('go from page to page until there are enough', async () => {
    const all = Array.from({ length: 2_500 }, (_, i) => record(i));
    answer = (_path, { limit, after = '0' }): RecordPageView => {
      const from = Number(after);
      const records = all.slice(from, from + Number(limit));
      const next = from + records.length;
      return { records, ...(next < all.length ? { after: String(next) } : {}) };
    };
    const count = async (...words: string[]): Promise<number> =>
      (JSON.parse((await run('handshake', 'records', '-o', 'json', ...words)).out) as unknown[]).length;
    assert.equal(await count(), 1_000);
    assert.equal(await count('--limit', '2200'), 2_200);
    assert.deepEqual(
      asked.slice(1).map(({ query }) => query.limit),
      ['1000', '1000', '200'],
    );
    assert.equal(await count('--limit', '9000'), 2_500);
  });

  it('list peers, and show what comes from others without its control characters', async () => {
    answer = () => [
      peer,
      {
        ...peer,
        conversation: undefined,
        kind: 'world',
        identity: undefined,
        remoteWorkload: undefined,
        usedAt: undefined,
        agent: 'no\u001b[2Jde',
      },
    ];
    const { out } = await run('peer', 'list');
    assert.match(out, /^WORKLOAD +ADDRESS +KIND +PEER +AGENT +AGE +EXPIRES +USED\n/);
    assert.match(
      out,
      /\nshop\/Service\/web +UDP 203\.0\.113\.9:53 :4000 +verified +shop\/Service\/api +node2 +60s +4m +5s\n/,
    );
    assert.match(out, /\nshop\/Service\/web +203\.0\.113\.9 +world +- +no\\u001b\[2Jde +60s +4m +-\n$/);
    assert.match(
      (await run('peer', 'list', '-o', 'wide')).out,
      /HANDSHAKE\n.* 0000000000000002 +3f2a\w* +00f1c2d3e4a5b697\n/,
    );
  });

  it('list the other agents', async () => {
    answer = () => [agent];
    const { out } = await run('peer', 'agents', '-o', 'wide');
    assert.match(
      out,
      /\nnode2 +192\.0\.2\.2:7350 +waiting +90s +yes +- +7 +connect ECONNREFUSED +- +10\.2\.0\.0\/16,203\.0\.113\.10\/32\n$/,
    );
    assert.equal(asked[0]?.path, '/v1/peers/agents');
  });

  it('revoke what is named, and all of it only when that is meant', async () => {
    answer = (_path, _query, body) => ({ revoked: [peer], dryRun: (body as { dryRun: boolean }).dryRun });
    const one = await run('peer', 'revoke', 'shop/Service/web');
    assert.deepEqual([one.exit, one.err], [0, '1 revoked.\n']);
    assert.match(one.out, /^WORKLOAD .*\nshop\/Service\/web /);
    assert.equal((await run('peer', 'revoke', '--all', '--dry-run')).err, '1 would be revoked.\n');
    assert.equal((await run('peer', 'revoke', '--all', '--yes')).exit, 0);
    assert.deepEqual(
      asked.map(({ body }) => body),
      [
        { selector: 'shop/Service/web', all: false, dryRun: false },
        { all: true, dryRun: true },
        { all: true, dryRun: false },
      ],
    );
    for (const { method, body } of asked) {
      assert.equal(method, 'POST');
      revokeBody.parse(body);
    }
    asked = [];
    for (const words of [[], ['--yes'], ['--all'], ['web', '--all', '--yes']]) {
      assert.equal((await run('peer', 'revoke', ...words)).exit, 2, words.join(' '));
    }
    assert.deepEqual(asked, []);
  });

  const malformed: [words: string[], message: RegExp][] = [
    [['records', '--since', 'yesterday'], /how long ago .* or a time/],
    [['records', '--result', 'lost'], /Allowed choices are verified, refused/],
    [['records', '--end', 'middle'], /Allowed choices are source, destination/],
    [['records', '--limit', '0'], /A whole number from 1 on/],
    [['show'], /missing required argument 'id'/],
  ];
  for (const [words, message] of malformed) {
    it(`refuse ${words.join(' ')}`, async () => {
      const { exit, err } = await run('handshake', ...words);
      assert.equal(exit, 2);
      assert.match(err, message);
    });
  }

  it('are completed', async () => {
    const program = makeProgram({ environment: {} } as never);
    const texts = (...words: string[]): string[] => complete(program, words).candidates.map(({ text }) => text);
    assert.deepEqual(texts('handshake', ''), ['list', 'show', 'records']);
    assert.deepEqual(texts('peer', 're'), ['revoke']);
    assert.deepEqual(texts('handshake', 'records', '--result', ''), [...RESULTS]);
    assert.deepEqual(texts('handshake', 'records', '--end', ''), [...ENDS]);
    assert.equal(complete(program, ['handshake', 'records', '--workload', '']).names, 'workload');
    for (const words of [
      ['ca', 'show', ''],
      ['ca', 'issue', 'n1', '--out', ''],
      ['keys', 'show', '--file', ''],
    ]) {
      assert.equal(complete(program, words).files, true, words.join(' '));
    }
    answer = (path) => (path === '/v1/peers' ? [peer, peer] : [handshake]);
    assert.equal((await run('__complete', '--', 'handshake', 'show', '')).out, '00f1c2d3e4a5b697\toffered\n');
    assert.equal((await run('__complete', '--', 'peer', 'revoke', '')).out, '203.0.113.9\tshop/Service/api\n');
  });
});

describe('requests about what goes on between nodes', () => {
  const queries: [query: object, good: boolean][] = [
    [{}, true],
    [{ limit: '1000', after: '5.1' }, true],
    [{ limit: '1001' }, false],
    [{ limit: '0' }, false],
    [{ since: '1h' }, false],
    [{ since: '2027-01-01T00:00:00+01:00' }, true],
    [{ result: 'lost' }, false],
    [{ identity: '1' }, false],
    [{ workload: 'x'.repeat(401) }, false],
    [{ unknown: '1' }, false],
  ];
  for (const [query, good] of queries) {
    it(`${good ? 'take' : 'refuse'} ${JSON.stringify(query).slice(0, 60)}`, () => {
      assert.equal(recordQuery.safeParse(query).success, good);
    });
  }

  it('revoke either something or everything', () => {
    const good = (body: object): boolean => revokeBody.safeParse(body).success;
    assert.deepEqual([good({ selector: 'a' }), good({ all: true })], [true, true]);
    assert.deepEqual([good({}), good({ selector: 'a', all: true }), good({ selector: '' })], [false, false, false]);
  });
});
