/** Brings Sallyport into a cluster, and waits until it works there. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Kubectl } from './kubectl.ts';
import { isWorkload, type Manifest, readManifests, suit, writeManifests } from './manifests.ts';
import { localNodes } from './nodes.ts';

export interface Target {
  /** Of the project. */
  readonly root: string;
  readonly kubeconfig: string | undefined;
  /** Directory of what is deployed; k8s/base, or one that patches it. */
  readonly kustomization: string;
  readonly kubectl: Kubectl;
}

export type Say = (line: string) => void;

const Nodes = z.object({
  items: z.array(
    z.object({ spec: z.object({ podCIDR: z.string().optional(), podCIDRs: z.array(z.string()).optional() }) }),
  ),
});

const Built = z.object({ reference: z.string(), archive: z.string() });
const APPLY = ['apply', '--server-side', '--force-conflicts', '--field-manager=sallyport-deploy', '-f', '-'];
const TIMEOUT = '300s';

export interface DeployOptions extends Target {
  /** Where nodes find it. None: the one that `make image` built is loaded, where nodes are local. */
  readonly image: string | undefined;
  /** `key=value`, beside the kustomization's. */
  readonly agentSettings: readonly string[];
}

export async function deploy(options: DeployOptions, say: Say): Promise<void> {
  const { kubectl, root, kustomization } = options;
  const nodes = Nodes.parse(JSON.parse(await kubectl.run(['get', 'nodes', '-o', 'json']))).items;
  say(`cluster  ${await serverOf(kubectl)}, ${nodes.length} nodes`);
  say(`pods     ${podNetworks(nodes)}`);

  const image = options.image ?? (await loadBuilt(options, say));
  const apiVersions = await apiVersionsOf(kubectl);
  const rendered = readManifests(await kubectl.run(['kustomize', kustomization]));
  const manifests = suit(rendered, { image, apiVersions, agentSettings: options.agentSettings });

  const kinds = readKinds(root);
  // Servers before 1.25 do not know rules in CEL; they leave them out.
  await kubectl.run(['apply', '--validate=false', '-f', '-'], { input: writeManifests(kinds) });
  const established = kinds.map(({ metadata }) => `crd/${metadata.name}`);
  await kubectl.run(['wait', '--for=condition=Established', '--timeout=60s', ...established]);
  say(`kinds    ${kinds.length} established`);

  await kubectl.run(APPLY, { input: writeManifests(manifests) });
  for (const { kind, metadata } of manifests.filter(isWorkload)) {
    const namespace = ['-n', metadata.namespace ?? 'default'];
    const status = ['rollout', 'status', `${kind}/${metadata.name}`, ...namespace, `--timeout=${TIMEOUT}`];
    try {
      await kubectl.run(status, { show: true });
    } catch (error) {
      await kubectl.run(['get', 'pods', ...namespace, '-o', 'wide'], { show: true });
      await kubectl.run(['get', 'events', ...namespace, '--sort-by=.lastTimestamp'], { show: true });
      throw error;
    }
  }
  await removeOlderSettings(kubectl, manifests);
  for (const line of NEXT) say(line);
}

const NEXT = [
  '',
  'Sallyport works on every node. Next:',
  '  kubectl get nodereports                          how each node stands',
  '  kubectl get workloadidentities -A                who is who',
  '  kubectl apply -f your-policy.yaml                WorkloadNetworkPolicy, HardeningPolicy: docs/policy-reference.md',
  '  kubectl get wnp,hp -A                            whether they are enforced, and where',
  '  make undeploy                                    takes all of it away',
];

/** What the server serves: `policy/v1`. */
export async function apiVersionsOf(kubectl: Kubectl): Promise<ReadonlySet<string>> {
  return new Set((await kubectl.run(['api-versions'])).split('\n'));
}

/** The custom resource definitions. */
export function readKinds(root: string): Manifest[] {
  const directory = join(root, 'k8s/crds');
  const files = readdirSync(directory).filter((name) => name.endsWith('.yaml'));
  return files.flatMap((name) => readManifests(readFileSync(join(directory, name), 'utf8')));
}

async function serverOf(kubectl: Kubectl): Promise<string> {
  return kubectl.run(['config', 'view', '--minify', '-o', 'jsonpath={.clusters[0].cluster.server}']);
}

/** Agents follow them by themselves. Some networks' pods have addresses no node tells of. */
function podNetworks(nodes: z.output<typeof Nodes>['items']): string {
  const told = nodes.flatMap(({ spec }) => spec.podCIDRs ?? (spec.podCIDR === undefined ? [] : [spec.podCIDR]));
  const networks = [...new Set(told)].sort().join(', ');
  return networks || 'no node tells their networks: name them, AGENT_SET=\'network.prefixes=["…"]\'';
}

/** What `make image` made last; undefined where it was not run. */
export function builtImage(root: string): z.output<typeof Built> | undefined {
  const path = join(root, 'build/image/image.json');
  return existsSync(path) ? Built.parse(JSON.parse(readFileSync(path, 'utf8'))) : undefined;
}

async function loadBuilt({ root, kubeconfig }: Target, say: Say): Promise<string> {
  const built = builtImage(root);
  if (built === undefined) throw new Error("There is no image: run 'make image'");
  const { reference, archive } = built;
  const nodes = localNodes(kubeconfig);
  if (nodes === undefined) {
    throw new Error(
      `Cannot bring the image to these nodes. Push it to a registry they read, and say where it is:\n` +
        `  skopeo copy oci-archive:${archive}:${reference.split(':').at(-1)} docker://REGISTRY/sallyport:TAG\n` +
        `  make deploy IMAGE=REGISTRY/sallyport:TAG`,
    );
  }
  say(`image    ${reference}`);
  for (const node of nodes) {
    await node.load(archive);
    say(`         loaded on ${node.name}`);
  }
  return reference;
}

/** Settings have their hash in their names, so that a change replaces pods; those of before are no use any more. */
async function removeOlderSettings(kubectl: Kubectl, manifests: readonly Manifest[]): Promise<void> {
  const current = manifests.filter(({ kind }) => kind === 'ConfigMap');
  const [first] = current;
  if (first === undefined) return;
  const namespace = ['-n', first.metadata.namespace ?? 'default'];
  const selector = ['-l', 'app.kubernetes.io/part-of=sallyport'];
  const there = (await kubectl.run(['get', 'configmaps', ...namespace, ...selector, '-o', 'name'])).split('\n');
  const keep = new Set(current.map(({ metadata }) => `configmap/${metadata.name}`));
  const older = there.filter((name) => name !== '' && !keep.has(name));
  if (older.length > 0) await kubectl.run(['delete', ...namespace, ...older]);
}
