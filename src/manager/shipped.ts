/** Objects that come with an installation, empty: the manager fills them by name, and may make none. */
import { type KubernetesClient, nameOf, type ObjectName } from '../sources/kubernetes/client.ts';
import { KubernetesError } from '../sources/kubernetes/error.ts';
import type { ApiObject, ResourceType } from '../sources/kubernetes/resource.ts';

const HINT = 'apply k8s/base/manager-objects.yaml again: the object comes empty, and is filled by the manager';

/** @throws KubernetesError NOT_FOUND where somebody has taken it away */
export async function readShipped<T extends ApiObject>(
  client: Pick<KubernetesClient, 'get'>,
  resource: ResourceType<T>,
  where: ObjectName,
  signal?: AbortSignal,
): Promise<T> {
  try {
    return await client.get(resource, where, signal);
  } catch (thrown) {
    if (!(thrown instanceof KubernetesError) || thrown.code !== 'NOT_FOUND') throw thrown;
    const said = `Cannot fill ${nameOf(resource, where)}: there is none, and the manager may make none`;
    throw new KubernetesError('NOT_FOUND', said, { hint: HINT, cause: thrown });
  }
}
