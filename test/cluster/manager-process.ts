/** The manager beside a cluster, as processes of its own, with what its service account may do and nothing more. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Background } from '../rig/process.ts';
import type { Cluster } from './cluster.ts';

const ROOT = resolve(import.meta.dirname, '../..');

/** An installation of the manager's own: its namespace, and the name of everything that belongs to no namespace. */
export interface Installation {
  readonly name: string;
  readonly kubeconfig: string;
}

/** What the manager is allowed, under another name: a cluster may have a manager already. */
export function permissions(name: string): string {
  return base('rbac-manager.yaml')
    .replaceAll('sallyport-system', name)
    .replace(/name: sallyport-manager/g, `name: ${name}`)
    .replaceAll('[sallyport-manager]', `[${name}]`)
    .replaceAll('[sallyport.dev/agent]', `[sallyport.dev/${name}]`)
    .replaceAll('[sallyport]', `[${name}]`);
}

/** What it fills, as it comes: under another name where it belongs to no namespace. */
export function objects(name: string): string {
  return base('manager-objects.yaml')
    .replaceAll('sallyport-system', name)
    .replace(/name: sallyport$/m, `name: ${name}`);
}

function base(file: string): string {
  return readFileSync(join(ROOT, 'k8s/base', file), 'utf8');
}

/** Makes namespace, permissions and what is to be filled, and a kubeconfig to ask with them. */
export async function install(
  ground: Pick<Cluster, 'apply' | 'kubectl'>,
  name: string,
  directory: string,
): Promise<Installation> {
  const namespace = `apiVersion: v1\nkind: Namespace\nmetadata: { name: ${name} }\n`;
  await ground.apply([namespace, permissions(name), objects(name)].join('---\n'));
  const config = JSON.parse(await ground.kubectl('config', 'view', '--raw', '--flatten', '-o', 'json')) as {
    users: { user: Record<string, unknown> }[];
  };
  for (const { user } of config.users) user.as = `system:serviceaccount:${name}:${name}`;
  const kubeconfig = join(directory, 'manager.kubeconfig');
  writeFileSync(kubeconfig, JSON.stringify(config), { mode: 0o600 });
  return { name, kubeconfig };
}

export interface ManagerProcess {
  readonly process: Background;
  readonly replica: string;
  readonly metrics: string;
}

/** Starts a replica; the API server asks it at this machine's address. */
export function startManager(
  { name, kubeconfig }: Installation,
  replica: string,
  [webhook, metrics]: readonly [number, number],
): ManagerProcess {
  const settings = {
    namespace: name,
    identity: replica,
    'kubernetes.kubeconfig': kubeconfig,
    'webhook.listen': `127.0.0.1:${webhook}`,
    'webhook.url': `https://127.0.0.1:${webhook}/validate`,
    'webhook.configuration': name,
    'election.lease': name,
    'certificates.signer': `sallyport.dev/${name}`,
    'metrics.address': `127.0.0.1:${metrics}`,
    'identities.graceMinutes': '5',
  };
  const flags = Object.entries(settings).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
  const process = new Background([globalThis.process.execPath, join(ROOT, 'src/cli/main.ts'), 'manager', ...flags]);
  return { process, replica, metrics: `http://127.0.0.1:${metrics}` };
}

/** Whether a replica can answer. */
export async function isReady({ metrics }: ManagerProcess): Promise<boolean> {
  try {
    return (await fetch(`${metrics}/readyz`)).ok;
  } catch {
    return false; // not yet listening
  }
}

/** The value of a metric without labels, or with exactly these. */
export async function metric({ metrics }: ManagerProcess, name: string): Promise<number> {
  const text = await (await fetch(`${metrics}/metrics`)).text();
  const line = text.split('\n').find((one) => one.startsWith(`${name} `));
  return Number(line?.split(' ').at(-1) ?? Number.NaN);
}
