/** Who may have which agent's certificate. Pure: what is looked up is looked up by others. */
import * as z from 'zod';
import type { LooseObject } from '../../sources/kubernetes/resource.ts';
import { agentUri, nodeOfUri } from '../../trust/certificate.ts';
import type { ReadRequest } from '../../trust/read-request.ts';

/** Whom this manager signs for. */
export interface Installation {
  readonly domain: string;
  readonly namespace: string;
  /** The agents' ServiceAccount. */
  readonly account: string;
}

/** Why a request is denied. `reason`: a word, as conditions of Kubernetes have it. */
export interface Denial {
  readonly denied: true;
  readonly reason: 'NotAnAgent' | 'NoPod' | 'NotItsPod' | 'WrongUsages' | 'Unreadable' | 'WrongName' | 'WrongNode';
  readonly message: string;
}

export interface Grant {
  readonly denied: false;
  readonly node: string;
  readonly publicKey: Uint8Array;
}

/** A CertificateSigningRequest, as far as it counts. Who asks was written by the API server, and cannot be changed. */
export interface AskedCertificate {
  /** PEM. */
  readonly request: string;
  readonly usages: readonly string[];
  readonly username: string;
  readonly extra: Readonly<Record<string, readonly string[]>>;
  /** By us, or by somebody with `kubectl certificate approve`: that is no reason to sign. */
  readonly approved: boolean;
  /** Denied, failed, or signed: nothing is left to do. */
  readonly settled: boolean;
}

/** The pod a token was given to. */
export interface Asker {
  readonly denied: false;
  readonly pod: string;
  readonly uid: string;
  /** Where the server says so itself (from 1.29 on). */
  readonly node?: string;
}

export const USAGES = ['digital signature', 'client auth', 'server auth'] as const;

const POD_NAME = 'authentication.kubernetes.io/pod-name';
const POD_UID = 'authentication.kubernetes.io/pod-uid';
const NODE_NAME = 'authentication.kubernetes.io/node-name';

const requestSchema = z.object({
  spec: z.object({
    request: z.string().max(16_384).default(''),
    usages: z.array(z.string()).nullish(),
    username: z.string().default(''),
    extra: z.record(z.string(), z.array(z.string())).nullish(),
  }),
  status: z
    .object({
      conditions: z.array(z.object({ type: z.string() })).nullish(),
      certificate: z.string().nullish(),
    })
    .nullish(),
});

const podSchema = z.object({
  metadata: z.object({ uid: z.string(), deletionTimestamp: z.unknown().optional() }),
  spec: z.object({ nodeName: z.string().default(''), serviceAccountName: z.string().default('') }),
  status: z.object({ phase: z.string().default('') }).default({ phase: '' }),
});

/** What a request says; undefined where it is none. */
export function askedCertificate(object: LooseObject): AskedCertificate | undefined {
  const { data } = requestSchema.safeParse(object);
  if (data === undefined) return undefined;
  const { request, usages, username, extra } = data.spec;
  const types = new Set((data.status?.conditions ?? []).map(({ type }) => type));
  return {
    request: Buffer.from(request, 'base64').toString('utf8'),
    usages: usages ?? [],
    username,
    extra: extra ?? {},
    approved: types.has('Approved'),
    settled: types.has('Denied') || types.has('Failed') || Boolean(data.status?.certificate),
  };
}

/** What the API server calls an installation's agents. */
export function agentUser({ namespace, account }: Pick<Installation, 'namespace' | 'account'>): string {
  return `system:serviceaccount:${namespace}:${account}`;
}

/** Whose token asked. */
export function askerOf(
  { username, extra }: Pick<AskedCertificate, 'username' | 'extra'>,
  installation: Pick<Installation, 'namespace' | 'account'>,
): Asker | Denial {
  const wanted = agentUser(installation);
  if (username !== wanted) return deny('NotAnAgent', `asked for by ${quoted(username)}, wanted ${wanted}`);
  const [pod, uid] = [only(extra[POD_NAME]), only(extra[POD_UID])];
  if (pod === undefined || uid === undefined) {
    return deny('NoPod', "asked for with a token that is of no pod, wanted the pod's own (a projected volume)");
  }
  const told = extra[NODE_NAME];
  const node = only(told);
  if (told !== undefined && node === undefined) return deny('NotItsPod', 'asked for with a token of several nodes');
  return { denied: false, pod, uid, ...(node === undefined ? {} : { node }) };
}

/** @param pod of that name, in the installation's namespace, as it is now. @param read what is asked for, or why it cannot be read */
export function decide(
  asked: AskedCertificate,
  asker: Asker,
  pod: LooseObject | undefined,
  read: ReadRequest | Error,
  installation: Installation,
): Grant | Denial {
  const node = nodeOfPod(asker, pod, installation);
  if (typeof node !== 'string') return node;
  const { usages } = asked;
  if (usages.length !== USAGES.length || !USAGES.every((usage) => usages.includes(usage))) {
    const found = usages.slice(0, 8).map((usage) => quoted(usage));
    return deny('WrongUsages', `for ${found.join(', ') || 'nothing'}, wanted ${USAGES.join(', ')}`);
  }
  if (read instanceof Error) return deny('Unreadable', read.message);
  const wanted = agentUri(installation.domain, node);
  const named = nodeOfUri(read.uri, installation.domain);
  if (named === undefined) return deny('WrongName', `for ${quoted(read.uri)}, wanted ${wanted}`);
  if (named !== node) return deny('WrongNode', `for node ${quoted(named)}, asked for by a pod of node ${node}`);
  return { denied: false, node, publicKey: read.publicKey };
}

/** The node an agent's pod runs on. */
function nodeOfPod(
  { pod: name, uid, node: told }: Asker,
  pod: LooseObject | undefined,
  { account }: Installation,
): string | Denial {
  const no = (what: string): Denial => deny('NotItsPod', `asked for in the name of pod ${quoted(name)}, ${what}`);
  const { data } = podSchema.safeParse(pod);
  if (data === undefined) return no('which is not there');
  const { metadata, spec, status } = data;
  if (metadata.uid !== uid) return no('which is another one by now');
  if (spec.serviceAccountName !== account) return no(`which is not of service account ${account}`);
  if (metadata.deletionTimestamp !== undefined || status.phase === 'Succeeded' || status.phase === 'Failed') {
    return no('which has ended, or is about to');
  }
  if (spec.nodeName === '') return no('which is on no node');
  if (told !== undefined && told !== spec.nodeName) return no(`which is not on the node of its token, ${quoted(told)}`);
  return spec.nodeName;
}

function deny(reason: Denial['reason'], message: string): Denial {
  return { denied: true, reason, message };
}

/** The one value; undefined where there is none, or more. */
function only(values: readonly string[] | undefined): string | undefined {
  return values?.length === 1 && values[0] !== '' ? values[0] : undefined;
}

/** What a stranger wrote, short enough for people. */
function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 200));
}
