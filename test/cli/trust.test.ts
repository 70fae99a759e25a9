// Loaded here, because they make globals, and mocha would blame the test that first loads them.
import 'reflect-metadata';
import '@peculiar/x509';
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadCredentials } from '../../src/trust/credentials.ts';
import { readTagKeys } from '../../src/trust/tag-key-file.ts';
import { type Shown, sallyport } from './terminal.ts';

const NOW = Date.parse('2027-01-01T00:00:00Z');

describe('certificates from the command line', () => {
  let root: string;
  let ca: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'sallyport-cli-'));
    ca = join(root, 'ca');
  });
  afterEach(() => rmSync(root, { recursive: true }));
  const run = (...words: string[]): Promise<Shown> => sallyport(['ca', ...words, '--directory', ca], { now: NOW });
  const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);

  it('are made and issued, and an agent takes them', async () => {
    const made = await run('init', '--domain', 'prod.example');
    assert.deepEqual([made.exit, made.out], [0, `${join(ca, 'authority.crt')}\n`]);
    assert.deepEqual(
      [modeOf(join(ca, 'authority.key')), modeOf(join(ca, 'authority.crt')), modeOf(ca)],
      ['600', '644', '700'],
    );
    const out = join(root, 'tls');
    const issued = await run(
      'issue',
      'n1',
      '--out',
      out,
      '--days',
      '30',
      '--address',
      '10.0.0.1',
      '--name',
      'n1.example',
    );
    assert.equal(issued.exit, 0, issued.err);
    assert.deepEqual(readdirSync(out).sort(), ['agent.crt', 'agent.key', 'authority.crt']);
    assert.equal(
      issued.out,
      ['agent.key', 'agent.crt', 'authority.crt'].map((name) => `${join(out, name)}\n`).join(''),
    );
    const files = {
      certificate: join(out, 'agent.crt'),
      key: join(out, 'agent.key'),
      authority: join(out, 'authority.crt'),
    };
    const credentials = loadCredentials(files, { domain: 'prod.example', node: 'n1' }, NOW);
    assert.equal(credentials.notAfter, NOW + 30 * 86_400_000);
  });

  it('go beside the authority where nothing else is said', async () => {
    await run('init');
    assert.equal((await run('issue', 'node2')).exit, 0);
    assert.deepEqual(readdirSync(join(ca, 'issued', 'node2')).sort(), ['agent.crt', 'agent.key', 'authority.crt']);
  });

  it('are never overwritten unless forced', async () => {
    await run('init');
    await run('issue', 'n1');
    const before = readFileSync(join(ca, 'authority.key'), 'utf8');
    for (const words of [['init'], ['issue', 'n1']]) {
      const { exit, err, out } = await run(...words);
      assert.deepEqual([exit, out], [1, '']);
      assert.match(err, /^error: Refused to overwrite .*\nhint: keep it, or say --force\n/m);
    }
    assert.equal(readFileSync(join(ca, 'authority.key'), 'utf8'), before);
    assert.equal((await run('issue', 'n1', '--force')).exit, 0);
    assert.equal((await run('init', '--force')).exit, 0);
    assert.notEqual(readFileSync(join(ca, 'authority.key'), 'utf8'), before);
  });

  it('are shown', async () => {
    await run('init', '--domain', 'prod.example');
    await run('issue', 'n1', '--days', '30', '--address', '::1');
    const file = join(ca, 'issued', 'n1', 'agent.crt');
    const json = JSON.parse((await run('show', file, '-o', 'json')).out) as Record<string, unknown>[];
    const [{ serial, fingerprint, ...rest } = {}] = json;
    assert.deepEqual(rest, {
      subject: 'CN=n1',
      issuer: 'CN=Sallyport authority of prod.example',
      uri: 'spiffe://prod.example/agent/n1',
      names: ['::1'],
      notBefore: '2026-12-31T23:55:00.000Z',
      notAfter: '2027-01-31T00:00:00.000Z',
      authority: false,
      file,
    });
    assert.match(String(serial), /^[0-9a-f]{32}$/);
    assert.match(String(fingerprint), /^([0-9A-F]{2}:){31}/);
    assert.match(
      (await run('show')).out,
      /^SUBJECT +URI .*\nCN=Sallyport authority of prod\.example +spiffe:\/\/prod\.example +true /,
    );
    const input = readFileSync(file, 'utf8') + readFileSync(join(ca, 'authority.crt'), 'utf8');
    const both = await sallyport(['ca', 'show', '-', '--no-headers'], { input });
    assert.equal(both.out.trimEnd().split('\n').length, 2);
  });

  const refused: [name: string, words: string[], exit: number, message: RegExp][] = [
    ['a domain that is none', ['init', '--domain', 'A/B'], 6, /domain "A\/B": wanted lower-case/],
    ['years without end', ['init', '--years', '101'], 6, /101 years: wanted a whole number from 1 to 100/],
    ['a node that leads elsewhere', ['issue', '../../etc'], 6, /node "\.\.\/\.\.\/etc": wanted letters/],
    ['an address that is none', ['issue', 'n1', '--address', 'x'], 6, /"x" is no IP address/],
    ['days that are none', ['issue', 'n1', '--days', 'x'], 2, /A whole number from 1 on/],
    ['a file that is not there', ['show', '/nonexistent'], 3, /Cannot read \/nonexistent/],
    ['a file that is no certificate', ['show', '/etc/hostname'], 6, /no certificate in PEM/],
  ];
  for (const [name, words, exit, message] of refused) {
    it(`are refused with ${name}, and nothing is written`, async () => {
      if (words[0] === 'issue') await run('init');
      const shown = await run(...words);
      assert.equal(shown.exit, exit, shown.err);
      assert.match(shown.err, message);
      assert.equal(shown.out, '');
      assert.deepEqual(readdirSync(root), words[0] === 'issue' ? ['ca'] : []);
    });
  }

  it('are not issued without an authority, nor with one whose key others can read', async () => {
    assert.equal((await run('issue', 'n1')).exit, 3);
    await run('init');
    chmodSync(join(ca, 'authority.key'), 0o640);
    const { exit, err } = await run('issue', 'n1');
    assert.equal(exit, 7);
    assert.match(err, /Refused to use .*authority\.key: its mode is 0640.*\nhint: chmod 600/);
  });
});

