/** The cluster itself: what the other suites of this folder stand on. */

import { strict as assert } from 'node:assert';
import { IMAGE } from '../rig/image.ts';
import { type Cluster, cluster } from './cluster.ts';

const NAMESPACE = 'ground';

const server = (name: string, node: string) => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: ${NAMESPACE}, labels: { app: web, on: ${node} } }
spec:
  nodeName: ${node}
  terminationGracePeriodSeconds: 0
  containers:
    - name: web
      image: docker.io/library/${IMAGE}
      imagePullPolicy: Never
      command: [sh, -c, 'while true; do echo ${node} | nc -l -p 8080; done']
`;

describe('a cluster of two nodes on one machine', function () {
  this.timeout(240_000);
  let ground: Cluster;

  before(async () => {
    ground = await cluster();
    await ground.kubectl('create', 'namespace', NAMESPACE);
    const service = `
apiVersion: v1
kind: Service
metadata: { name: web, namespace: ${NAMESPACE} }
spec: { selector: { app: web }, ports: [{ port: 80, targetPort: 8080 }] }
`;
    await ground.apply([...ground.nodes.map((node) => server(`web-${node}`, node)), service].join('---'));
    await ground.kubectl('wait', '-n', NAMESPACE, '--for=condition=Ready', 'pod', '--all', '--timeout=90s');
  });

  after(async () => {
    await ground.kubectl('delete', 'namespace', NAMESPACE);
  });

  const get = (from: string, address: string, port: number) =>
    ground.kubectl('exec', '-n', NAMESPACE, `web-${from}`, '--', 'nc', '-w', '5', address, String(port));
  const field = async (what: string, path: string) =>
    (await ground.kubectl('get', '-n', NAMESPACE, what, '-o', `jsonpath={${path}}`)).trim();

  it('lets the pods of every node reach those of every other, with their own addresses', async () => {
    for (const from of ground.nodes) {
      for (const to of ground.nodes) {
        const address = await field(`pod/web-${to}`, '.status.podIP');
        assert.equal((await get(from, address, 8080)).trim(), to);
      }
    }
  });

  it('leads the address of a service to its pods on all nodes', async () => {
    const address = await field('service/web', '.spec.clusterIP');
    const answers = new Set<string>();
    for (let asked = 0; asked < 60 && answers.size < ground.nodes.length; asked += 1) {
      answers.add((await get(ground.nodes[0]!, address, 80)).trim());
    }
    assert.deepEqual([...answers].sort(), [...ground.nodes].sort());
  });

  it('serves the API to pods at the address they are told', async () => {
    const script = 'nc -w 3 $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT < /dev/null && echo open';
    for (const node of ground.nodes) {
      const out = await ground.kubectl('exec', '-n', NAMESPACE, `web-${node}`, '--', 'sh', '-c', script);
      assert.equal(out.trim(), 'open');
    }
  });
});
