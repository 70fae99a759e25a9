import { accessSync, readFileSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { delimiter, dirname, isAbsolute, join } from 'node:path';
import { parse } from 'yaml';
import * as z from 'zod';
import { KubernetesError } from './error.ts';

/** Something given in the kubeconfig itself, or in a file that may be replaced at any time. */
export type Material = { readonly text: string } | { readonly file: string };

/** A program that tells credentials (client.authentication.k8s.io). */
export interface ExecPlugin {
  readonly apiVersion: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** It wants to know which cluster the credentials are for. */
  readonly provideClusterInfo: boolean;
}

/** A kind of sign-in that earlier versions of Kubernetes knew by themselves. */
export interface AuthProvider {
  readonly name: (typeof PROVIDERS)[number];
  readonly config: Readonly<Record<string, string>>;
}

const PROVIDERS = ['oidc', 'gcp', 'azure'] as const;

/** Who asks. */
export interface User {
  readonly certificate?: Material;
  readonly key?: Material;
  readonly token?: Material;
  readonly basic?: { readonly username: string; readonly password: string };
  readonly exec?: ExecPlugin;
  readonly provider?: AuthProvider;
  readonly impersonate?: { readonly user: string; readonly groups: readonly string[] };
}

/** An API server, and who asks it. */
export interface Target {
  /** Base URL without a slash at its end. */
  readonly server: string;
  readonly authority?: Material;
  readonly insecure: boolean;
  readonly serverName?: string;
  readonly proxy?: string;
  readonly user: User;
  /** The context's. */
  readonly namespace?: string;
}

export interface KubeconfigOptions {
  /** Path of a kubeconfig. Default: `KUBECONFIG`, the pod's service account, `~/.kube/config`, whichever is first. */
  readonly kubeconfig?: string;
  /** Default: the kubeconfig's current one. */
  readonly context?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Where a pod finds its service account. */
  readonly serviceAccount?: string;
}

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

const text = z.string();
const execSchema = z.object({
  apiVersion: text.default('client.authentication.k8s.io/v1'),
  command: text.min(1),
  args: z.array(text).nullish(),
  env: z.array(z.object({ name: text, value: text })).nullish(),
  provideClusterInfo: z.boolean().optional(),
});
const userSchema = z.object({
  'client-certificate': text.optional(),
  'client-certificate-data': z.base64().optional(),
  'client-key': text.optional(),
  'client-key-data': z.base64().optional(),
  token: text.optional(),
  tokenFile: text.optional(),
  username: text.optional(),
  password: text.optional(),
  as: text.optional(),
  'as-groups': z.array(text).nullish(),
  exec: execSchema.nullish(),
  'auth-provider': z.object({ name: text, config: z.record(text, text).nullish() }).nullish(),
});
const clusterSchema = z.object({
  server: z.url({ protocol: /^https?$/ }),
  'certificate-authority': text.optional(),
  'certificate-authority-data': z.base64().optional(),
  'insecure-skip-tls-verify': z.boolean().optional(),
  'tls-server-name': text.optional(),
  'proxy-url': text.optional(),
});
const contextSchema = z.object({ cluster: text, user: text.optional(), namespace: text.optional() });
const named = <K extends string, T extends z.ZodType>(key: K, schema: T) =>
  z.array(z.object({ name: text, [key]: schema } as { name: typeof text } & Record<K, T>)).nullish();
const kubeconfigSchema = z.object({
  'current-context': text.optional(),
  clusters: named('cluster', clusterSchema),
  contexts: named('context', contextSchema),
  users: named('user', userSchema.nullish()),
});
type Kubeconfig = z.output<typeof kubeconfigSchema>;

interface File {
  readonly path: string;
  readonly content: Kubeconfig;
}

/** Finds the API server to ask and who asks it. Throws KubernetesError INVALID where that is not said. */
export function loadTarget(options: KubeconfigOptions = {}): Target {
  const { kubeconfig, env = process.env, serviceAccount = SERVICE_ACCOUNT } = options;
  if (kubeconfig !== undefined) return fromFiles([kubeconfig], options.context);
  const listed = (env.KUBECONFIG ?? '').split(delimiter).filter((path) => path !== '');
  if (listed.length > 0) return fromFiles(listed, options.context);
  const inCluster = ofServiceAccount(env, serviceAccount);
  if (inCluster !== undefined && options.context === undefined) return inCluster;
  const own = env.HOME === undefined ? undefined : join(env.HOME, '.kube', 'config');
  if (own !== undefined && isReadable(own)) return fromFiles([own], options.context);
  throw new KubernetesError('INVALID', 'Cannot find an API server: no kubeconfig is given, and this is no pod', {
    hint: 'name a kubeconfig in `kubernetes.kubeconfig` or KUBECONFIG',
  });
}

/** The way a pod reaches its API server; undefined outside of one. */
function ofServiceAccount(env: Readonly<Record<string, string | undefined>>, directory: string): Target | undefined {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = env;
  const token = join(directory, 'token');
  if (!host || !port || !isReadable(token)) return undefined;
  return {
    server: `https://${isIPv6(host) ? `[${host}]` : host}:${port}`,
    authority: { file: join(directory, 'ca.crt') },
    insecure: false,
    user: { token: { file: token } },
  };
}

function fromFiles(paths: readonly string[], wanted: string | undefined): Target {
  const files = paths.map(read);
  // As kubectl does it: of several files, the first that says something counts.
  const name = wanted ?? files.map(({ content }) => content['current-context']).find((one) => one);
  const where = paths.join(', ');
  if (name === undefined) throw invalid(where, 'it has no current context', 'name one in `kubernetes.context`');
  const context = find(files, 'contexts', name, where).entry.context;
  const cluster = find(files, 'clusters', context.cluster, where);
  const user = context.user === undefined ? undefined : find(files, 'users', context.user, where);
  return {
    ...targetOf(cluster.entry.cluster, cluster.directory),
    user: userOf(user?.entry.user ?? {}, user?.directory ?? '.', where),
    ...(context.namespace === undefined ? {} : { namespace: context.namespace }),
  };
}

type Entry<K extends 'clusters' | 'contexts' | 'users'> = NonNullable<Kubeconfig[K]>[number];

function find<K extends 'clusters' | 'contexts' | 'users'>(
  files: readonly File[],
  list: K,
  name: string,
  where: string,
) {
  for (const { path, content } of files) {
    const entry = content[list]?.find((one) => one.name === name) as Entry<K> | undefined;
    if (entry !== undefined) return { entry, directory: dirname(path) };
  }
  throw invalid(where, `there is no ${JSON.stringify(name)} among its ${list}`);
}

function targetOf(cluster: z.output<typeof clusterSchema>, directory: string): Omit<Target, 'user'> {
  const authority = material(cluster['certificate-authority-data'], cluster['certificate-authority'], directory);
  const { 'tls-server-name': serverName, 'proxy-url': proxy } = cluster;
  return {
    server: cluster.server.replace(/\/+$/, ''),
    insecure: cluster['insecure-skip-tls-verify'] ?? false,
    ...(authority === undefined ? {} : { authority }),
    ...(serverName === undefined ? {} : { serverName }),
    ...(proxy === undefined ? {} : { proxy }),
  };
}

function userOf(user: z.output<typeof userSchema>, directory: string, where: string): User {
  const provider = providerOf(user['auth-provider'], where);
  const certificate = material(user['client-certificate-data'], user['client-certificate'], directory);
  const key = material(user['client-key-data'], user['client-key'], directory);
  const { token, tokenFile, username, password = '', as, exec } = user;
  const bearer = tokenFile === undefined ? given(token) : { file: absolute(tokenFile, directory) };
  return {
    ...(certificate === undefined ? {} : { certificate }),
    ...(key === undefined ? {} : { key }),
    ...(bearer === undefined ? {} : { token: bearer }),
    ...(username === undefined ? {} : { basic: { username, password } }),
    ...(exec ? { exec: pluginOf(exec, directory) } : {}),
    ...(provider === undefined ? {} : { provider }),
    ...(as === undefined ? {} : { impersonate: { user: as, groups: user['as-groups'] ?? [] } }),
  };
}

function providerOf(given: z.output<typeof userSchema>['auth-provider'], where: string): AuthProvider | undefined {
  if (!given) return undefined;
  const name = PROVIDERS.find((known) => known === given.name);
  if (name !== undefined) return { name, config: given.config ?? {} };
  const what = `its user has an auth-provider that nobody knows (${given.name})`;
  throw invalid(where, what, 'use an exec plug-in, a token or a client certificate');
}

function pluginOf(exec: z.output<typeof execSchema>, directory: string): ExecPlugin {
  return {
    apiVersion: exec.apiVersion,
    // A bare name is looked for in the PATH.
    command: exec.command.includes('/') ? absolute(exec.command, directory) : exec.command,
    args: exec.args ?? [],
    env: Object.fromEntries((exec.env ?? []).map(({ name, value }) => [name, value])),
    provideClusterInfo: exec.provideClusterInfo ?? false,
  };
}

function given(value: string | undefined): Material | undefined {
  return value === undefined || value === '' ? undefined : { text: value };
}

function material(data: string | undefined, file: string | undefined, directory: string): Material | undefined {
  if (data !== undefined && data !== '') return { text: Buffer.from(data, 'base64').toString('utf8') };
  return file === undefined || file === '' ? undefined : { file: absolute(file, directory) };
}

function absolute(path: string, directory: string): string {
  return isAbsolute(path) ? path : join(directory, path);
}

function read(path: string): File {
  let content: unknown;
  try {
    content = parse(readFileSync(path, 'utf8'));
  } catch (thrown) {
    throw invalid(path, thrown instanceof Error ? thrown.message : String(thrown));
  }
  const parsed = kubeconfigSchema.safeParse(content);
  if (!parsed.success) throw invalid(path, z.prettifyError(parsed.error).slice(0, 500));
  return { path, content: parsed.data };
}

function isReadable(path: string): boolean {
  try {
    accessSync(path);
    return true;
  } catch {
    return false; // not there, or not for us
  }
}

function invalid(path: string, what: string, hint?: string): KubernetesError {
  return new KubernetesError('INVALID', `Cannot use kubeconfig ${path}: ${what}`, hint === undefined ? {} : { hint });
}
