// Loaded here, because they make globals, and mocha would blame the test that first loads them.
import 'reflect-metadata';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPrivateKey, generateKeyPairSync, webcrypto, X509Certificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { createAuthority, signCertificate } from '../../src/trust/authority.ts';
import { agentUri, describeCertificate } from '../../src/trust/certificate.ts';
import { TrustError } from '../../src/trust/error.ts';
import { readRequest } from '../../src/trust/read-request.ts';
import { makeRequest, requestOf } from '../../src/trust/request.ts';

const URI = agentUri('cluster.local', 'node1');
const EC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

const refused = (message: RegExp) => (error: unknown) => {
  assert.ok(error instanceof TrustError, String(error));
  assert.equal(error.code, 'INVALID');
  assert.match(error.message, message);
  return true;
};

describe('a request for an agent’s certificate', () => {
  it('is one that openssl verifies, with the agent’s URI and nothing else', () => {
    for (const node of ['n', 'node1', `${'n'.repeat(63)}.${'x'.repeat(180)}`]) {
      const { request } = makeRequest('cluster.local', node);
      const words = ['req', '-noout', '-text', '-verify'];
      const text = execFileSync('openssl', words, {
        input: request,
        encoding: 'utf8',
        stdio: ['pipe', 'pipe', 'pipe'],
      });
      assert.match(
        text,
        new RegExp(`X509v3 Subject Alternative Name: \\n +URI:spiffe://cluster.local/agent/${node}\\n`),
      );
    }
  });

  it('is read by who signs it, and what is signed belongs to the key that never left', async () => {
    const { key, request } = makeRequest('cluster.local', 'node1');
    const { publicKey, uri } = await readRequest(request);
    assert.equal(uri, URI);
    const authority = await createAuthority({ domain: 'cluster.local', years: 1 });
    const now = Date.parse(new Date().toISOString().replace(/\.\d+Z/, 'Z'));
    const signing = { domain: 'cluster.local', node: 'node1', publicKey, lifetimeMs: 3_600_000, now };
    const certificate = new X509Certificate(await signCertificate(authority, signing));
    assert.ok(certificate.checkPrivateKey(createPrivateKey(key)));
    assert.ok(certificate.verify(new X509Certificate(authority.certificate).publicKey));
    assert.equal(certificate.ca, false);
    assert.equal(certificate.validToDate.getTime(), now + 3_600_000);
    const { uri: named, names } = describeCertificate(certificate);
    assert.deepEqual([named, names], [URI, []]);
  });

  it('is a new key each time', () => {
    assert.notEqual(makeRequest('d', 'n').key, makeRequest('d', 'n').key);
  });

  it('is not made for names that could be read as others', () => {
    for (const [domain, node] of [
      ['d', '..'],
      ['d', 'a/b'],
      ['d/x', 'n'],
      ['d', ''],
    ] as const)
      assert.throws(() => makeRequest(domain, node), refused(/Cannot ask/));
  });

  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  const good = requestOf(privateKey, publicKey, { name: 'n', uris: [URI] });
  const strange = async (extensions: x509.Extension[]) => {
    const keys = await webcrypto.subtle.generateKey(EC, true, ['sign', 'verify']);
    const made = await x509.Pkcs10CertificateRequestGenerator.create({ keys, signingAlgorithm: EC, extensions });
    return `${made.toString('pem')}\n`;
  };
  const names = (...all: x509.JsonGeneralName[]) => new x509.SubjectAlternativeNameExtension(all);
  const hostile: [name: string, request: () => Promise<string>, message: RegExp][] = [
    ['nothing', async () => '', /no single certificate request/],
    ['two requests', async () => good + good, /no single certificate request/],
    ['something before it', async () => `x\n${good}`, /no single certificate request/],
    ['a book', async () => good.padEnd(9_000, '\n'), /more than 8192/],
    ['no PKCS#10', async () => good.replace(/\n[^-]+\n/, '\nAAAA\n'), /Cannot use the request/],
    ['a key it has not', async () => requestOf(other.privateKey, publicKey, { name: 'n', uris: [URI] }), /not signed/],
    ['a changed name', async () => changed(good), /not signed/],
    ['another curve', async () => requestOf(p384.privateKey, p384.publicKey, { name: 'n', uris: [URI] }), /P-256/],
    ['no name', async () => requestOf(privateKey, publicKey, { name: 'n', uris: [] }), /Cannot use the request/],
    ['no extension', () => strange([]), /names are none/],
    ['two names', async () => requestOf(privateKey, publicKey, { name: 'n', uris: [URI, URI] }), /wanted one URI/],
    ['a DNS name', () => strange([names({ type: 'dns', value: 'kubernetes' })]), /dns "kubernetes", wanted one URI/],
    [
      'a URI and an address',
      () => strange([names({ type: 'url', value: URI }, { type: 'ip', value: '10.0.0.1' })]),
      /wanted one/,
    ],
    [
      'two lists of names',
      () => strange([names({ type: 'url', value: URI }), names({ type: 'url', value: URI })]),
      /wanted one/,
    ],
    [
      'to be an authority',
      () => strange([names({ type: 'url', value: URI }), new x509.BasicConstraintsExtension(true, 1, true)]),
      /asks for 2\.5\.29\.19/,
    ],
  ];
  for (const [name, request, message] of hostile) {
    it(`that is ${name} is refused`, async () => {
      await assert.rejects(request().then(readRequest), refused(message));
    });
  }

  function changed(text: string): string {
    const body = Buffer.from(text.replace(/-----[^-]+-----/g, ''), 'base64');
    const at = body.indexOf('node1');
    body[at + 4] = '2'.charCodeAt(0);
    return `-----BEGIN CERTIFICATE REQUEST-----\n${body.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
  }
});
