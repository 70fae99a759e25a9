/** Takes Sallyport out of a cluster: from every node's kernel, from the disks, from the API server. */

import { cleanupOf } from './cleanup.ts';
import { readKinds, type Say, type Target } from './deploy.ts';
import type { Kubectl } from './kubectl.ts';
import { isWorkload, type Manifest, readManifests, writeManifests } from './manifests.ts';

const GONE = ['--ignore-not-found', '--wait=true', '--timeout=180s'];

/** `webhook.configuration` of the manager. */
const WEBHOOK = 'sallyport';

/** Policies go with their kinds: who wants to keep them takes them out before (`kubectl get wnp,cwnp,hp,chp -A -o yaml`). */
export async function undeploy({ root, kustomization, kubectl }: Target, say: Say): Promise<void> {
  const manifests = readManifests(await kubectl.run(['kustomize', kustomization]));
  const kinds = readKinds(root);

  const running = await readDaemonSet(kubectl, manifests);
  await remove(kubectl, manifests.filter(isWorkload));
  // The manager made it, and would make it again; without one the API server asks nobody.
  await kubectl.run(['delete', 'validatingwebhookconfiguration', WEBHOOK, ...GONE]);
  say('stopped  agents and manager');

  if (running !== undefined) {
    const cleanup = cleanupOf(running);
    const where = ['-n', cleanup.metadata.namespace ?? 'default'];
    await kubectl.run(['apply', '-f', '-'], { input: writeManifests([cleanup]) });
    await kubectl.run(['rollout', 'status', `DaemonSet/${cleanup.metadata.name}`, ...where, '--timeout=180s'], {
      show: true,
    });
    await kubectl.run(['delete', 'daemonset', cleanup.metadata.name, ...where, ...GONE]);
    say('nodes    nothing is enforced any more');
  }
  await remove(kubectl, kinds);
  await remove(kubectl, manifests);
  say('cluster  nothing of Sallyport is left');
}

/** The agents as they are deployed: their image is on the nodes, whatever the manifests here say. */
async function readDaemonSet(kubectl: Kubectl, manifests: readonly Manifest[]): Promise<Manifest | undefined> {
  const agents = manifests.find(({ kind }) => kind === 'DaemonSet');
  if (agents === undefined) throw new Error('The kustomization has no DaemonSet');
  const { name, namespace = 'default' } = agents.metadata;
  const found = await kubectl.run(['get', 'daemonset', name, '-n', namespace, '-o', 'json', '--ignore-not-found']);
  if (found === '') return undefined;
  const { spec } = JSON.parse(found) as Manifest;
  return { ...agents, ...(spec === undefined ? {} : { spec }) };
}

async function remove(kubectl: Kubectl, manifests: readonly Manifest[]): Promise<void> {
  if (manifests.length === 0) return;
  await kubectl.run(['delete', ...GONE, '-f', '-'], { input: writeManifests(manifests) });
}
