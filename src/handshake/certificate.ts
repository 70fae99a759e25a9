import { X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { HandshakeError } from './errors.ts';

/** PEM: this agent's certificate (with intermediate ones after it), its key, and whose certificates are accepted. */
export interface Credentials {
  readonly certificate: string;
  readonly key: string;
  readonly authority: string;
}

/** Credentials that have been looked at. */
export interface Identification {
  readonly options: SecureContextOptions;
  readonly own: X509Certificate;
  readonly authorities: readonly X509Certificate[];
}

/** Certificates between a peer's and an authority's. */
const CHAIN_MOST = 5;

const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** One name of a subjectAltName as Node writes it: what could be taken for more than one is a JSON string. */
const ALTERNATIVE_NAME = /([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y;

const NODE_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$/;

/** Whether it can stand in a certificate's URI as it is. */
export function isNodeName(name: string): boolean {
  return NODE_NAME.test(name);
}

/** The name of the agent's node in its certificate. */
export function agentUri(domain: string, node: string): string {
  return `spiffe://${domain}/agent/${node}`;
}

/**
 * The node whose agent a certificate names: its only URI is `spiffe://DOMAIN/agent/NODE`. Undefined: of another domain,
 * of something else, of two things, or a subjectAltName that cannot be read to its end.
 */
export function agentNode(subjectAltName: string | undefined, domain: string): string | undefined {
  const uris: string[] = [];
  const text = subjectAltName ?? '';
  ALTERNATIVE_NAME.lastIndex = 0;
  for (let at = 0; at < text.length; at = ALTERNATIVE_NAME.lastIndex) {
    const match = ALTERNATIVE_NAME.exec(text);
    if (match === null) return undefined;
    if (match[1] === 'URI') uris.push(match[2] ?? '');
  }
  const [uri] = uris;
  const prefix = agentUri(domain, '');
  if (uris.length !== 1 || uri === undefined || !uri.startsWith(prefix)) return undefined;
  const node = uri.slice(prefix.length);
  return isNodeName(node) ? node : undefined;
}

/**
 * Looks at what TLS will be given, so that what is wrong is said when it is read and not when somebody connects.
 * @throws HandshakeError CREDENTIALS
 */
export function identify(read: () => Credentials, domain: string, node: string): Identification {
  let credentials: Credentials;
  let own: X509Certificate;
  let authorities: X509Certificate[];
  try {
    credentials = read();
    own = new X509Certificate(credentials.certificate);
    authorities = (credentials.authority.match(PEM) ?? []).map((text) => new X509Certificate(text));
    const options = { cert: credentials.certificate, key: credentials.key, ca: credentials.authority };
    // Throws where the key is not the certificate's.
    createSecureContext(options);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new HandshakeError('CREDENTIALS', `Cannot use the credentials of this agent: ${reason}`, { cause });
  }
  if (authorities.length === 0) throw new HandshakeError('CREDENTIALS', 'Cannot find a certificate in the authority');
  const named = agentNode(own.subjectAltName, domain);
  if (named !== node) {
    throw new HandshakeError('CREDENTIALS', `The certificate of this agent names ${own.subjectAltName ?? 'nobody'}`, {
      hint: `wanted ${agentUri(domain, node)} as its only URI`,
    });
  }
  const options = { cert: credentials.certificate, key: credentials.key, ca: credentials.authority };
  return { options, own, authorities };
}

/** Whether a peer that was accepted once would be accepted by these authorities, at this time. */
export function stillAccepted(peer: X509Certificate, authorities: readonly X509Certificate[], now: number): boolean {
  let one: X509Certificate | undefined = peer;
  for (let depth = 0; depth < CHAIN_MOST && one !== undefined; depth++) {
    if (!validAt(one, now)) return false;
    for (const authority of authorities) {
      if (one.raw.equals(authority.raw)) return true;
      if (one.checkIssued(authority) && one.verify(authority.publicKey)) return validAt(authority, now);
    }
    const issuer: X509Certificate | undefined = one.issuerCertificate;
    if (issuer === undefined || issuer === one || !one.verify(issuer.publicKey)) return false;
    one = issuer;
  }
  return false;
}

export function validAt(certificate: X509Certificate, now: number): boolean {
  return certificate.validFromDate.getTime() <= now && now < certificate.validToDate.getTime();
}
