/** What takes enforcement away from every node, once no agent runs any more: pure. */

import { type Manifest, podSpecOf } from './manifests.ts';

const NAME = 'sallyport-cleanup';
/** Directories the agent leaves on its node, by the volume that has them. */
const LEFT: Readonly<Record<string, string>> = { run: '/run', state: '/var/lib' };

/**
 * A DaemonSet made from the agents' own: on every node it detaches all programs, removes pins, rules and directories, and
 * is ready when that is done.
 */
export function cleanupOf(agents: Manifest): Manifest {
  const made = structuredClone(agents);
  made.metadata = { name: NAME, ...(agents.metadata.namespace ? { namespace: agents.metadata.namespace } : {}) };
  const labels = { 'app.kubernetes.io/name': NAME, 'app.kubernetes.io/part-of': 'sallyport' };
  const spec = made.spec as { selector: unknown; template: { metadata: { labels: unknown } } };
  spec.selector = { matchLabels: labels };
  spec.template.metadata.labels = labels;
  const pod = podSpecOf(made);
  const [agent] = pod?.containers ?? [];
  if (pod === undefined || agent === undefined) throw new Error(`${agents.metadata.name} has no pods`);

  const { startupProbe: _s, livenessProbe: _l, readinessProbe: _r, ports: _p, ...quiet } = agent;
  const mounts = (quiet.volumeMounts ?? []) as { name: string; mountPath: string }[];
  const parents = Object.entries(LEFT).map(([name, path]) => ({ name: `${name}-parent`, path }));
  // What mounts a directory that is to go makes it anew: the kubelet, and the runtime, whenever they look again.
  const stays = ({ name }: { readonly name: string }): boolean => !Object.hasOwn(LEFT, name);
  const volumes = (pod.volumes as { readonly name: string }[]).filter(stays);
  pod.volumes = [...volumes, ...parents.map(({ name, path }) => ({ name, hostPath: { path } }))];
  pod.terminationGracePeriodSeconds = 0;
  pod.initContainers = [
    // Under the agent's name, which annotations of the pod speak of. An agent that still runs is seen by its socket.
    {
      ...quiet,
      image: agent.image,
      args: ['--remove', '--set', 'api.socket=/host/run/sallyport/agent.sock'],
      volumeMounts: mounts.filter(stays),
    },
    {
      ...quiet,
      image: agent.image,
      name: 'directories',
      command: ['rm', '-rf', ...parents.map(({ name }) => `/${name}/sallyport`)],
      args: [],
      volumeMounts: parents.map(({ name }) => ({ name, mountPath: `/${name}` })),
    },
  ];
  // A probe reads what is ready; what sleeps here only says that the others are done.
  pod.containers = [
    { ...quiet, image: agent.image, name: 'done', command: ['sleep', '2147483647'], args: [], volumeMounts: [] },
  ];
  return made;
}
