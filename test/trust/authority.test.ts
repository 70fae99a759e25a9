// Loaded here, because they make globals, and mocha would blame the test that first loads them.
import 'reflect-metadata';
import '@peculiar/x509';
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { type Authority, createAuthority, domainOfAuthority, issueCertificate } from '../../src/trust/authority.ts';
import { describeCertificate, nodeOfUri, parseCertificates, urisOf } from '../../src/trust/certificate.ts';
import { TrustError } from '../../src/trust/error.ts';

const isOf = (code: string, message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof TrustError, String(error));
  assert.equal(error.code, code);
  assert.match(error.message, message);
  return true;
};

describe('an authority', () => {
  let authority: Authority;
  let directory: string;
  before(async () => {
    authority = await createAuthority({ domain: 'prod.example', years: 10 });
    directory = mkdtempSync(join(tmpdir(), 'sallyport-test-trust-'));
  });
  after(() => rmSync(directory, { recursive: true }));

  const file = (name: string, text: string): string => {
    const path = join(directory, name);
    writeFileSync(path, text);
    return path;
  };

  it('is an authority that may sign agents and nobody who signs, and says of which domain it is', () => {
    const certificate = new X509Certificate(authority.certificate);
    assert.equal(certificate.ca, true);
    assert.ok(certificate.verify(certificate.publicKey));
    assert.ok(certificate.checkPrivateKey(createPrivateKey(authority.key)));
    assert.equal(domainOfAuthority(authority.certificate, 'x'), 'prod.example');
    assert.match(authority.key, /^-----BEGIN PRIVATE KEY-----\n/);
    const years = (certificate.validToDate.getTime() - certificate.validFromDate.getTime()) / 86_400_000 / 365.25;
    assert.ok(years > 9.98 && years < 10.02, String(years));
  });

  it('issues certificates with the names, uses and times that were asked for', async () => {
    const now = Date.parse('2027-01-01T00:00:00Z');
    const request = { domain: 'prod.example', node: 'n1', days: 30, now };
    const issued = await issueCertificate(authority, {
      ...request,
      addresses: ['10.0.0.1', 'FD00::0:1'],
      names: ['n1.example'],
    });
    const [certificate] = parseCertificates(issued.certificate, 'x');
    assert.ok(certificate !== undefined);
    const { serial, fingerprint, ...view } = describeCertificate(certificate);
    assert.deepEqual(view, {
      subject: 'CN=n1',
      issuer: 'CN=Sallyport authority of prod.example',
      uri: 'spiffe://prod.example/agent/n1',
      names: ['10.0.0.1', 'fd00::1', 'n1.example'],
      notBefore: '2026-12-31T23:55:00.000Z',
      notAfter: '2027-01-31T00:00:00.000Z',
      authority: false,
    });
    assert.match(serial, /^[4-7][0-9a-f]{31}$/);
    assert.match(fingerprint, /^([0-9A-F]{2}:){31}[0-9A-F]{2}$/);
    const other = await issueCertificate(authority, request);
    assert.notEqual(new X509Certificate(other.certificate).serialNumber.toLowerCase(), serial);
    assert.notEqual(other.key, issued.key);
  });

  it('issues nothing that outlives it', async () => {
    const short = await createAuthority({ domain: 'prod.example', years: 1 });
    const issued = await issueCertificate(short, { domain: 'prod.example', node: 'n1', days: 36_500 });
    assert.equal(new X509Certificate(issued.certificate).validTo, new X509Certificate(short.certificate).validTo);
  });

  it('keeps long names whole in the URI, whatever a common name may hold', async () => {
    const node = `${'n'.repeat(63)}.${'x'.repeat(180)}`;
    const issued = await issueCertificate(authority, { domain: 'prod.example', node, days: 1 });
    const { uri, subject } = describeCertificate(new X509Certificate(issued.certificate));
    assert.equal(uri, `spiffe://prod.example/agent/${node}`);
    assert.equal(subject.length, 'CN='.length + 64);
  });

  it('makes what openssl verifies for both ends of TLS', async function () {
    if (spawnSync('openssl', ['version']).error !== undefined) this.skip();
    const issued = await issueCertificate(authority, { domain: 'prod.example', node: 'n1', days: 30 });
    const ca = file('ca.crt', authority.certificate);
    const leaf = file('n1.crt', issued.certificate);
    for (const purpose of ['sslserver', 'sslclient']) {
      const words = ['verify', '-x509_strict', '-purpose', purpose, '-CAfile', ca, leaf];
      assert.match(execFileSync('openssl', words, { encoding: 'utf8' }), /: OK$/m);
    }
    const text = execFileSync('openssl', ['x509', '-in', leaf, '-noout', '-text'], { encoding: 'utf8' });
    assert.match(text, /Version: 3/);
    assert.match(text, /Basic Constraints: critical\s+CA:FALSE/);
    assert.match(text, /Key Usage: critical\s+Digital Signature\n/);
    const caText = execFileSync('openssl', ['x509', '-in', ca, '-noout', '-text'], { encoding: 'utf8' });
    assert.match(caText, /Basic Constraints: critical\s+CA:TRUE, pathlen:0/);
    assert.match(caText, /Key Usage: critical\s+Certificate Sign, CRL Sign\n/);
    const stranger = await createAuthority({ domain: 'prod.example', years: 1 });
    const refused = spawnSync('openssl', ['verify', '-CAfile', file('stranger.crt', stranger.certificate), leaf]);
    assert.notEqual(refused.status, 0);
  });

  it('makes what TLS 1.3 of Node takes on both ends', async () => {
    const [one, two] = await Promise.all(
      ['n1', 'n2'].map((node) => issueCertificate(authority, { domain: 'prod.example', node, days: 1 })),
    );
    assert.ok(one !== undefined && two !== undefined);
    const tls = { minVersion: 'TLSv1.3', ca: authority.certificate } as const;
    const server = createServer({
      ...tls,
      cert: one.certificate,
      key: one.key,
      requestCert: true,
      rejectUnauthorized: true,
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const accepted = new Promise<TLSSocket>((resolve) => server.once('secureConnection', resolve));
    const client = connect({
      ...tls,
      port,
      host: '127.0.0.1',
      cert: two.certificate,
      key: two.key,
      checkServerIdentity: () => undefined,
    });
    try {
      await new Promise((resolve, reject) =>
        client.once('secureConnect', () => resolve(undefined)).once('error', reject),
      );
      const peer = (await accepted).getPeerX509Certificate();
      assert.deepEqual(urisOf(peer?.subjectAltName), ['spiffe://prod.example/agent/n2']);
      assert.deepEqual(urisOf(client.getPeerX509Certificate()?.subjectAltName), ['spiffe://prod.example/agent/n1']);
    } finally {
      client.destroy();
      server.close();
    }
  });

  const request = { domain: 'prod.example', node: 'n1', days: 1 };
  const refused: [name: string, change: object, code: string, message: RegExp][] = [
    ['another domain', { domain: 'test.example' }, 'WRONG_DOMAIN', /for domain test.example: the authority is of prod/],
    ['a domain that is none', { domain: 'a/b' }, 'INVALID', /domain "a\/b": wanted lower-case/],
    ['a node with a slash', { node: 'n1/agent/n2' }, 'INVALID', /node "n1\/agent\/n2": wanted letters/],
    ['a node that climbs', { node: '..' }, 'INVALID', /node "\.\."/],
    ['a node with a comma', { node: 'n1, URI:spiffe' }, 'INVALID', /wanted letters/],
    ['an empty node', { node: '' }, 'INVALID', /wanted letters/],
    ['no days', { days: 0 }, 'INVALID', /0 days: wanted a whole number/],
    ['half a day', { days: 0.5 }, 'INVALID', /0.5 days/],
    ['an address that is none', { addresses: ['10.0.0.256'] }, 'INVALID', /"10.0.0.256" is no IP address/],
    ['a name that is none', { names: ['a b'] }, 'INVALID', /"a b" is no DNS name/],
    ['too many names', { names: Array.from({ length: 65 }, (_, i) => `n${i}`) }, 'INVALID', /more than 64/],
    ['a time after its end', { now: Date.now() + 11 * 366 * 86_400_000 }, 'EXPIRED', /the authority ended/],
  ];
  for (const [name, change, code, message] of refused) {
    it(`refuses ${name}`, async () => {
      await assert.rejects(issueCertificate(authority, { ...request, ...change }), isOf(code, message));
    });
  }

  it('refuses to sign with what is no authority, or with a key that is another one', async () => {
    const leaf = await issueCertificate(authority, request);
    await assert.rejects(issueCertificate(leaf, request), isOf('INVALID', /not that of an authority/));
    await assert.rejects(
      issueCertificate({ ...authority, key: leaf.key }, request),
      isOf('MISMATCH', /does not belong/),
    );
    await assert.rejects(issueCertificate({ ...authority, key: 'x' }, request), isOf('INVALID', /cannot be read/));
    await assert.rejects(
      issueCertificate({ ...authority, certificate: 'x' }, request),
      isOf('INVALID', /no certificate/),
    );
  });
});

describe('the URI of a certificate', () => {
  const cases: [uri: string, node: string | undefined][] = [
    ['spiffe://d/agent/n1', 'n1'],
    ['spiffe://d/agent/n1.example_2-x', 'n1.example_2-x'],
    ['spiffe://d/agent/', undefined],
    ['spiffe://d/agent/..', undefined],
    ['spiffe://d/agent/n1/', undefined],
    ['spiffe://d/agent/n1/x', undefined],
    ['spiffe://d/agent/n1?x', undefined],
    ['spiffe://d/agent/n%31', undefined],
    ['spiffe://D/agent/n1', undefined],
    ['SPIFFE://d/agent/n1', undefined],
    ['spiffe://d.evil/agent/n1', undefined],
    ['spiffe://evil@d/agent/n1', undefined],
    ['https://d/agent/n1', undefined],
  ];
  for (const [uri, node] of cases) {
    it(`${uri} is ${node === undefined ? 'nobody of d' : `node ${node} of d`}`, () => {
      assert.equal(nodeOfUri(uri, 'd'), node);
    });
  }

  it('cannot be smuggled in inside another name', () => {
    const names: [printed: string | undefined, uris: string[]][] = [
      [undefined, []],
      ['DNS:a, URI:spiffe://d/agent/n1, IP Address:10.0.0.1', ['spiffe://d/agent/n1']],
      ['DNS:"a, URI:spiffe://d/agent/n1"', []],
      ['DNS:"a\\", URI:spiffe://d/agent/n1"', []],
      ['URI:"spiffe://d/agent/n1, x"', []],
      ['URI:spiffe://d/agent/n1, URI:spiffe://d/agent/n2', ['spiffe://d/agent/n1', 'spiffe://d/agent/n2']],
      ['othername:<unsupported>, URI:spiffe://d/agent/n1', ['spiffe://d/agent/n1']],
    ];
    for (const [printed, uris] of names) assert.deepEqual(urisOf(printed), uris, printed);
  });
});
