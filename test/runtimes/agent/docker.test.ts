import assert from 'node:assert/strict';
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { EndpointView } from '../../../src/agent/api/contract.ts';
import { Station } from '../../kernel/agent/station.ts';
import { waitFor } from '../../rig/cleanup.ts';
import { type Container, type Docker, startDocker } from '../../rig/docker.ts';
import { connect, serveArgs } from '../../rig/traffic.ts';

const POLICY = `apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: {name: api, namespace: shop}
spec:
  subject: {workload: Service/api}
  ingress:
    - name: web
      action: Allow
      from: [{workload: Service/web}]
      ports: [{protocol: TCP, port: 8080}]
`;

describe('an agent beside a real Docker engine', function () {
  this.timeout(180_000);
  let docker: Docker;
  let station: Station;
  let api: Container;
  let web: Container;

  const service = (name: string, command?: readonly string[]): Promise<Container> =>
    docker.run({
      name: `shop-${name}-1`,
      labels: { 'com.docker.compose.project': 'shop', 'com.docker.compose.service': name },
      ...(command === undefined ? {} : { command }),
    });
  const endpoints = (): Promise<EndpointView[]> => station.json<EndpointView[]>(['endpoint', 'list']);
  const enforced = (name: string) => (): Promise<boolean> =>
    endpoints().then((all) => all.some((endpoint) => endpoint.name === name && endpoint.enforced));
  const reach = async (from: Container): Promise<string> => {
    const [address = ''] = (await station.json<EndpointView>(['endpoint', 'get', 'shop/Service/api'])).addresses;
    return (await connect(from, { address, port: 8080 }, { timeoutMs: 300 })).result;
  };

  before(async () => {
    docker = await startDocker();
    station = new Station(docker.namespace, {});
  });
  after(() => {
    station?.close();
    docker?.close();
  });

  it('takes up the engine when its socket appears, with nothing configured but where that is', async () => {
    const socket = join(station.directory, 'docker.sock');
    await station.start(['--set', `sources.docker.socket=${socket}`, '--set', 'sources.cri.enabled=false']);
    assert.deepEqual((await station.status()).sources, []);
    symlinkSync(docker.socket, socket);
    await waitFor('the engine is used', async () => (await station.status()).sources.some(({ healthy }) => healthy));
    assert.equal((await station.status()).sources[0]?.name, 'docker');
  });

  it('protects a container that is run after it, by the name its project gives it', async () => {
    await station.apply(POLICY);
    api = await service('api', ['traffic', ...serveArgs({ tcp: '8080' })]);
    web = await service('web');
    await waitFor('api is enforced', enforced('api'));
    await waitFor('web is enforced', enforced('web'));
    const found = (await endpoints()).find(({ name }) => name === 'api') ?? assert.fail();
    assert.equal(`${found.namespace}/${found.kind}/${found.name}`, 'shop/Service/api');
    assert.equal(found.id, api.id);
    assert.match(found.identity, /^[0-9a-f]{16}$/);
    assert.match(found.containers[0]?.cgroup.path ?? '', new RegExp(api.id));
    assert.ok(found.addresses.length > 0);
    assert.equal(found.mode, 'interface');
    assert.deepEqual(found.policies.ingress, ['shop/api']);
  });

  it('lets the named service in and nobody else, an unlabelled container neither', async () => {
    const stranger = await docker.run({ name: 'stranger' });
    await waitFor('the stranger is known', enforced('stranger'));
    assert.equal(await reach(web), 'ok');
    assert.equal(await reach(stranger), 'refused');
    const { stdout, status } = await station.cli([
      'policy',
      'explain',
      'stranger',
      'shop/Service/api',
      '--port',
      '8080',
    ]);
    assert.equal(status, 5);
    assert.match(stdout, /^docker\/Container\/stranger.*Deny/);
    await docker.cli(['rm', '-f', 'stranger']);
    await waitFor('the stranger is gone', async () => !(await enforced('stranger')()));
  });

  it('gives a second instance of a service the same identity and the same rights', async () => {
    const second = await docker.run({
      name: 'shop-web-2',
      labels: {
        'com.docker.compose.project': 'shop',
        'com.docker.compose.service': 'web',
        'com.docker.compose.container-number': '2',
      },
    });
    await waitFor('both are enforced', async () => {
      const webs = (await endpoints()).filter((endpoint) => endpoint.name === 'web' && endpoint.enforced);
      return webs.length === 2 && new Set(webs.map(({ identity }) => identity)).size === 1;
    });
    assert.equal(await reach(second), 'ok');
  });

  it('takes its containers over when it is started anew', async () => {
    await station.kill();
    await station.start(['--set', `sources.docker.socket=${join(station.directory, 'docker.sock')}`]);
    await waitFor('api is enforced again', enforced('api'));
    assert.equal((await station.status()).datapath.adopted, true);
    assert.equal(await reach(web), 'ok');
  });
});
