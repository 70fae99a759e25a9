/** Services, accounts and nodes as names in policies; and Services as addresses, behind which kube-proxy chooses. */

import { strict as assert } from 'node:assert';
import { join } from 'node:path';
import { waitFor } from '../rig/cleanup.ts';
import { run } from '../rig/process.ts';
import { PORT } from './shop.ts';
import { AGENT_SET, PATIENCE_MS, policy, ROOT, Town } from './town.ts';

const service = (name: string, app: string) => `
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: shop }
spec:
  selector: { app: ${app} }
  ports:
    - { name: tcp, port: 80, targetPort: ${PORT} }
    - { name: udp, port: 53, protocol: UDP, targetPort: ${PORT} }
`;

/** Without a selector: it leads to these addresses. */
const written = (name: string, addresses: readonly string[]) => `
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: shop }
spec: { ports: [{ name: tcp, port: 80, targetPort: ${PORT} }] }
---
apiVersion: v1
kind: Endpoints
metadata: { name: ${name}, namespace: shop }
subsets:
  - addresses: ${JSON.stringify(addresses.map((ip) => ({ ip })))}
    ports: [{ name: tcp, port: ${PORT} }]
`;

const egress = (to: string) => `
apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: { name: web, namespace: shop }
spec:
  subject: { workload: Deployment/web }
  egress:
    - name: asked
      to: [{ workload: ${to} }]
      ports: [{ protocol: TCP, port: ${PORT} }, { protocol: UDP, port: ${PORT} }]
`;

describe('Services of a cluster', function () {
  this.timeout(300_000);
  let place: Town;

  /** What comes of each pod of a workload asking an address several times, so that each backend has its turn. */
  async function asked(from: string, address: string, port: number, udp = false): Promise<ReadonlySet<string>> {
    const how = [...(udp ? ['--udp'] : []), '--exchange', '--timeout', '4000'];
    const words = ['traffic', 'connect', '--address', address, '--port', `${port}`, ...how];
    const askers = (await place.shop.pods(from)).flatMap(({ name }) => [name, name, name, name]);
    // All at once: who gets no answer waits for it.
    const outcomes = askers.map(async (name) => {
      const { status } = await place.cluster.attempt(['exec', '-n', 'shop', name, '--', ...words]);
      return status === 0 ? 'ok' : 'not';
    });
    return new Set(await Promise.all(outcomes));
  }

  const only = (outcomes: ReadonlySet<string>, wanted: 'ok' | 'not') => outcomes.size === 1 && outcomes.has(wanted);
  const addressOf = (name: string) => place.field(['service', name, '-n', 'shop'], '.spec.clusterIP');

  before(async () => {
    place = await Town.found();
    await run([process.execPath, join(ROOT, 'packaging/image/main.ts')], { timeout: 180_000 });
    await place.shop.open();
    const { status, stdout, stderr } = await place.deployer('up', '--agent-set', AGENT_SET);
    assert.equal(status, 0, stdout + stderr);
  });

  after(async () => {
    await place.deployer('down');
    await place.shop.close();
  });

  it('name the pods they select, as peers; those of another selector when it changes, nobody when they go', async () => {
    await place.cluster.apply(service('front', 'web'));
    await place.cluster.apply(policy('api', 'Service/front'));
    await place.status('api', 'Enforced', 'True');
    await place.asks('web', 'ok');
    await place.asks('stranger', 'refused');
    await place.cluster.apply(service('front', 'stranger'));
    await place.asks('stranger', 'ok');
    await place.asks('web', 'refused');
    await place.kubectl('delete', 'service', 'front', '-n', 'shop');
    await place.asks('stranger', 'refused');
    await place.asks('web', 'refused');
  });

  it('name them as subjects, and accounts name whoever runs as them', async () => {
    await place.kubectl('delete', 'wnp', 'api', '-n', 'shop');
    await place.asks('web', 'ok');
    await place.cluster.apply(service('back', 'api'));
    await place.cluster.apply(policy('closed', 'ServiceAccount/nobody', 'Service/back'));
    await place.asks('web', 'refused');
    await place.cluster.apply(policy('closed', 'ServiceAccount/default', 'Service/back'));
    await place.asks('web', 'ok');
    await place.kubectl('delete', 'wnp', 'closed', '-n', 'shop');
  });

  it('lead to whom a policy names, by whichever backend, with the first packet', async () => {
    await place.cluster.apply(service('back', 'api'));
    await place.cluster.apply(egress('Deployment/api'));
    await place.status('web', 'Enforced', 'True');
    const address = await addressOf('back');
    const reached = async () => only(await asked('web', address, 80), 'ok');
    await waitFor('every backend answers', reached, PATIENCE_MS);
    assert.deepEqual([...(await asked('web', address, 53, true))], ['ok']);
  });

  it('lead to nobody whom no policy names, nor to whom one denies', async () => {
    const address = await addressOf('back');
    await place.cluster.apply(egress('Deployment/other'));
    await waitFor('nobody answers', async () => only(await asked('web', address, 80), 'not'), PATIENCE_MS);
    assert.deepEqual([...(await asked('web', address, 53, true))], ['not']);
  });

  it('lead whom nothing restricts to whom a policy lets only some ask, with the first datagram, as names are asked for', async () => {
    const address = await addressOf('back');
    await place.kubectl('delete', 'wnp', 'web', '-n', 'shop');
    await place.cluster.apply(policy('api', 'web'));
    await place.status('api', 'Enforced', 'True');
    await waitFor('others are refused', async () => only(await asked('stranger', address, 80), 'not'), PATIENCE_MS);
    assert.deepEqual([...(await asked('web', address, 53, true))], ['ok']);
    assert.deepEqual([...(await asked('stranger', address, 53, true))], ['not']);
  });

  it('without a selector are where somebody has written that they lead', async () => {
    const [here, there] = await place.shop.pods('api');
    const [web] = await place.shop.pods('web');
    assert.ok(here !== undefined && there !== undefined && web !== undefined);
    await place.cluster.apply(written('outside', [there.address]));
    await place.cluster.apply(egress('Service/outside'));
    const reaches = async (address: string) => await place.shop.connects(web.name, address);
    const is = async (address: string, wanted: string) => (await reaches(address)) === wanted;
    await waitFor(
      'the written one answers, and the other not',
      async () => {
        return (await is(there.address, 'ok')) && !(await is(here.address, 'ok'));
      },
      PATIENCE_MS,
    );
    await place.cluster.apply(written('outside', [here.address]));
    await waitFor(
      'the other answers now',
      async () => {
        return (await is(here.address, 'ok')) && !(await is(there.address, 'ok'));
      },
      PATIENCE_MS,
    );
    await waitFor(
      'it is reached',
      async () => only(await asked('web', await addressOf('outside'), 80), 'ok'),
      PATIENCE_MS,
    );
  });
});
