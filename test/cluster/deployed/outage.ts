/** The API server is away for a while. */

import { strict as assert } from 'node:assert';
import { waitFor } from '../../rig/cleanup.ts';
import { connectCommand, type Outcome, outcomeOf, type Pod } from '../shop.ts';
import { PATIENCE_MS, policy, type Town } from '../town.ts';

const AWAY_MS = 15_000;

export function outage(town: () => Town): void {
  let executions = 0;
  /** The container of a pod that runs, asked of its runtime. */
  const containerOf = async ({ name, node }: Pod): Promise<string | undefined> => {
    const filter = `labels."io.kubernetes.pod.name"==${name},labels."io.cri-containerd.kind"==container`;
    const listed = (await town().ctr(node, ['containers', 'ls', '--quiet', filter])).stdout.split('\n').filter(Boolean);
    const tasks = (await town().ctr(node, ['tasks', 'ls'])).stdout.split('\n');
    return listed.find((id) => tasks.some((line) => line.startsWith(id) && line.includes('RUNNING')));
  };
  const asks = async (from: Pod, address: string): Promise<Outcome> => {
    executions += 1;
    const id = await containerOf(from);
    assert.ok(id !== undefined, `${from.name} runs`);
    const execution = `outage-${process.pid}-${executions}`;
    const command = ['tasks', 'exec', '--exec-id', execution, id, ...connectCommand(address)];
    return outcomeOf((await town().ctr(from.node, command)).status);
  };

  it('goes on for a while without an API server, and protects what begins again meanwhile', async () => {
    const { cluster, shop } = town();
    const [node] = cluster.nodes;
    const on = async (name: string) => (await shop.spread(name)).find((pod) => pod.node === node)!;
    const [web, stranger, api] = [await on('web'), await on('stranger'), await on('api')];
    const all = (await shop.pods('api')).map(({ address }) => address);
    const first = await containerOf(api);
    assert.ok(first !== undefined);
    await cluster.server.stop();
    try {
      const until = Date.now() + AWAY_MS;
      assert.notEqual((await cluster.attempt(['get', 'nodes', '--request-timeout=2s'])).status, 0);
      assert.equal((await town().ctr(api.node, ['tasks', 'kill', '--signal', 'SIGKILL', first])).status, 0);
      const again = async () => ![first, undefined].includes(await containerOf(api));
      await waitFor('the api of this node begins again', again, PATIENCE_MS);
      await waitFor('it answers', async () => (await asks(web, api.address)) === 'ok', PATIENCE_MS);
      let asked = 0;
      do {
        for (const address of all) {
          assert.equal(await asks(web, address), 'ok');
          assert.equal(await asks(stranger, address), 'refused');
        }
        asked += 1;
      } while (Date.now() < until);
      assert.ok(asked > 0);
    } finally {
      await cluster.server.start();
    }
    const ready = async () => {
      const { stdout } = await cluster.attempt(['get', 'nodes', '--no-headers']);
      return cluster.nodes.every((name) => new RegExp(`^${name} +Ready `, 'm').test(stdout));
    };
    await waitFor('the nodes are ready again', ready, PATIENCE_MS);
    await waitFor(
      'a manager judges policies again',
      async () => (await cluster.attempt(['apply', '-f', '-'], { input: policy('later', 'stranger') })).status === 0,
      PATIENCE_MS * 2,
    );
    await town().status('later', 'Enforced', 'True');
    await town().asks('stranger', 'ok');
    await cluster.kubectl('delete', 'wnp', 'later', '-n', 'shop');
    await town().asks('stranger', 'refused');
  });
}