describe('tag keys from the command line', () => {
  let root: string;
  let file: string;
  let said: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'sallyport-cli-'));
    file = join(root, 'tag-keys.json');
    said = '';
  });
  afterEach(() => rmSync(root, { recursive: true }));
  const run = async (words: readonly string[], now = NOW): Promise<Shown> => {
    const shown = await sallyport(['keys', ...words, '--file', file], { now });
    said += shown.out + shown.err;
    return shown;
  };

  it('are made, rotated and shown, and never told', async () => {
    const secrets = new Set<string>();
    const remember = (): void => {
      for (const { key } of readTagKeys(file).keys) secrets.add(Buffer.from(key).toString('hex'));
    };
    assert.equal((await run(['init'])).exit, 0);
    remember();
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const { out } = await run(['rotate', '--activate-in', '5m', '--keep', '2h', '-o', 'json']);
    remember();
    const views = JSON.parse(out) as { epoch: number; fingerprint: string }[];
    assert.deepEqual(
      views.map(({ fingerprint, ...rest }) => rest),
      [
        { epoch: 1, state: 'signs', expires: '2027-01-01T02:05:00.000Z' },
        { epoch: 2, state: 'waits', activates: '2027-01-01T00:05:00.000Z' },
      ],
    );
    assert.equal(new Set(views.map(({ fingerprint }) => fingerprint)).size, 2);
    for (const format of ['table', 'wide', 'json', 'yaml', 'name']) await run(['show', '-o', format], NOW + 600_000);
    assert.match((await run(['show'], NOW + 600_000)).out, / 1 +accepted +- +in 1h55m .*\n +2 +signs +5m ago +- /);
    assert.equal(secrets.size, 2);
    for (const secret of secrets) assert.ok(!said.includes(secret) && !said.includes(secret.toUpperCase()));
    // The file is whole: what it says is what was shown.
    assert.equal(readTagKeys(file).signing, 2);
    assert.deepEqual(readdirSync(root), ['tag-keys.json']);
  });

  it('are not made twice unless forced', async () => {
    await run(['init']);
    const before = readFileSync(file, 'utf8');
    assert.equal((await run(['init'])).exit, 1);
    assert.equal(readFileSync(file, 'utf8'), before);
    assert.equal((await run(['init', '--force'])).exit, 0);
    assert.notEqual(readFileSync(file, 'utf8'), before);
  });

  it('do not rotate so often that two look the same; the file stays as it was', async () => {
    await run(['init']);
    for (let i = 0; i < 3; i++) assert.equal((await run(['rotate'])).exit, 0);
    const before = readFileSync(file, 'utf8');
    const { exit, err } = await run(['rotate']);
    assert.equal(exit, 6);
    assert.match(
      err,
      /epochs 1 and 5 are the same modulo 4.*accepted until 2027-01-01T01:01:00.*\nhint: wait until then/,
    );
    assert.equal(readFileSync(file, 'utf8'), before);
    assert.equal((await run(['rotate'], NOW + 7_200_000)).exit, 0);
    assert.deepEqual(
      readTagKeys(file).keys.map(({ epoch }) => epoch),
      [4, 5],
    );
  });

  it('are refused where others can read them, where there are none, and where they are bad', async () => {
    assert.equal((await run(['show'])).exit, 3);
    await run(['init']);
    chmodSync(file, 0o644);
    for (const words of [['show'], ['rotate']]) {
      const { exit, err } = await run(words);
      assert.equal(exit, 7);
      assert.match(err, /its mode is 0644/);
    }
    writeFileSync(file, '{}');
    chmodSync(file, 0o600);
    assert.equal((await run(['show'])).exit, 6);
    assert.equal((await run(['rotate', '--keep', 'long'])).exit, 2);
  });
});
