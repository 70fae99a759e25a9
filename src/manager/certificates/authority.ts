/** The agents' authority over time: what there should be, and whom agents are to believe. Pure but for the keys it makes. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { type Authority, createAuthority } from '../../trust/authority.ts';

/**
 * What the secret holds. Agents are told of an authority before anything is signed by it (`next`), and of one that signs no
 * more as long as a certificate of it may be shown (`previous`).
 */
export interface AgentAuthority {
  readonly authority: Authority;
  readonly next?: Authority;
  readonly previous?: Former;
}

interface Former {
  /** PEM. */
  readonly certificate: string;
  /** When the last certificate of it has ended, milliseconds since the epoch. */
  readonly until: number;
}

export interface AuthorityPlan {
  readonly domain: string;
  /** Of the certificates it signs, milliseconds. */
  readonly lifetimeMs: number;
}

const AUTHORITY_YEARS = 1;
/** Another one follows when this part of its life is left. */
const LAST_PART = 1 / 3;
/** Time for a new authority to reach every agent, milliseconds. */
export const TOLD_MS = 30 * 60_000;
/** Clocks differ, milliseconds. */
const SLACK_MS = 10 * 60_000;

const FILES = {
  certificate: 'ca.crt',
  key: 'ca.key',
  next: 'next-ca.crt',
  nextKey: 'next-ca.key',
  previous: 'previous-ca.crt',
  previousUntil: 'previous-ca.until',
} as const;

/** @returns undefined where something is missing or does not belong together */
export function readAuthority(texts: Readonly<Record<string, string>>): AgentAuthority | undefined {
  const authority = pairOf(texts[FILES.certificate], texts[FILES.key]);
  if (authority === undefined) return undefined;
  const next = pairOf(texts[FILES.next], texts[FILES.nextKey]);
  const { [FILES.previous]: previous, [FILES.previousUntil]: written = '' } = texts;
  const until = Date.parse(written);
  return {
    authority,
    ...(next === undefined ? {} : { next }),
    ...(previous === undefined || parsed(previous) === undefined || Number.isNaN(until)
      ? {}
      : { previous: { certificate: previous, until } }),
  };
}

export function writeAuthority({ authority, next, previous }: AgentAuthority): Record<string, string> {
  return {
    [FILES.certificate]: authority.certificate,
    [FILES.key]: authority.key,
    ...(next === undefined ? {} : { [FILES.next]: next.certificate, [FILES.nextKey]: next.key }),
    ...(previous === undefined
      ? {}
      : { [FILES.previous]: previous.certificate, [FILES.previousUntil]: new Date(previous.until).toISOString() }),
  };
}

/** All authorities that agents are to believe, PEM. */
export function bundleOf({ authority, next, previous }: AgentAuthority): string {
  return [authority.certificate, next?.certificate, previous?.certificate].filter((one) => one !== undefined).join('');
}

export async function makeAuthority({ domain }: AuthorityPlan, now: number): Promise<AgentAuthority> {
  return { authority: await createAuthority({ domain, years: AUTHORITY_YEARS, now }) };
}

/**
 * What is to follow; undefined: nothing is due. One step at a time.
 * @param told since when agents can read the bundle of what there is, milliseconds since the epoch; undefined: they cannot
 */
export async function nextAuthority(
  present: AgentAuthority,
  plan: AuthorityPlan,
  told: number | undefined,
  now: number,
): Promise<AgentAuthority | undefined> {
  const { authority, next, previous } = present;
  const [from, to] = spanOf(authority.certificate);
  if (to <= now) return next === undefined ? await makeAuthority(plan, now) : { authority: next };
  if (next !== undefined) {
    if (told === undefined || now < told + TOLD_MS) return undefined;
    const until = Math.min(to, now + plan.lifetimeMs + SLACK_MS);
    return { authority: next, previous: { certificate: authority.certificate, until } };
  }
  if (previous !== undefined) return previous.until > now ? undefined : { authority };
  if (to - now >= (to - from) * LAST_PART) return undefined;
  return { authority, next: await createAuthority({ domain: plan.domain, years: AUTHORITY_YEARS, now }) };
}

function pairOf(certificate: string | undefined, key: string | undefined): Authority | undefined {
  if (certificate === undefined || key === undefined) return undefined;
  try {
    const known = new X509Certificate(certificate);
    return known.ca && known.checkPrivateKey(createPrivateKey(key)) ? { certificate, key } : undefined;
  } catch {
    return undefined; // whoever asks says that it cannot be used
  }
}

function spanOf(certificate: string): readonly [from: number, to: number] {
  const known = parsed(certificate);
  return [known?.validFromDate.getTime() ?? 0, known?.validToDate.getTime() ?? 0];
}

function parsed(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined; // as above
  }
}
