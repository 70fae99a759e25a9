/** `kubectl drain`: pods move to the other node, their policies before them. */

import { strict as assert } from 'node:assert';
import { waitFor } from '../../rig/cleanup.ts';
import { deployment, SERVE } from '../shop.ts';
import { PATIENCE_MS, policy, type Town } from '../town.ts';

const BUDGET = `
apiVersion: policy/v1beta1
kind: PodDisruptionBudget
metadata: { name: mover, namespace: shop }
spec: { minAvailable: 1, selector: { matchLabels: { app: mover } } }
`;

const HARDENED = `
apiVersion: sallyport.dev/v1alpha1
kind: HardeningPolicy
metadata: { name: mover, namespace: shop }
spec: { subject: { workload: Deployment/mover }, rules: [{ ready: [recommended] }] }
`;

interface Standing {
  /** Nodes and containers of it, those that enforce it, those that fail. */
  readonly numbers: string;
  readonly enforced: string;
}

export function drain(town: () => Town): void {
  const rows = async (): Promise<readonly string[]> =>
    (await town().kubectl('get', 'wnp,hp', '-A', '--no-headers')).split('\n').filter((line) => /\/mover /.test(line));
  const standing = async (kind: string): Promise<Standing> => {
    const at = [kind, 'mover', '-n', 'shop'];
    const paths = ['nodes.total', 'nodes.enforced', 'nodes.failed', 'containers.selected', 'containers.enforced'];
    const counted = paths.map((path) => `.status.${path}`).join('} {');
    // In one question: between two of them something may have changed.
    const told = await town().field(at, `${counted}} {.status.conditions[?(@.type=="Enforced")].status`);
    const cut = told.lastIndexOf(' ');
    return { numbers: told.slice(0, cut), enforced: told.slice(cut + 1) };
  };
  const becomes = (kind: string, wanted: Standing) =>
    waitFor(
      `${kind} mover is ${JSON.stringify(wanted)}`,
      async () => JSON.stringify(await standing(kind)) === JSON.stringify(wanted),
      PATIENCE_MS,
    );
  /** What a node says of the policy. */
  const said = async (node: string): Promise<string> => {
    const path = '{range .status.policies[?(@.name=="mover")]}{.kind} {.state} {.containers},{end}';
    return (await town().kubectl('get', 'nodereport', node, '-o', `jsonpath=${path}`)).trim();
  };

  it('moves with the pods of a node that is drained, and says at any time what is so', async () => {
    const { cluster } = town();
    try {
      await drained();
    } finally {
      for (const name of cluster.nodes) await cluster.kubectl('uncordon', name);
    }
    const mine = ['deployment/mover', 'pdb/mover', 'wnp/mover', 'hp/mover'];
    await cluster.kubectl('delete', '-n', 'shop', ...mine, '--wait=false');
    for (const name of ['api', 'web', 'stranger']) await town().shop.rolledOut(name);
  });

  async function drained(): Promise<void> {
    const { cluster, shop } = town();
    const [left = '', right = ''] = cluster.nodes;
    await cluster.apply(policy('mover', 'web', 'Deployment/mover'));
    await cluster.apply(HARDENED);
    await cluster.kubectl('cordon', left);
    await cluster.apply([deployment('shop', 'mover', SERVE, 2), BUDGET].join('---'));
    await shop.rolledOut('mover');
    await cluster.kubectl('uncordon', left);
    const before = await shop.pods('mover');
    assert.deepEqual([...new Set(before.map(({ node }) => node))], [right]);
    // Without BPF LSM nothing is hardened, and nobody says otherwise.
    const lsm = (await town().field(['nodereport', right], '.status.hardening.active')) === 'true';
    const network = { numbers: '1 1 0 2 2', enforced: 'True' };
    const hardening = lsm ? network : { numbers: '1 0 1 2 0', enforced: 'False' };
    await becomes('wnp', network);
    await becomes('hp', hardening);
    await town().asks('web', 'ok', 'mover');
    assert.equal((await rows()).length, 2);

    const stranger = (await shop.spread('stranger')).find(({ node }) => node === left)!;
    const [here, there] = [await shop.pods('web'), await shop.pods('api')].map(
      (pods) => pods.find(({ node }) => node === left)!,
    );
    const conversation = shop.conversation(here!, there!, 20_000);
    conversation.catch(() => {}); // asked below
    let over = false;
    const draining = cluster
      .attempt(['drain', right, '--ignore-daemonsets', '--delete-emptydir-data', '--force', '--timeout=150s'], {
        timeout: 170_000,
      })
      .finally(() => {
        over = true;
      });
    const asked: string[] = [];
    const shown: string[] = [];
    while (!over) {
      for (const { address } of await shop.pods('mover')) asked.push(await shop.connects(stranger.name, address));
      const { numbers, enforced } = await standing('wnp');
      const [, , failed, selected, done] = numbers.split(' ').map(Number);
      assert.ok(done! <= selected! && failed === 0, numbers);
      if (enforced === 'True') assert.equal(done, selected, numbers);
      shown.push(...(await rows()));
    }
    const { status, stderr } = await draining;
    assert.equal(status, 0, stderr);
    assert.ok(asked.length > 0 && !asked.includes('ok'), asked.join(' '));
    assert.ok(shown.length > 0);
    await shop.rolledOut('mover');
    const after = await shop.pods('mover');
    assert.deepEqual([...new Set(after.map(({ node }) => node))], [left]);
    const addresses = after.map(({ address }) => address);
    assert.equal((await shop.reaches(stranger.name, addresses)).includes('ok'), false);
    assert.deepEqual(await shop.reaches(here!.name, addresses), ['ok', 'ok']);
    await becomes('wnp', network);
    await becomes('hp', hardening);
    assert.equal(await said(right), '');
    assert.match(await said(left), /WorkloadNetworkPolicy Enforced 2,/);
    const { exchanges, lost } = await conversation;
    assert.ok(exchanges > 0);
    assert.equal(lost, 0);
  }
}
