import { formatIdentity, type Identity } from '../model/identity.ts';
import { formatWorkload, type Workload } from '../model/workload.ts';
import { AgentError } from './errors.ts';
import { shortId } from './identifiers.ts';

/** How many candidates an error lists. */
const LISTED = 8;

/** An identity as messages write it: its workload, the container in brackets. */
export function describeIdentity(identity: Identity): string {
  return `${formatWorkload(identity.workload)}${identity.container === '' ? '' : `[${identity.container}]`}`;
}

/**
 * Whether `text` means this workload: `name`, `kind/name` or `namespace/kind/name`, each with or without
 * `[container]`; or the identity's 16 digits.
 */
function means(text: string, identity: Identity): boolean {
  if (text === formatIdentity(identity.id)) return true;
  const match = /^([^[\]]+)(?:\[([^[\]]*)\])?$/.exec(text);
  if (match === null) return false;
  const [, path = '', container] = match;
  if (container !== undefined && container !== identity.container) return false;
  const written = path.split('/');
  // By what else it is called only where that is written out: a Service mostly has the name of what it leads to.
  const names = [identity.workload, ...(written.length === 1 ? [] : (identity.aliases ?? []))];
  return written.length <= 3 && names.some((one) => endsWith(one, written));
}

function endsWith({ namespace, kind, name }: Workload, written: readonly string[]): boolean {
  const actual = [namespace, kind, name].slice(-written.length);
  return written.every((part, index) => part === actual[index]);
}

/** Lists what was meant, for the error of a name that means several things or none. */
function candidates(names: readonly string[]): string {
  const unique = [...new Set(names)].sort();
  const more = unique.length > LISTED ? ` and ${unique.length - LISTED} more` : '';
  return `${unique.slice(0, LISTED).join(', ')}${more}`;
}

/** Names that share the most with what was written. */
function near(text: string, names: readonly string[]): string[] {
  const last = (text.split('/').pop() ?? text).toLowerCase();
  return names.filter((name) => {
    // Without the container or the id that some have behind them.
    const path = name.replace(/(\[| \().*$/, '').toLowerCase();
    const other = path.slice(path.lastIndexOf('/') + 1);
    return other.includes(last) || last.includes(other);
  });
}

/** One of a list by its name. What the error calls the things: `endpoint`. */
export function pick<T>(
  what: string,
  text: string,
  all: readonly T[],
  matches: (item: T) => boolean,
  describe: (item: T) => string,
  more = 'write more of the name: namespace/kind/name, or the id',
): T {
  const found = all.filter(matches);
  const [first] = found;
  if (first !== undefined && found.length === 1) return first;
  if (found.length > 1) {
    throw new AgentError(
      'AMBIGUOUS',
      `${what} ${JSON.stringify(text)} is ambiguous: ${candidates(found.map(describe))}`,
      {
        hint: more,
      },
    );
  }
  const similar = near(text, all.map(describe));
  throw new AgentError('NOT_FOUND', `${what} ${JSON.stringify(text)} was not found`, {
    hint: similar.length === 0 ? undefined : `did you mean ${candidates(similar)}?`,
  });
}

/**
 * The identity a person means. A bare name prefers `namespace`. Where a workload has a sandbox identity (no
 * container) beside those of its containers, the workload's name means the sandbox.
 */
export function pickIdentity<T extends Identity>(text: string, all: readonly T[], namespace?: string): T {
  let found = all.filter((identity) => means(text, identity));
  const inNamespace = found.filter((identity) => identity.workload.namespace === namespace);
  if (inNamespace.length > 0) found = inNamespace;
  if (!text.includes('[')) {
    const workloads = new Set(found.map((identity) => formatWorkload(identity.workload)));
    const sandboxes = found.filter((identity) => identity.container === '');
    if (workloads.size === 1 && sandboxes.length > 0) found = sandboxes;
  }
  const chosen = new Set(found);
  const describe = (identity: T): string =>
    found.filter((other) => describeIdentity(other) === describeIdentity(identity)).length > 1
      ? `${describeIdentity(identity)} (${formatIdentity(identity.id)})`
      : describeIdentity(identity);
  return pick('workload', text, all, (identity) => chosen.has(identity), describe);
}

/** The endpoint a person means: its id, at least four digits of it, or the name of its workload. */
export function pickEndpoint<T extends { readonly id: string; readonly identity: Identity }>(
  text: string,
  all: readonly T[],
  namespace?: string,
): T {
  const exact = all.find((endpoint) => endpoint.id === text);
  if (exact !== undefined) return exact;
  const byId = (endpoint: T): boolean => text.length >= 4 && endpoint.id.startsWith(text);
  let found = all.filter((endpoint) => byId(endpoint) || means(text, endpoint.identity));
  const inNamespace = found.filter((endpoint) => endpoint.identity.workload.namespace === namespace);
  if (inNamespace.length > 0) found = inNamespace;
  const chosen = new Set(found);
  return pick(
    'endpoint',
    text,
    all,
    (endpoint) => chosen.has(endpoint),
    (endpoint) => `${formatWorkload(endpoint.identity.workload)} (${shortId(endpoint.id)})`,
  );
}

/** The policy a person means: `name` or `namespace/name`; the kind only where several kinds have it. */
export function pickPolicy<T extends { readonly kind: string; readonly namespace: string; readonly name: string }>(
  text: string,
  all: readonly T[],
  where: { readonly namespace?: string | undefined; readonly kind?: string | undefined } = {},
): T {
  const slash = text.indexOf('/');
  const name = slash < 0 ? text : text.slice(slash + 1);
  const namespace = slash < 0 ? where.namespace : text.slice(0, slash);
  return pick(
    'policy',
    text,
    all,
    (policy) =>
      policy.name === name &&
      (namespace === undefined || policy.namespace === namespace) &&
      (where.kind === undefined || policy.kind === where.kind),
    (policy) => `${policy.kind} ${policy.namespace === '' ? '' : `${policy.namespace}/`}${policy.name}`,
    'write namespace/name, or its kind with --kind',
  );
}
