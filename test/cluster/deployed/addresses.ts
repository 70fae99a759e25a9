/** A pod that is given a dead pod's address, and asks from its ports, is nobody it was not before. */

import { strict as assert } from 'node:assert';
import { waitFor } from '../../rig/cleanup.ts';
import { IMAGE } from '../../rig/image.ts';
import { connectCommand, SERVE, type Way } from '../shop.ts';
import { PATIENCE_MS, policy, type Town } from '../town.ts';

/** Where the network plug-in notes which addresses are given out. */
const LEASES = '/var/lib/cni/networks/bridge';

const pod = (name: string, node: string, command: readonly string[]) => `
apiVersion: v1
kind: Pod
metadata: { name: ${name}, namespace: shop, labels: { app: ${name} } }
spec:
  nodeName: ${node}
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      image: docker.io/library/${IMAGE}
      imagePullPolicy: Never
      command: ${JSON.stringify(command)}
`;

/** Whom the webs may ask: one pod by its name. */
const CALLERS = `
apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: { name: callers, namespace: shop }
spec:
  subject: { workload: Deployment/web }
  egress: [{ name: guest, to: [{ workload: Pod/guest }] }]
`;

export function addresses(town: () => Town): void {
  it('gives a pod with a dead pod’s address, that asks from its ports, nothing of it on either node', async () => {
    const { cluster, shop } = town();
    const [, node = ''] = cluster.nodes;
    const servers = await shop.spread('api');
    const near = servers.find((one) => one.node === node)!;
    /** Both pods ask the same from the same ports: TCP of both nodes, UDP of their own. */
    const questions: readonly (readonly [string, Way])[] = [
      ...servers.map(({ address }, n) => [address, { sourcePort: 5_555 + n }] as const),
      [near.address, { udp: true, sourcePort: 5_560 }],
    ];
    const script = questions.map(([address, way]) => connectCommand(address, way).join(' ')).join('\n');
    await cluster.apply(policy('guests', 'Pod/guest'));
    await cluster.apply(pod('guest', node, SERVE));
    await cluster.kubectl('wait', '-n', 'shop', '--for=condition=Ready', 'pod/guest', '--timeout=60s');
    const address = await town().field(['pod', 'guest', '-n', 'shop'], '.status.podIP');
    for (const [to, way] of questions) {
      await waitFor(`guest asks ${to}`, async () => (await shop.connects('guest', to, way)) === 'ok', PATIENCE_MS);
    }
    await cluster.apply(CALLERS);
    const webs = await shop.spread('web');
    const calls = async (way: Way) => Promise.all(webs.map(({ name }) => shop.connects(name, address, way)));
    await waitFor(
      'the webs reach guest',
      async () => (await calls({ sourcePort: 5_570 })).every((one) => one === 'ok'),
      PATIENCE_MS,
    );

    await cluster.kubectl('delete', 'pod', 'guest', '-n', 'shop', '--grace-period=0', '--force');
    const free = ['/bin/sh', '-c', `test ! -e ${LEASES}/${address}`];
    const isFree = async () => (await town().tryOnNode(node, free)).status === 0;
    await waitFor('the address is free', isFree, PATIENCE_MS);
    const [last = ''] = /\d+$/.exec(address) ?? [];
    const before = address.replace(/\d+$/, String(Number(last) - 1));
    await town().onNode(node, ['/bin/sh', '-c', `printf %s ${before} > ${LEASES}/last_reserved_ip.0`]);
    // It asks with its first instructions, and then goes on to answer.
    await cluster.apply(pod('heir', node, ['/bin/sh', '-c', `${script}\n${SERVE.join(' ')}`]));
    await cluster.kubectl('wait', '-n', 'shop', '--for=condition=Ready', 'pod/heir', '--timeout=60s');
    assert.equal(await town().field(['pod', 'heir', '-n', 'shop'], '.status.podIP'), address);
    const told = async () => (await cluster.kubectl('logs', 'heir', '-n', 'shop')).match(/"result"/g)?.length ?? 0;
    await waitFor('heir has asked', async () => (await told()) === questions.length, PATIENCE_MS);
    const log = await cluster.kubectl('logs', 'heir', '-n', 'shop');
    assert.doesNotMatch(log, /"result": *"ok"/);
    for (const [to, way] of questions) {
      assert.notEqual(await shop.connects('heir', to, way), 'ok');
      assert.notEqual(await shop.connects('heir', to, way.udp ? { udp: true } : {}), 'ok');
    }
    // Nor is it asked by whoever was to ask the one before it.
    assert.equal((await calls({ sourcePort: 5_570 })).includes('ok'), false);
    assert.equal((await calls({})).includes('ok'), false);

    await cluster.kubectl('delete', 'wnp', 'guests', 'callers', '-n', 'shop');
    await cluster.kubectl('delete', 'pod', 'heir', '-n', 'shop', '--wait=false');
    await town().asks('web', 'ok');
  });
}
