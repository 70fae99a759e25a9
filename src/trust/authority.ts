import { createPrivateKey, randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import type { JsonGeneralName } from '@peculiar/x509';
import { formatAddress, parseAddress } from '../model/address.ts';
import { agentUri, domainUri, isDomain, isNodeName, parseCertificates, urisOf } from './certificate.ts';
import { TrustError } from './error.ts';

/** A domain's authority for standalone use: it signs the certificates agents show each other. */
export interface Authority {
  /** PEM. */
  readonly certificate: string;
  /** PEM, PKCS#8. */
  readonly key: string;
}

export interface AuthorityRequest {
  readonly domain: string;
  readonly years: number;
  /** Milliseconds since the epoch; default now. */
  readonly now?: number;
}

export interface CertificateRequest {
  readonly domain: string;
  readonly node: string;
  readonly days: number;
  /** IP addresses it is good for, besides its URI. Agents look at the URI alone. */
  readonly addresses?: readonly string[];
  readonly names?: readonly string[];
  readonly now?: number;
}

export interface IssuedCertificate {
  /** PEM. */
  readonly certificate: string;
  /** PEM, PKCS#8. */
  readonly key: string;
  /** Who signed it, PEM. */
  readonly authority: string;
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
/** Clocks differ: what is issued here is used elsewhere at once. */
const BACKDATED_MS = 5 * 60_000;
const DAY_MS = 86_400_000;
const YEARS_MOST = 100;
const DAYS_MOST = 36_500;
/** X.520's bound of a common name. */
const COMMON_NAME_MOST = 64;
const NAMES_MOST = 64;
const DNS_NAME = /^(\*\.)?[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$/;

/** Takes 100 ms and 20 MB, so only those who issue something load it. It wants Reflect's metadata to be there first. */
async function library(): Promise<typeof import('@peculiar/x509')> {
  await import('reflect-metadata');
  return await import('@peculiar/x509');
}

/** @throws TrustError INVALID for a domain or a number of years that will not do */
export async function createAuthority(request: AuthorityRequest): Promise<Authority> {
  const { domain, years, now = Date.now() } = request;
  wantDomain(domain);
  wantNumber('years', years, YEARS_MOST);
  const x509 = await library();
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const notAfter = new Date(now);
  notAfter.setUTCFullYear(notAfter.getUTCFullYear() + years);
  const { keyCertSign, cRLSign } = x509.KeyUsageFlags;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: [{ CN: [`Sallyport authority of ${domain}`.slice(0, COMMON_NAME_MOST)] }],
    notBefore: new Date(now - BACKDATED_MS),
    notAfter,
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      // It signs agents, and nobody else who could sign.
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(keyCertSign | cRLSign, true),
      new x509.SubjectAlternativeNameExtension([{ type: 'url', value: domainUri(domain) }]),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: pem(certificate.toString('pem')), key: await exportKey(keys.privateKey) };
}

/**
 * A certificate and a key for one agent. It ends with its authority at the latest.
 * @throws TrustError INVALID, WRONG_DOMAIN, EXPIRED, MISMATCH
 */
export async function issueCertificate(authority: Authority, request: CertificateRequest): Promise<IssuedCertificate> {
  const { days, now = Date.now() } = request;
  wantNumber('days', days, DAYS_MOST);
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await certify(authority, request, keys.publicKey, { now, lifetimeMs: days * DAY_MS });
  return { certificate, key: await exportKey(keys.privateKey), authority: pem(authority.certificate) };
}

/** Whose key is signed, and for how long. */
export interface SigningRequest extends Pick<CertificateRequest, 'domain' | 'node'> {
  /** Of the curve P-256, SPKI in DER. */
  readonly publicKey: Uint8Array;
  /** Milliseconds. */
  readonly lifetimeMs: number;
  readonly now: number;
}

/**
 * A certificate for an agent that keeps its key to itself, PEM. It ends with its authority at the latest.
 * @throws TrustError INVALID, WRONG_DOMAIN, EXPIRED, MISMATCH
 */
export async function signCertificate(authority: Authority, request: SigningRequest): Promise<string> {
  const publicKey = await importPublic(request.publicKey);
  return await certify(authority, request, publicKey, request);
}

async function certify(
  authority: Authority,
  request: Omit<CertificateRequest, 'days'>,
  publicKey: webcrypto.CryptoKey,
  { now, lifetimeMs }: { readonly now: number; readonly lifetimeMs: number },
): Promise<string> {
  const { domain, node } = request;
  wantDomain(domain);
  if (!isNodeName(node)) {
    const wanted = 'letters, digits, dots, hyphens and underscores, at most 253';
    throw new TrustError('INVALID', `Cannot issue a certificate for node ${JSON.stringify(node)}: wanted ${wanted}`);
  }
  const names = subjectNames(request);
  const { signer, end } = checkAuthority(authority, domain, now);
  const x509 = await library();
  const issuer = new x509.X509Certificate(authority.certificate);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: [{ CN: [node.slice(0, COMMON_NAME_MOST)] }],
    issuer: issuer.subjectName,
    notBefore: new Date(now - BACKDATED_MS),
    notAfter: new Date(Math.min(now + lifetimeMs, end)),
    signingAlgorithm: ALGORITHM,
    publicKey,
    signingKey: await importKey(signer),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
      new x509.SubjectAlternativeNameExtension(names),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
  return pem(certificate.toString('pem'));
}

/** The domain an authority that was made here is of; undefined for one that came from elsewhere. */
export function domainOfAuthority(certificate: string, file: string): string | undefined {
  const [first] = parseCertificates(certificate, file);
  const domains = urisOf(first?.subjectAltName).map((uri) => /^spiffe:\/\/([^/]+)$/.exec(uri)?.[1]);
  return domains.find((domain) => domain !== undefined && isDomain(domain));
}

function checkAuthority({ certificate, key }: Authority, domain: string, now: number) {
  const [first] = parseCertificates(certificate, "the authority's certificate");
  const own = domainOfAuthority(certificate, "the authority's certificate");
  if (first?.ca !== true) throw new TrustError('INVALID', 'Cannot issue: the certificate is not that of an authority');
  if (own !== undefined && own !== domain) {
    throw new TrustError('WRONG_DOMAIN', `Cannot issue for domain ${domain}: the authority is of ${own}`);
  }
  const signer = readKey(key);
  if (!first.checkPrivateKey(signer)) {
    throw new TrustError('MISMATCH', "Cannot issue: the authority's key does not belong to its certificate");
  }
  const end = first.validToDate.getTime();
  if (end <= now) throw new TrustError('EXPIRED', `Cannot issue: the authority ended at ${first.validTo}`);
  return { signer, end };
}

function readKey(key: string) {
  const read = () => {
    try {
      return createPrivateKey(key);
    } catch (cause) {
      throw new TrustError('INVALID', "Cannot issue: the authority's key cannot be read", { cause });
    }
  };
  const signer = read();
  if (signer.asymmetricKeyDetails?.namedCurve !== 'prime256v1') {
    throw new TrustError('INVALID', "Cannot issue: the authority's key is not of the curve P-256", {
      hint: 'have the other authority issue the certificates; agents take any that TLS takes',
    });
  }
  return signer;
}

function subjectNames({
  domain,
  node,
  addresses = [],
  names = [],
}: Omit<CertificateRequest, 'days'>): JsonGeneralName[] {
  if (addresses.length + names.length > NAMES_MOST) {
    throw new TrustError('INVALID', `Cannot issue for node ${node}: more than ${NAMES_MOST} addresses and names`);
  }
  const canonical = addresses.map((text) => {
    const address = parseAddress(text);
    if (address === undefined) {
      throw new TrustError('INVALID', `Cannot issue for node ${node}: ${JSON.stringify(text)} is no IP address`);
    }
    return formatAddress(address);
  });
  const bad = names.find((name) => name.length > 253 || !DNS_NAME.test(name));
  if (bad !== undefined) {
    throw new TrustError('INVALID', `Cannot issue for node ${node}: ${JSON.stringify(bad)} is no DNS name`);
  }
  return [
    { type: 'url', value: agentUri(domain, node) },
    ...canonical.map((value): JsonGeneralName => ({ type: 'ip', value })),
    ...names.map((value): JsonGeneralName => ({ type: 'dns', value })),
  ];
}

function wantDomain(domain: string): void {
  if (isDomain(domain)) return;
  const wanted = 'lower-case letters, digits, dots and hyphens';
  throw new TrustError('INVALID', `Cannot use domain ${JSON.stringify(domain)}: wanted ${wanted}`);
}

function wantNumber(what: string, value: number, most: number): void {
  if (Number.isInteger(value) && value >= 1 && value <= most) return;
  throw new TrustError('INVALID', `Cannot use ${value} ${what}: wanted a whole number from 1 to ${most}`);
}

/** 128 random bits, the first one clear and the first byte not zero: 16 bytes in every encoding of it. */
function newSerial(): string {
  const serial = randomBytes(16);
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  return serial.toString('hex');
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key));
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    .export({ format: 'pem', type: 'pkcs8' })
    .toString();
}

function importKey(key: ReturnType<typeof createPrivateKey>): Promise<webcrypto.CryptoKey> {
  return webcrypto.subtle.importKey('pkcs8', key.export({ format: 'der', type: 'pkcs8' }), ALGORITHM, false, ['sign']);
}

async function importPublic(spki: Uint8Array): Promise<webcrypto.CryptoKey> {
  try {
    return await webcrypto.subtle.importKey('spki', Uint8Array.from(spki), ALGORITHM, true, ['verify']);
  } catch (cause) {
    throw new TrustError('INVALID', 'Cannot sign: the public key is not of the curve P-256', { cause });
  }
}

/** One certificate as Node writes it, so that files end with a line feed and nothing stands around it. */
function pem(text: string): string {
  return new X509Certificate(text).toString();
}
