import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import * as z from 'zod';
import { KubernetesError } from './error.ts';
import type { AuthProvider, ExecPlugin, Material, Target } from './kubeconfig.ts';

const run = promisify(execFile);

/** Tokens and certificates on disk are replaced at any time: they are read again after this long, milliseconds. */
const FRESH_MS = 60_000;
/** A plug-in may have to ask somebody on the network, milliseconds. */
const PLUGIN_MS = 60_000;
const LONGEST_ANSWER = 1 << 20;
/** A credential this close to its end is asked for anew, milliseconds. */
const MARGIN_MS = 10_000;

/** What a connection is made with. Two that are equal make the same connections. */
export interface Tls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

export interface Current {
  readonly tls: Tls;
  readonly headers: Readonly<Record<string, string | string[]>>;
}

const credentialSchema = z.object({
  kind: z.literal('ExecCredential'),
  status: z.object({
    token: z.string().optional(),
    clientCertificateData: z.string().optional(),
    clientKeyData: z.string().optional(),
    expirationTimestamp: z.iso.datetime({ offset: true }).optional(),
  }),
});
type Credential = z.output<typeof credentialSchema>['status'];

/** Who asks, as of now: files are read again, plug-ins asked again when what they said has ended or was refused. */
export class Credentials {
  readonly #target: Target;
  readonly #now: () => number;
  /** Made when first needed. */
  #provided: Promise<{ current(): Promise<string> }> | undefined;
  #current: Promise<Current> | undefined;
  #until = 0;

  constructor(target: Target, now: () => number = Date.now) {
    this.#target = target;
    this.#now = now;
  }

  /** Throws KubernetesError UNAUTHORIZED where they cannot be had. */
  current(): Promise<Current> {
    if (this.#current !== undefined && this.#now() < this.#until) return this.#current;
    this.#until = this.#now() + FRESH_MS;
    const asked = this.#ask();
    this.#current = asked;
    // A failure is told to whoever waits, and not kept.
    asked.catch(() => {
      if (this.#current === asked) this.#current = undefined;
    });
    return asked;
  }

  /** The server did not accept them. */
  refused(): void {
    this.#current = undefined;
  }

  async #ask(): Promise<Current> {
    const { user, authority } = this.#target;
    const [ca, cert, key, token, said] = await Promise.all([
      readMaterial(authority),
      readMaterial(user.certificate),
      readMaterial(user.key),
      user.provider === undefined ? readMaterial(user.token) : this.#providedToken(user.provider),
      user.exec === undefined ? undefined : askPlugin(user.exec, this.#target),
    ]);
    if (said?.expirationTimestamp !== undefined) {
      const end = Date.parse(said.expirationTimestamp) - MARGIN_MS;
      this.#until = Math.max(end, this.#now() + 1_000);
    } else if (said !== undefined) {
      this.#until = Number.POSITIVE_INFINITY;
    }
    return {
      tls: compact({ ca, cert: said?.clientCertificateData ?? cert, key: said?.clientKeyData ?? key }),
      headers: this.#headers((said?.token ?? token)?.trim()),
    };
  }

  async #providedToken(provider: AuthProvider): Promise<string> {
    this.#provided ??= import('./client-node.ts').then(({ ProvidedToken }) => new ProvidedToken(provider));
    const provided = await this.#provided;
    const late = new AbortController();
    const limit = sleep(PLUGIN_MS, undefined, { signal: late.signal }).then(() => {
      throw new KubernetesError('UNAUTHORIZED', `No token of auth-provider ${provider.name} in ${PLUGIN_MS} ms`);
    });
    try {
      return await Promise.race([provided.current(), limit]);
    } finally {
      late.abort();
      limit.catch(() => {}); // it is no longer waited for
    }
  }

  #headers(token: string | undefined): Current['headers'] {
    const { basic, impersonate } = this.#target.user;
    const headers: Record<string, string | string[]> = {};
    if (token !== undefined && token !== '') headers.authorization = `Bearer ${token}`;
    else if (basic !== undefined) {
      headers.authorization = `Basic ${Buffer.from(`${basic.username}:${basic.password}`).toString('base64')}`;
    }
    if (impersonate !== undefined) {
      headers['impersonate-user'] = impersonate.user;
      if (impersonate.groups.length > 0) headers['impersonate-group'] = [...impersonate.groups];
    }
    return headers;
  }
}

function compact({ ca, cert, key }: Record<'ca' | 'cert' | 'key', string | undefined>): Tls {
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
}

async function readMaterial(material: Material | undefined): Promise<string | undefined> {
  if (material === undefined || 'text' in material) return material?.text;
  try {
    return await readFile(material.file, 'utf8');
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    throw new KubernetesError('UNAUTHORIZED', `Cannot read credentials: ${reason}`, { cause: thrown });
  }
}

async function askPlugin(plugin: ExecPlugin, target: Target): Promise<Credential> {
  const cluster = { server: target.server, 'insecure-skip-tls-verify': target.insecure };
  const spec = { interactive: false, ...(plugin.provideClusterInfo ? { cluster } : {}) };
  const info = JSON.stringify({ apiVersion: plugin.apiVersion, kind: 'ExecCredential', spec });
  try {
    const { stdout } = await run(plugin.command, [...plugin.args], {
      env: { ...process.env, ...plugin.env, KUBERNETES_EXEC_INFO: info },
      timeout: PLUGIN_MS,
      maxBuffer: LONGEST_ANSWER,
    });
    return credentialSchema.parse(JSON.parse(stdout)).status;
  } catch (thrown) {
    // Its output is a secret, whatever is wrong with it.
    const reason =
      thrown instanceof z.ZodError || thrown instanceof SyntaxError ? 'no ExecCredential' : failureOf(thrown);
    throw new KubernetesError('UNAUTHORIZED', `Cannot get credentials from ${plugin.command}: ${reason}`);
  }
}

function failureOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const { code, killed, stderr } = thrown as { code?: unknown; killed?: boolean; stderr?: string };
  if (killed) return `no answer in ${PLUGIN_MS} ms`;
  return `${stderr?.trim().slice(0, 300) || `it ended with ${String(code)}`}`;
}
