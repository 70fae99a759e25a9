import { createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto';
import { agentUri, nodeOfUri, parseCertificates, urisOf } from './certificate.ts';
import { asTrustError, TrustError } from './error.ts';
import { readTrusted } from './files.ts';
import { FileWatch, type FileWatchOptions } from './watch.ts';

export interface CredentialFiles {
  /** PEM; certificates between it and the authority may follow. */
  readonly certificate: string;
  readonly key: string;
  /** PEM; several, while one takes over from another. */
  readonly authority: string;
}

export interface Owner {
  readonly domain: string;
  /** Whose the certificate must be; undefined: any node's of the domain. */
  readonly node?: string;
}

/** What TLS needs of this agent, checked. */
export interface Credentials {
  /** PEM. */
  readonly certificate: string;
  readonly key: string;
  readonly authority: string;
  /** The node it is for. */
  readonly node: string;
  /** `spiffe://DOMAIN/agent/NODE`. */
  readonly uri: string;
  /** Hexadecimal. */
  readonly serial: string;
  readonly fingerprint: string;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
}

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';
const PATIENCE_MS = 500;
/** The part of its life in which a certificate is said to end soon. */
const LAST_PART = 0.1;

/** @throws TrustError */
export function loadCredentials(files: CredentialFiles, owner: Owner, now = Date.now()): Credentials {
  return check(files, readAll(files), owner, now);
}

interface Texts {
  readonly certificate: string;
  readonly key: string;
  readonly authority: string;
}

function readAll(files: CredentialFiles): Texts {
  return {
    certificate: readTrusted(files.certificate, 'anybody-reads'),
    key: readTrusted(files.key, 'group-reads'),
    authority: readTrusted(files.authority, 'anybody-reads'),
  };
}

function check(files: CredentialFiles, texts: Texts, owner: Owner, now: number): Credentials {
  const [leaf, ...between] = parseCertificates(texts.certificate, files.certificate);
  const authorities = parseCertificates(texts.authority, files.authority);
  if (leaf === undefined) throw new TrustError('INVALID', `Cannot use ${files.certificate}: it is empty`);
  if (leaf.ca) throw new TrustError('INVALID', `Cannot use ${files.certificate}: it is an authority's, not an agent's`);
  if (!leaf.checkPrivateKey(readKey(texts.key, files.key))) {
    throw new TrustError('MISMATCH', `Cannot use ${files.key}: it does not belong to ${files.certificate}`);
  }
  const stranger = authorities.find((authority) => !authority.ca);
  if (stranger !== undefined) {
    throw new TrustError('INVALID', `Cannot use ${files.authority}: ${stranger.subject} is not an authority`);
  }
  const node = checkName(leaf, files.certificate, owner);
  // Undefined where the certificate does not restrict what it is for.
  const uses = leaf.keyUsage as readonly string[] | undefined;
  if (uses !== undefined && !(uses.includes(SERVER_AUTH) && uses.includes(CLIENT_AUTH))) {
    throw new TrustError('INVALID', `Cannot use ${files.certificate}: it is not for both TLS servers and TLS clients`);
  }
  checkTime(leaf, files.certificate, now);
  if (!leadsTo(leaf, between, authorities, now)) {
    throw new TrustError('MISMATCH', `Cannot use ${files.certificate}: none in ${files.authority} has signed it`, {
      hint: 'or the one that has is not valid now: sallyport ca show',
    });
  }
  return {
    ...texts,
    node,
    uri: agentUri(owner.domain, node),
    serial: leaf.serialNumber.toLowerCase(),
    fingerprint: leaf.fingerprint256,
    notBefore: leaf.validFromDate.getTime(),
    notAfter: leaf.validToDate.getTime(),
  };
}

function readKey(text: string, file: string): KeyObject {
  try {
    return createPrivateKey(text);
  } catch {
    // Without the cause: nobody knows how much of a key OpenSSL would quote.
    throw new TrustError('INVALID', `Cannot use ${file}: it has no private key in PEM, or an encrypted one`);
  }
}

function checkName(leaf: X509Certificate, file: string, { domain, node }: Owner): string {
  const uris = urisOf(leaf.subjectAltName);
  const [uri = ''] = uris;
  const found = uris.length === 1 ? nodeOfUri(uri, domain) : undefined;
  const wanted = agentUri(domain, node ?? 'NODE');
  if (found === undefined) {
    const has = uris.length === 0 ? 'none' : uris.join(', ');
    throw new TrustError('WRONG_DOMAIN', `Cannot use ${file}: its URI is ${has}, wanted ${wanted}`);
  }
  if (node !== undefined && found !== node) {
    throw new TrustError('WRONG_DOMAIN', `Cannot use ${file}: it is of node ${found}, wanted ${wanted}`);
  }
  return found;
}

function checkTime(certificate: X509Certificate, file: string, now: number): void {
  if (isValid(certificate, now)) return;
  const { validFromDate, validToDate } = certificate;
  const when =
    now < validFromDate.getTime()
      ? `it begins at ${validFromDate.toISOString()}`
      : `it ended at ${validToDate.toISOString()}`;
  throw new TrustError('EXPIRED', `Cannot use ${file}: ${when}`, {
    hint: 'sallyport ca issue; if the time is wrong, the clock of this node',
  });
}

function isValid({ validFromDate, validToDate }: X509Certificate, now: number): boolean {
  return validFromDate.getTime() <= now && now < validToDate.getTime();
}

function leadsTo(
  leaf: X509Certificate,
  between: readonly X509Certificate[],
  authorities: readonly X509Certificate[],
  now: number,
): boolean {
  const rest = new Set(between.filter((certificate) => certificate.ca));
  for (let current: X509Certificate | undefined = leaf; current !== undefined; ) {
    const signed: X509Certificate = current;
    if (authorities.some((authority) => isValid(authority, now) && hasSigned(authority, signed))) return true;
    current = [...rest].find((certificate) => isValid(certificate, now) && hasSigned(certificate, signed));
    if (current !== undefined) rest.delete(current);
  }
  return false;
}

function hasSigned(issuer: X509Certificate, certificate: X509Certificate): boolean {
  try {
    return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
  } catch {
    // A key of another kind than the signature's.
    return false;
  }
}

export interface CredentialsWatchOptions extends FileWatchOptions {
  readonly now?: () => number;
  /** Certificate and key are two files: what does not fit is told when it lasts longer, milliseconds. Default 500. */
  readonly patienceMs?: number;
}

export interface CredentialsWatch {
  /** The last good ones; undefined where there never were any. */
  readonly current: Credentials | undefined;
  close(): void;
}

/**
 * Loads the files now and whenever they change. What is bad leaves the former ones in use and is told once, after a
 * pair that does not fit together had time to become one.
 * @param onChange gets the first ones too, before this returns
 * @param onError EXPIRING and EXPIRED are told of those in use, too
 */
export function watchCredentials(
  files: CredentialFiles,
  owner: Owner,
  onChange: (credentials: Credentials) => void,
  onError: (error: TrustError) => void,
  options: CredentialsWatchOptions = {},
): CredentialsWatch {
  const { now = Date.now, patienceMs = PATIENCE_MS } = options;
  let current: Credentials | undefined;
  let told = '';
  let failing: { readonly message: string; readonly since: number } | undefined;

  const tell = (error: TrustError): void => {
    if (told === error.message) return;
    told = error.message;
    onError(error);
  };
  const fails = (error: TrustError): number | undefined => {
    if (failing?.message !== error.message) failing = { message: error.message, since: performance.now() };
    const waited = performance.now() - failing.since;
    if (current !== undefined && waited < patienceMs) return patienceMs - waited;
    tell(error);
    return undefined;
  };
  const look = (): number | undefined => {
    let texts: Texts;
    try {
      texts = readAll(files);
      if (current === undefined || !same(current, texts)) {
        current = check(files, texts, owner, now());
        told = '';
        onChange(current);
      }
    } catch (thrown) {
      return fails(asTrustError(thrown, 'INVALID', `use ${files.certificate}`));
    }
    failing = undefined;
    return ending(current, files.certificate, now(), tell) ?? forget();
  };
  /** What was told of is over. */
  const forget = (): undefined => {
    told = '';
  };
  const watch = new FileWatch(Object.values(files), look, options);
  watch.start();
  return {
    get current() {
      return current;
    },
    close: () => watch.close(),
  };
}

function same(a: Texts, b: Texts): boolean {
  return a.certificate === b.certificate && a.key === b.key && a.authority === b.authority;
}

/** Tells when those in use end soon or have ended. @returns milliseconds until there is more to tell */
function ending(
  { notBefore, notAfter, node }: Credentials,
  file: string,
  now: number,
  tell: (error: TrustError) => void,
): number | undefined {
  const soon = notAfter - (notAfter - notBefore) * LAST_PART;
  if (now < soon) return undefined;
  const at = new Date(notAfter).toISOString();
  const hint = `sallyport ca issue ${node} --force`;
  if (now < notAfter) {
    tell(new TrustError('EXPIRING', `The certificate ${file} ends at ${at}`, { hint }));
    return notAfter - now;
  }
  tell(new TrustError('EXPIRED', `The certificate ${file} ended at ${at}: no other agent accepts it`, { hint }));
  return Number.POSITIVE_INFINITY;
}
