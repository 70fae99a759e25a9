/** Pods that no API server asked for: their node runs them from a file, and the server sees a mirror of them. */

import { waitFor } from '../../rig/cleanup.ts';
import { IMAGE } from '../../rig/image.ts';
import { SERVE } from '../shop.ts';
import { PATIENCE_MS, policy, type Town } from '../town.ts';

/** Of its kubelet. */
const MANIFEST = '/var/lib/manifests/beacon.yaml';

const BEACON = `
apiVersion: v1
kind: Pod
metadata: { name: beacon, namespace: shop, labels: { app: beacon } }
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      image: docker.io/library/${IMAGE}
      imagePullPolicy: Never
      command: ${JSON.stringify(SERVE)}
`;

export function staticPods(town: () => Town): void {
  it('knows a static pod by its mirror’s name, and its policy before it begins', async () => {
    const { cluster } = town();
    const [node = ''] = cluster.nodes;
    const name = `beacon-${node}`;
    await cluster.apply(policy('beacon', 'web', `Pod/${name}`));
    await town().onNode(node, ['/bin/sh', '-c', `cat > ${MANIFEST}.new && mv ${MANIFEST}.new ${MANIFEST}`], {
      input: BEACON,
    });
    const mirror = ['pod', name, '-n', 'shop'];
    const up = async () => (await cluster.attempt(['get', ...mirror])).status === 0;
    await waitFor('its mirror is there', up, PATIENCE_MS);
    await cluster.kubectl('wait', '-n', 'shop', '--for=condition=Ready', `pod/${name}`, '--timeout=60s');
    await town().asks('stranger', 'refused', 'beacon');
    await town().asks('web', 'ok', 'beacon');
    await town().status('beacon', 'Enforced', 'True');
    const announced = async () =>
      (await town().field(['wid', '-n', 'shop'], '.items[*].spec.workload')).split(' ').includes(`shop/Pod/${name}`);
    await waitFor('other nodes hear of it', announced, PATIENCE_MS);
    await town().onNode(node, ['rm', MANIFEST]);
    await waitFor('it is gone', async () => !(await up()), PATIENCE_MS);
    await cluster.kubectl('delete', 'wnp', 'beacon', '-n', 'shop');
  });
}
