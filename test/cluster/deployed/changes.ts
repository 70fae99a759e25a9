/** Policies and labels that change while packets flow. */

import { strict as assert } from 'node:assert';
import { waitFor } from '../../rig/cleanup.ts';
import { PORT } from '../shop.ts';
import { PATIENCE_MS, policy, type Town } from '../town.ts';

/** Who bears the label may ask the api; beside this, policies by name say who. */
const FRIENDS = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: friends, namespace: shop }
spec:
  podSelector: { matchLabels: { app: api } }
  ingress: [{ from: [{ podSelector: { matchLabels: { role: friend } } }], ports: [{ port: ${PORT} }] }]
`;

export function changes(town: () => Town): void {
  it('changes policies and labels under traffic: who is allowed loses nothing, who is not is cut off', async () => {
    const { cluster, shop } = town();
    const [webs, apis] = [await shop.pods('web'), await shop.pods('api')];
    const [web, api] = [webs[0]!, apis.find(({ node }) => node !== webs[0]!.node)!];
    const conversation = shop.conversation(web, api, 15_000);
    conversation.catch(() => {}); // asked below
    // Others come and go beside the web, and its rule is another each time.
    for (let turn = 0; turn < 6; turn += 1) {
      const text = policy('api', 'web').replace('name: from-others', `name: turn-${turn}`);
      await cluster.apply(
        turn % 2 === 0 ? text : text.replace('Deployment/web }]', 'Deployment/web }, { workload: Deployment/nobody }]'),
      );
    }
    await cluster.apply(FRIENDS);
    await town().asks('stranger', 'refused');
    const strangers = (await shop.pods('stranger')).map(({ name }) => `pod/${name}`);
    await cluster.kubectl('label', '-n', 'shop', ...strangers, 'role=friend');
    await town().asks('stranger', 'ok');
    await cluster.kubectl('label', '-n', 'shop', ...strangers, 'role-');
    await town().asks('stranger', 'refused');
    const { exchanges, lost } = await conversation;
    assert.ok(exchanges > 100, `${exchanges} exchanges`);
    assert.equal(lost, 0);

    const open = shop.conversation(web, api, 30_000);
    open.catch(() => {}); // asked below
    await waitFor('the conversation has begun', () => shop.holds(web, api), PATIENCE_MS);
    await cluster.apply(policy('api', 'nobody'));
    await town().asks('web', 'refused');
    const cut = await open;
    assert.ok(cut.lost > 0 && cut.exchanges > 0, JSON.stringify(cut));
    await cluster.apply(policy('api', 'web'));
    await cluster.kubectl('delete', 'networkpolicy', 'friends', '-n', 'shop');
    await waitFor('web is back', async () => (await shop.asks('web', 'api')) === 'ok', PATIENCE_MS);
  });
}
