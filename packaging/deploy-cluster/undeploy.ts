/** Takes Sallyport out of a cluster: from every node's kernel, from the disks, from the API server. */

import { cleanupOf } from './cleanup.ts';
import { apiVersionsOf, builtImage, readKinds, type Say, type Target } from './deploy.ts';
import type { Kubectl } from './kubectl.ts';
import { isWorkload, type Manifest, readManifests, STANDARD_IMAGE, suit, writeManifests } from './manifests.ts';

const GONE = ['--ignore-not-found', '--wait=true', '--timeout=180s'];

/** `webhook.configuration` of the manager. */
const WEBHOOK = 'sallyport';

/** Policies go with their kinds: who wants to keep them takes them out before (`kubectl get wnp,cwnp,hp,chp -A -o yaml`). */
export async function undeploy({ root, kustomization, kubectl }: Target, say: Say): Promise<void> {
  const rendered = readManifests(await kubectl.run(['kustomize', kustomization]));
  const image = builtImage(root)?.reference ?? STANDARD_IMAGE;
  const manifests = suit(rendered, { image, apiVersions: await apiVersionsOf(kubectl) });
  const kinds = readKinds(root);

  const agents = await readAgents(kubectl, manifests);
  await remove(kubectl, manifests.filter(isWorkload));
  // Their pods go after them. One that still ended would leave what is cleaned away meanwhile.
  const { namespace = 'default' } = agents.metadata;
  await kubectl.run(['delete', 'pods', '-n', namespace, '-l', 'app.kubernetes.io/part-of=sallyport', ...GONE]);
  // The manager made it, and would make it again; without one the API server asks nobody.
  await kubectl.run(['delete', 'validatingwebhookconfiguration', WEBHOOK, ...GONE]);
  // Kubernetes would forget them in an hour.
  await kubectl.run(['delete', 'certificatesigningrequests', '-l', 'app.kubernetes.io/managed-by=sallyport', ...GONE]);
  say('stopped  agents and manager');

  await cleanNodes(kubectl, cleanupOf(agents));
  say('nodes    nothing is enforced any more');
  await remove(kubectl, kinds);
  await remove(kubectl, manifests);
  say('cluster  nothing of Sallyport is left');
}

async function cleanNodes(kubectl: Kubectl, cleanup: Manifest): Promise<void> {
  const where = ['-n', cleanup.metadata.namespace ?? 'default'];
  const { name } = cleanup.metadata;
  if (!(await kubectl.succeeds(['get', 'namespace', where[1]!]))) return; // it was never deployed
  await kubectl.run(['apply', '-f', '-'], { input: writeManifests([cleanup]) });
  const status = ['rollout', 'status', `DaemonSet/${name}`, ...where, '--timeout=180s'];
  await kubectl.run(status, { show: true });
  await kubectl.run(['delete', 'daemonset', name, ...where, ...GONE]);
}

/** As they are deployed: their image is on the nodes. Where they are gone already, as they would be. */
async function readAgents(kubectl: Kubectl, manifests: readonly Manifest[]): Promise<Manifest> {
  const agents = manifests.find(({ kind }) => kind === 'DaemonSet');
  if (agents === undefined) throw new Error('The kustomization has no DaemonSet');
  const { name, namespace = 'default' } = agents.metadata;
  const found = await kubectl.run(['get', 'daemonset', name, '-n', namespace, '-o', 'json', '--ignore-not-found']);
  if (found === '') return agents;
  const { spec } = JSON.parse(found) as Manifest;
  return { ...agents, ...(spec === undefined ? {} : { spec }) };
}

async function remove(kubectl: Kubectl, manifests: readonly Manifest[]): Promise<void> {
  if (manifests.length === 0) return;
  await kubectl.run(['delete', ...GONE, '-f', '-'], { input: writeManifests(manifests) });
}
