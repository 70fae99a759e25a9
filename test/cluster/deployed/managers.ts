/** No manager is there: nobody answers the webhook. */

import { strict as assert } from 'node:assert';
import { waitFor } from '../../rig/cleanup.ts';
import { PORT } from '../shop.ts';
import { PATIENCE_MS, policy, SYSTEM, type Town } from '../town.ts';

/** Kubernetes' own kind asks no webhook of ours. */
const STRANGERS = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: strangers, namespace: shop }
spec:
  podSelector: { matchLabels: { app: api } }
  ingress: [{ from: [{ podSelector: { matchLabels: { app: stranger } } }], ports: [{ port: ${PORT} }] }]
`;

export function managers(town: () => Town): void {
  const MANAGER = ['deployment/sallyport-manager', '-n', SYSTEM];

  it('refuses policies while no manager is there, and goes on with those that are stored', async () => {
    const { cluster, shop } = town();
    const meanwhile = () => cluster.attempt(['apply', '-f', '-'], { input: policy('meanwhile', 'stranger') });
    await cluster.kubectl('scale', ...MANAGER, '--replicas=0');
    const selector = 'app.kubernetes.io/name=sallyport-manager';
    // A kubelet that misses the end of a container looks for it again after a minute.
    await cluster.kubectl('wait', '--for=delete', 'pod', '-l', selector, '-n', SYSTEM, '--timeout=150s');
    const refused = await meanwhile();
    assert.notEqual(refused.status, 0);
    assert.match(refused.stderr, /failed calling webhook/);
    assert.equal((await cluster.attempt(['get', 'wnp', 'meanwhile', '-n', 'shop'])).status, 1);
    await town().asks('stranger', 'refused');
    // Agents need no manager for what is not its to judge, nor for new pods of who is known.
    await cluster.apply(STRANGERS);
    await town().asks('stranger', 'ok');
    await cluster.kubectl('delete', 'networkpolicy', 'strangers', '-n', 'shop');
    await town().asks('stranger', 'refused');
    const [old] = await shop.pods('web');
    await cluster.kubectl('delete', 'pod', old!.name, '-n', 'shop', '--grace-period=0', '--force');
    await shop.rolledOut('web');
    await waitFor('there are two webs', async () => (await shop.pods('web')).length === 2, PATIENCE_MS);
    await town().asks('web', 'ok');
    // What is stored can always be ended.
    await cluster.kubectl('delete', 'wnp', 'api', '-n', 'shop');
    await town().asks('stranger', 'ok');
    assert.notEqual((await meanwhile()).status, 0);
    // Nobody judges what nodes report; they go on.
    const told = () => town().field(['nodereports'], '.items[*].status.policies[?(@.name=="api")].state');
    await waitFor('every node has reported that it is gone', async () => (await told()) === '', PATIENCE_MS);
    await cluster.kubectl('scale', ...MANAGER, '--replicas=2');
    await cluster.kubectl('rollout', 'status', ...MANAGER, '--timeout=100s');
    const taken = async () =>
      (await cluster.attempt(['apply', '-f', '-'], { input: policy('api', 'web') })).status === 0;
    await waitFor('policies are judged again', taken, PATIENCE_MS);
    await town().status('api', 'Enforced', 'True');
    await town().asks('stranger', 'refused');
    await town().asks('web', 'ok');
  });
}
