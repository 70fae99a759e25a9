/** Pods that no API server asked for: their node runs them from a file, and the server sees a mirror of them. */

import { dirname, join } from 'node:path';
import { waitFor } from '../../rig/cleanup.ts';
import { IMAGE } from '../../rig/image.ts';
import { SERVE } from '../shop.ts';
import { PATIENCE_MS, policy, type Town } from '../town.ts';

/** Of its kubelet. */
const MANIFEST = '/var/lib/manifests/beacon.yaml';

/** What is written there; a kubelet begins another edition as another pod, with a uid of its own and the same mirror. */
const beacon = (edition: string): string => `
apiVersion: v1
kind: Pod
metadata: { name: beacon, namespace: shop, labels: { app: beacon, edition: ${edition} } }
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      image: docker.io/library/${IMAGE}
      imagePullPolicy: Never
      command: ${JSON.stringify(SERVE)}
`;

export function staticPods(town: () => Town): void {
  it('knows a static pod by its mirror’s name, and its policy before it begins, also when its file is edited', async () => {
    const { cluster } = town();
    const [node = ''] = cluster.nodes;
    const name = `beacon-${node}`;
    const mirror = ['pod', name, '-n', 'shop'];
    const up = async () => (await cluster.attempt(['get', ...mirror])).status === 0;
    // A kubelet reads every file there whose name does not begin with a dot, half written or not.
    const half = join(dirname(MANIFEST), '.half');
    const write = ['/bin/sh', '-c', `cat > ${half} && mv ${half} ${MANIFEST}`];
    await cluster.apply(policy('beacon', 'web', `Pod/${name}`));
    for (const edition of ['first', 'second']) {
      await town().onNode(node, write, { input: beacon(edition) });
      const state = [
        'get',
        ...mirror,
        '-o',
        'jsonpath={.metadata.labels.edition} {.status.containerStatuses[0].ready}',
      ];
      const ready = async () => (await cluster.attempt(state)).stdout === `${edition} true`;
      await waitFor(`its ${edition} edition is ready`, ready, PATIENCE_MS);
      await town().asks('stranger', 'refused', 'beacon');
      await town().asks('web', 'ok', 'beacon');
    }
    await town().status('beacon', 'Enforced', 'True');
    const announced = async () =>
      (await town().field(['wid', '-n', 'shop'], '.items[*].spec.workload')).split(' ').includes(`shop/Pod/${name}`);
    await waitFor('other nodes hear of it', announced, PATIENCE_MS);
    await town().onNode(node, ['rm', MANIFEST]);
    await waitFor('it is gone', async () => !(await up()), PATIENCE_MS);
    await cluster.kubectl('delete', 'wnp', 'beacon', '-n', 'shop');
  });
}
