import { isOwnKind, type Policy } from '../../model/policy.ts';
import { PROTOCOLS } from '../../model/protocol.ts';
import { PROBE_PORT } from '../../sources/kubernetes/pods.ts';

/**
 * A kubelet must reach what it probes, else every pod under a policy is restarted for ever. Allowed is TCP from this
 * node itself, and only to ports that a probe or life cycle hook of the pod names; of all else it says nothing.
 */
export const PROBES: Policy = {
  kind: 'ClusterWorkloadNetworkPolicy',
  namespace: '',
  // No file or object can be called so.
  name: 'sallyport:kubelet-probes',
  labels: {},
  annotations: {},
  subject: { workload: { namespace: '*', kind: '*', name: '*' }, container: '*', labels: {} },
  priority: 0,
  explicitPriority: true,
  mode: 'Enforce',
  ingress: {
    default: 'Pass',
    rules: [
      {
        name: 'probes',
        action: 'Allow',
        peers: [{ type: 'entity', entity: 'host' }],
        ports: [{ protocol: PROTOCOLS.TCP, port: PROBE_PORT }],
      },
    ],
  },
};

/** Where a policy that no file says is kept, for people. */
export function placeOf({ kind, namespace, name }: Policy): string {
  if (isOwnKind(kind)) return 'built in';
  return ['kubernetes', kind, ...(namespace === '' ? [] : [namespace]), name].join('/');
}
