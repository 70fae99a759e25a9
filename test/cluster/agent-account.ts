/** The account of an installation's agents, and what a pod of it holds in its hands: a token that is bound to it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Connection, connect } from '../../src/sources/kubernetes/connection.ts';
import { waitFor } from '../rig/cleanup.ts';
import type { Cluster } from './cluster.ts';

const ACCOUNT = 'sallyport-agent';

/** The account, with rights to do to reports whatever can be done: what is refused then is refused by the webhook. */
function account(name: string): string {
  return `
apiVersion: v1
kind: ServiceAccount
metadata: { name: ${ACCOUNT}, namespace: ${name} }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: ${name}-agent }
rules:
  - apiGroups: [sallyport.dev]
    resources: [nodereports, nodereports/status]
    verbs: [get, list, create, update, patch, delete, deletecollection]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: ${name}-agent }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: ${name}-agent }
subjects: [{ kind: ServiceAccount, name: ${ACCOUNT}, namespace: ${name} }]
`;
}

/** It is on that node by its word only: no kubelet needs to be there. */
function pod(name: string, node: string): string {
  return `
apiVersion: v1
kind: Pod
metadata: { name: agent-${node}, namespace: ${name} }
spec:
  nodeName: ${node}
  serviceAccountName: ${ACCOUNT}
  automountServiceAccountToken: false
  containers: [{ name: agent, image: none }]
`;
}

export class AgentAccount {
  readonly #ground: Cluster;
  readonly #name: string;
  readonly #directory: string;
  readonly #pods: string[] = [];

  /** @param name of the installation, which is its namespace */
  private constructor(ground: Cluster, name: string, directory: string) {
    this.#ground = ground;
    this.#name = name;
    this.#directory = directory;
  }

  static async make(ground: Cluster, name: string, directory: string): Promise<AgentAccount> {
    await ground.apply(account(name));
    const may = [
      'auth',
      'can-i',
      'patch',
      'nodereports.sallyport.dev',
      `--as=system:serviceaccount:${name}:${ACCOUNT}`,
    ];
    await waitFor('the account has its rights', async () => (await ground.attempt(may)).status === 0, 30_000);
    return new AgentAccount(ground, name, directory);
  }

  /** A way to the API server with the token of a pod of that node; with one of no pod where no node is said. */
  async on(node?: string): Promise<Connection> {
    return await connect({ kubeconfig: await this.#kubeconfig(node) });
  }

  async close(): Promise<void> {
    const now = ['--grace-period=0', '--force', '--ignore-not-found'];
    if (this.#pods.length > 0) await this.#ground.attempt(['delete', 'pod', '-n', this.#name, ...this.#pods, ...now]);
    const role = `${this.#name}-agent`;
    await this.#ground.attempt(['delete', 'clusterrole,clusterrolebinding', role, '--ignore-not-found']);
  }

  async #kubeconfig(node: string | undefined): Promise<string> {
    const bound = node === undefined ? {} : { boundObjectRef: await this.#podOn(node) };
    const request = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { ...bound } };
    const path = `/api/v1/namespaces/${this.#name}/serviceaccounts/${ACCOUNT}/token`;
    const made = await this.#ground.attempt(['create', '--raw', path, '-f', '-'], { input: JSON.stringify(request) });
    if (made.status !== 0) throw new Error(made.stderr);
    const { token } = (JSON.parse(made.stdout) as { status: { token: string } }).status;
    const shown = await this.#ground.kubectl('config', 'view', '--raw', '--flatten', '-o', 'json');
    const config = JSON.parse(shown) as { users: { user: object }[] };
    for (const one of config.users) one.user = { token };
    const file = join(this.#directory, `agent-${node ?? 'nowhere'}.kubeconfig`);
    writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
    return file;
  }

  async #podOn(node: string): Promise<object> {
    const name = `agent-${node}`;
    this.#pods.push(name);
    await this.#ground.apply(pod(this.#name, node));
    const uid = await this.#ground.kubectl('get', 'pod', name, '-n', this.#name, '-o', 'jsonpath={.metadata.uid}');
    return { apiVersion: 'v1', kind: 'Pod', name, uid };
  }
}
