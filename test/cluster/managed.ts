/** The manager, agents that lie, and whoever applies its objects again. */

import { strict as assert } from 'node:assert';
import { KubernetesClient } from '../../src/sources/kubernetes/client.ts';
import { connect } from '../../src/sources/kubernetes/connection.ts';
import { NODE_REPORTS } from '../../src/sources/kubernetes/resource.ts';
import { waitFor } from '../rig/cleanup.ts';
import { AgentAccount } from './agent-account.ts';
import type { Cluster } from './cluster.ts';
import { objects } from './manager-process.ts';

export interface Managed {
  readonly ground: Cluster;
  /** Of the installation. */
  readonly name: string;
  /** For files of the test's own. */
  readonly directory: string;
}

/** What the API server asks about, as the manager has told it. */
export function asked(ground: Cluster, name: string): Promise<string> {
  return ground.kubectl('get', 'validatingwebhookconfiguration', name, '-o', 'jsonpath={.webhooks[*].name}');
}

const OWNER = { fieldManager: 'sallyport-agent', force: true } as const;

const STATUS = {
  observedAt: new Date(0).toISOString(),
  agent: { version: '0', startedAt: new Date(0).toISOString(), ready: true },
  kernel: 'none',
  hardening: { active: true },
  endpoints: { total: 2, enforced: 2, unprotected: 0 },
  policies: [],
};

const PADDED = { kind: 'HardeningPolicy', generation: 1, state: 'Enforced', containers: 1, message: '<'.repeat(1_000) };

/** As agents write it. */
async function write(client: KubernetesClient, node: string): Promise<void> {
  await client.apply(NODE_REPORTS, { metadata: { name: node }, spec: { node } }, OWNER);
  const told = { metadata: { name: node }, status: STATUS };
  await client.apply(NODE_REPORTS, told, { ...OWNER, subresource: 'status' });
}

export function reports(managed: () => Managed): void {
  it('lets an agent write the report of its own node, and nothing of any other’s', async () => {
    const { ground, name, directory } = managed();
    const [own, other] = [`${name}-own`, `${name}-other`];
    const agents = await AgentAccount.make(ground, name, directory);
    const ways = [await agents.on(own), await agents.on(), await connect({ kubeconfig: ground.kubeconfig })] as const;
    const [agent, homeless, administrator] = ways.map((way) => new KubernetesClient(way)) as [
      KubernetesClient,
      KubernetesClient,
      KubernetesClient,
    ];
    try {
      const written = () =>
        write(agent, own).then(
          () => true,
          () => false,
        );
      await waitFor('its pod is known, and it has written its own', written, 30_000);
      const refused = (message: RegExp) => ({ code: 'FORBIDDEN', message });
      const others = refused(/written by the agent of node \S+-own: an agent reports its own/);
      await assert.rejects(write(agent, other), others);
      await assert.rejects(write(homeless, own), refused(/of no pod/));
      // As it is where its own agent has reported.
      await write(administrator, other);
      const lie = { metadata: { name: other }, status: { ...STATUS, observedAt: new Date().toISOString() } };
      await assert.rejects(agent.apply(NODE_REPORTS, lie, { ...OWNER, subresource: 'status' }), others);
      await assert.rejects(agent.patchStatus(NODE_REPORTS, { name: other }, { kernel: 'another' }), others);
      // To whoever judges it each of these bytes is six, which is more than he reads.
      const policies = Array.from({ length: 2_500 }, (_, i) => ({ ...PADDED, name: `p${i}` }));
      await assert.rejects(agent.patchStatus(NODE_REPORTS, { name: other }, { ...STATUS, policies }), others);
      await assert.rejects(agent.patch(NODE_REPORTS, { name: other }, { metadata: { labels: { a: 'b' } } }), others);
      await assert.rejects(agent.delete(NODE_REPORTS, { name: other }), others);
      assert.equal(await agent.delete(NODE_REPORTS, { name: own }), true);
    } finally {
      for (const node of [own, other]) await administrator.delete(NODE_REPORTS, { name: node });
      await Promise.all(ways.map((way) => way.close()));
      await agents.close();
    }
  });
}

export function appliedAgain(managed: () => Managed): void {
  it('keeps what it has filled in when its objects are applied again, by kubectl or by the server', async () => {
    const { ground, name } = managed();
    const secrets = ['sallyport-webhook', 'sallyport-tag-keys', 'sallyport-ca'].map((one) => `secret/${one}`);
    const all = [...secrets, 'configmap/sallyport-ca', '-n', name, '-o', 'jsonpath={.items[*].data}'];
    const filled = async () => (await ground.kubectl('get', ...all)) + (await asked(ground, name));
    const before = await filled();
    assert.match(before, /tag-keys\.json.*authority\.crt.*reports\.sallyport\.dev/s);
    await ground.apply(objects(name));
    assert.equal(await filled(), before);
    const server = ['apply', '--server-side', '--force-conflicts', '--field-manager=sallyport-deploy', '-f', '-'];
    const { status, stderr } = await ground.attempt(server, { input: objects(name) });
    assert.equal(status, 0, stderr);
    assert.equal(await filled(), before);
  });
}
