/** The webhook's certificate: when a new one is due, and made of what. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { type Authority, createAuthority, issueCertificate } from '../../trust/authority.ts';

/**
 * What the secret holds. An authority is told to the API server before anything is signed by it (`next`), and for as
 * long as somebody may still show a certificate of it (`previous`).
 */
export interface WebhookTrust {
  readonly authority: Authority;
  /** What is shown. PEM. */
  readonly certificate: string;
  readonly key: string;
  readonly next?: Authority;
  /** PEM. */
  readonly previous?: string;
}

export interface WebhookNames {
  readonly names: readonly string[];
  readonly addresses: readonly string[];
}

export interface CertificatePlan extends WebhookNames {
  readonly days: number;
}

const DOMAIN = 'sallyport-webhook';
const AUTHORITY_YEARS = 10;
const DAY_MS = 86_400_000;
/** An authority with less left is followed by another one. */
const AUTHORITY_LEFT_MS = 365 * DAY_MS;
/** Time for the API servers to hear of a new authority that the webhook's configuration has. */
const TOLD_MS = 5 * 60_000;

const FILES = {
  authority: 'ca.crt',
  authorityKey: 'ca.key',
  certificate: 'tls.crt',
  key: 'tls.key',
  next: 'next-ca.crt',
  nextKey: 'next-ca.key',
  previous: 'previous-ca.crt',
} as const;

/** @returns undefined where something is missing or does not belong together */
export function readTrust(texts: Readonly<Record<string, string>>): WebhookTrust | undefined {
  const { [FILES.authority]: ca, [FILES.authorityKey]: caKey, [FILES.certificate]: certificate } = texts;
  const { [FILES.key]: key, [FILES.next]: next, [FILES.nextKey]: nextKey, [FILES.previous]: previous } = texts;
  if (ca === undefined || caKey === undefined || certificate === undefined || key === undefined) return undefined;
  const signer = parsed(ca);
  const shown = parsed(certificate);
  if (signer === undefined || shown === undefined || !shown.verify(signer.publicKey)) return undefined;
  if (!isKeyOf(signer, caKey) || !isKeyOf(shown, key)) return undefined;
  return {
    authority: { certificate: ca, key: caKey },
    certificate,
    key,
    ...(next === undefined || nextKey === undefined ? {} : { next: { certificate: next, key: nextKey } }),
    ...(previous === undefined ? {} : { previous }),
  };
}

export function writeTrust({ authority, certificate, key, next, previous }: WebhookTrust): Record<string, string> {
  return {
    [FILES.authority]: authority.certificate,
    [FILES.authorityKey]: authority.key,
    [FILES.certificate]: certificate,
    [FILES.key]: key,
    ...(next === undefined ? {} : { [FILES.next]: next.certificate, [FILES.nextKey]: next.key }),
    ...(previous === undefined ? {} : { [FILES.previous]: previous }),
  };
}

/** All authorities the API server is to believe, PEM. */
export function bundleOf({ authority, next, previous }: WebhookTrust): string {
  return [authority.certificate, next?.certificate, previous].filter((one) => one !== undefined).join('');
}

/** When the certificate that is shown ends, milliseconds since the epoch. */
export function endOf({ certificate }: WebhookTrust): number {
  return parsed(certificate)?.validToDate.getTime() ?? 0;
}

export async function makeTrust(plan: CertificatePlan, now: number): Promise<WebhookTrust> {
  const authority = await createAuthority({ domain: DOMAIN, years: AUTHORITY_YEARS, now });
  return { authority, ...(await issue(authority, plan, now)) };
}

/**
 * What is to follow; undefined: nothing is due. One step at a time.
 * @param toldAt since when the API servers are told of all of `trust`, milliseconds; undefined: nobody knows that they are
 */
export async function nextTrust(
  trust: WebhookTrust,
  plan: CertificatePlan,
  now: number,
  toldAt: number | undefined,
): Promise<WebhookTrust | undefined> {
  const { authority, next, previous } = trust;
  const signer = parsed(authority.certificate);
  if (signer === undefined || signer.validToDate.getTime() <= now) return await makeTrust(plan, now);
  if (next !== undefined && toldAt !== undefined && now >= toldAt + TOLD_MS) {
    return { authority: next, previous: authority.certificate, ...(await issue(next, plan, now)) };
  }
  if (next === undefined && signer.validToDate.getTime() - now < AUTHORITY_LEFT_MS) {
    return { ...trust, next: await createAuthority({ domain: DOMAIN, years: AUTHORITY_YEARS, now }) };
  }
  if (isDue(trust.certificate, plan, now)) return { ...trust, ...(await issue(authority, plan, now)) };
  const over = previous === undefined ? undefined : parsed(previous)?.validToDate.getTime();
  if (over === undefined || over > now) return undefined;
  const { previous: _, ...rest } = trust;
  return rest;
}

/** When two thirds of its time are over, or it is not for these names. */
function isDue(certificate: string, { names, addresses }: WebhookNames, now: number): boolean {
  const shown = parsed(certificate);
  if (shown === undefined) return true;
  const [from, to] = [shown.validFromDate.getTime(), shown.validToDate.getTime()];
  if (now >= from + ((to - from) * 2) / 3) return true;
  return names.some((name) => shown.checkHost(name) === undefined) || addresses.some((ip) => !shown.checkIP(ip));
}

async function issue(
  authority: Authority,
  { names, addresses, days }: CertificatePlan,
  now: number,
): Promise<Pick<WebhookTrust, 'certificate' | 'key'>> {
  const request = { domain: DOMAIN, node: 'manager', days, names, addresses, now };
  const { certificate, key } = await issueCertificate(authority, request);
  return { certificate, key };
}

function isKeyOf(certificate: X509Certificate, pem: string): boolean {
  try {
    return certificate.checkPrivateKey(createPrivateKey(pem));
  } catch {
    return false; // no key at all
  }
}

function parsed(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined; // whoever asks makes a new one
  }
}
