/** One pod, many, one again. */

import { strict as assert } from 'node:assert';
import { waitFor } from '../../rig/cleanup.ts';
import { deployment, SERVE } from '../shop.ts';
import { PATIENCE_MS, policy, type Town } from '../town.ts';

const MANY = 30;

export function crowd(town: () => Town): void {
  const counts = async (): Promise<string> => {
    const { cluster } = town();
    const path = '{range .items[*]}{.status.policies[?(@.name=="crowd")].containers} {end}';
    const text = await cluster.kubectl('get', 'nodereports', '-o', `jsonpath=${path}`);
    const reported = text.split(' ').reduce((sum, one) => sum + Number(one), 0);
    const told = await town().field(
      ['wnp', 'crowd', '-n', 'shop'],
      '.status.containers.selected} {.status.containers.enforced',
    );
    return `${told} ${reported}`;
  };
  const become = (pods: number) =>
    waitFor(`${pods} are enforced`, async () => (await counts()) === `${pods} ${pods} ${pods}`, PATIENCE_MS);
  const totals = () => town().field(['nodereports'], '.items[*].status.endpoints.total');

  it(`protects each of ${MANY} pods that one becomes, and has nothing left of them when they are one again`, async () => {
    const { cluster, shop } = town();
    await cluster.apply(policy('crowd', 'web', 'Deployment/crowd'));
    await cluster.apply(deployment('shop', 'crowd', SERVE, 1));
    await shop.rolledOut('crowd');
    await become(1);
    const before = await totals();
    await cluster.kubectl('scale', 'deployment/crowd', `--replicas=${MANY}`, '-n', 'shop');
    await shop.rolledOut('crowd', 240);
    const pods = await shop.pods('crowd');
    assert.equal(pods.length, MANY);
    assert.deepEqual([...new Set(pods.map(({ node }) => node))], [...cluster.nodes]);
    const at = pods.map(({ address }) => address);
    for (const { name } of await shop.pods('stranger')) {
      assert.deepEqual([...new Set(await shop.reaches(name, at))], ['refused']);
    }
    for (const { name } of await shop.pods('web')) assert.deepEqual([...new Set(await shop.reaches(name, at))], ['ok']);
    await become(MANY);
    const identities = await town().field(['wid', '-n', 'shop'], '.items[*].spec.workload');
    assert.equal(identities.split(' ').filter((one) => one === 'shop/Deployment/crowd').length, 1);
    await cluster.kubectl('scale', 'deployment/crowd', '--replicas=1', '-n', 'shop');
    await become(1);
    const sum = (text: string) => text.split(' ').reduce((all, one) => all + Number(one), 0);
    await waitFor('no endpoint is left', async () => sum(await totals()) === sum(before), PATIENCE_MS);
    await town().asks('stranger', 'refused', 'crowd');
    await cluster.kubectl('delete', '-n', 'shop', 'deployment/crowd', 'wnp/crowd', '--wait=false');
  });
}
