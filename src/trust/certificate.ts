import { X509Certificate } from 'node:crypto';
import { formatAddress, parseAddress } from '../model/address.ts';
import { TrustError } from './error.ts';

const DOMAIN = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;
/** A segment of a SPIFFE path: no dots alone, nothing to be escaped. */
const NODE = /^[A-Za-z0-9_-]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_-])?$/;

export function isDomain(text: string): boolean {
  return DOMAIN.test(text);
}

export function isNodeName(text: string): boolean {
  return NODE.test(text);
}

/** `spiffe://DOMAIN/agent/NODE`: how an agent's certificate names it. */
export function agentUri(domain: string, node: string): string {
  return `spiffe://${domain}/agent/${node}`;
}

/** `spiffe://DOMAIN`: how an authority's certificate names its domain. */
export function domainUri(domain: string): string {
  return `spiffe://${domain}`;
}

/** The node a URI names where it is an agent's of the domain, byte for byte; undefined for all else. */
export function nodeOfUri(uri: string, domain: string): string | undefined {
  const prefix = agentUri(domain, '');
  const node = uri.startsWith(prefix) ? uri.slice(prefix.length) : '';
  return isNodeName(node) ? node : undefined;
}

/**
 * The URI names of a certificate, as Node prints its names. A name with anything unusual in it is printed in quotes:
 * those are left out, so that nothing inside a name can pass for another one.
 */
export function urisOf(subjectAltName: string | undefined): string[] {
  const names = (subjectAltName ?? '').matchAll(/(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,"]*)(?=, |$)/g);
  return [...names].flatMap(([, kind, value = '']) => (kind === 'URI' && !value.startsWith('"') ? [value] : []));
}

/** What people want to know of a certificate. */
export interface CertificateView {
  readonly subject: string;
  readonly issuer: string;
  /** Of an agent or an authority; absent where there is none or more than one. */
  readonly uri?: string;
  /** IP addresses and DNS names. */
  readonly names: readonly string[];
  readonly serial: string;
  readonly notBefore: string;
  readonly notAfter: string;
  /** SHA-256, as openssl prints it. */
  readonly fingerprint: string;
  readonly authority: boolean;
}

/** @param file for messages. @throws TrustError INVALID */
export function parseCertificates(pem: string, file: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) throw new TrustError('INVALID', `Cannot use ${file}: it has no certificate in PEM`);
  return blocks.map((block) => {
    try {
      return new X509Certificate(block);
    } catch (cause) {
      throw new TrustError('INVALID', `Cannot use ${file}: a certificate in it cannot be read`, { cause });
    }
  });
}

export function describeCertificate(certificate: X509Certificate): CertificateView {
  const oneLine = (name: string | undefined): string => (name ?? '').split('\n').join(', ');
  const [uri, second] = urisOf(certificate.subjectAltName);
  const others = (certificate.subjectAltName ?? '').split(', ').filter((name) => /^(IP Address|DNS):/.test(name));
  return {
    subject: oneLine(certificate.subject),
    issuer: oneLine(certificate.issuer),
    ...(uri === undefined || second !== undefined ? {} : { uri }),
    names: others.map((name) => canonical(name.slice(name.indexOf(':') + 1))),
    serial: certificate.serialNumber.toLowerCase(),
    notBefore: certificate.validFromDate.toISOString(),
    notAfter: certificate.validToDate.toISOString(),
    fingerprint: certificate.fingerprint256,
    authority: certificate.ca,
  };
}

/** OpenSSL writes IPv6 its own way. */
function canonical(name: string): string {
  const address = parseAddress(name);
  return address === undefined ? name : formatAddress(address);
}
