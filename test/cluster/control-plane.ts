/** etcd, API server, controller manager and scheduler, on the machine's side of the cluster's wire. */

import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { waitFor } from '../rig/cleanup.ts';
import { attempt, Background, run } from '../rig/process.ts';
import type { Plan } from './plan.ts';
import { type Program, program } from './programs.ts';

const START_TIMEOUT_MS = 120_000;

export class ControlPlane {
  /** The administrator's. */
  readonly kubeconfig: string;
  readonly #directory: string;
  readonly #plan: Plan;
  readonly #running: Background[] = [];
  /** Of the API server. */
  #command: readonly string[] = [];
  #server: Background | undefined;

  constructor(directory: string, plan: Plan) {
    this.#directory = directory;
    this.#plan = plan;
    this.kubeconfig = join(directory, 'kubeconfig');
  }

  /** @param alone only etcd and the API server, for those who write pods that nothing runs; there are no accounts then */
  async start({ alone = false }: { readonly alone?: boolean } = {}): Promise<void> {
    const { address, services } = this.#plan;
    const inside = (name: string) => join(this.#directory, name);
    mkdirSync(this.#directory, { recursive: true });
    await run(['openssl', 'genrsa', '-out', inside('accounts.key'), '2048']);
    await run(['openssl', 'rsa', '-in', inside('accounts.key'), '-pubout', '-out', inside('accounts.pub')]);
    const token = crypto.randomUUID();
    writeFileSync(inside('tokens.csv'), `${token},admin,admin,system:masters\n`, { mode: 0o600 });

    const etcd = `http://${address}:2379`;
    const store = ['--data-dir', inside('etcd'), '--listen-client-urls', etcd, '--advertise-client-urls', etcd];
    // What is stored need not outlive a power cut.
    this.#start(['etcd', ...store, '--listen-peer-urls', `http://${address}:2380`, '--unsafe-no-fsync']);
    this.#command = [
      program('kube-apiserver'),
      `--etcd-servers=${etcd}`,
      `--bind-address=${address}`,
      `--advertise-address=${address}`,
      `--cert-dir=${inside('certificates')}`,
      `--service-cluster-ip-range=${services}`,
      `--service-account-key-file=${inside('accounts.pub')}`,
      `--service-account-signing-key-file=${inside('accounts.key')}`,
      '--service-account-issuer=https://kubernetes.default.svc',
      '--authorization-mode=RBAC',
      `--token-auth-file=${inside('tokens.csv')}`,
      '--allow-privileged=true',
      '--kubelet-preferred-address-types=InternalIP',
      // There is no kube-proxy on this side: webhooks are reached at their pods.
      '--enable-aggregator-routing=true',
      ...(alone ? ['--disable-admission-plugins=ServiceAccount'] : []),
    ];
    const authority = inside('certificates/apiserver.crt');
    writeFileSync(this.kubeconfig, kubeconfig(this.#plan.server, authority, token), { mode: 0o600 });
    await this.startServer();
    if (alone) return;
    // Nobody asks these two anything, and their ports may be another cluster's.
    const client = [`--kubeconfig=${this.kubeconfig}`, '--leader-elect=false', '--port=0', '--secure-port=0'];
    this.#kubernetes('kube-controller-manager', [
      ...client,
      `--service-account-private-key-file=${inside('accounts.key')}`,
      `--root-ca-file=${authority}`,
      '--use-service-account-credentials',
      // Nodes of tests come and go faster than people's.
      '--node-monitor-grace-period=20s',
    ]);
    this.#kubernetes('kube-scheduler', client);
  }

  /** Starts the API server, at first and after `stopServer`, and waits until it is ready. */
  async startServer(): Promise<void> {
    this.#server = new Background(this.#command, { cwd: this.#directory });
    await waitFor('the API server is ready', () => this.#ready(), START_TIMEOUT_MS);
  }

  /** Ends the API server as a crash does; what it has stored stays. */
  async stopServer(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    server?.kill('SIGKILL');
    await server?.exited;
    server?.close();
  }

  /** What its programs said last. */
  logs(): string {
    return this.#all.map(({ command, stderr }) => `== ${command[0]}\n${stderr.slice(-4000)}`).join('\n');
  }

  stop(): void {
    for (const one of this.#all.reverse()) one.close();
    this.#running.length = 0;
    this.#server = undefined;
  }

  get #all(): Background[] {
    return [...this.#running, ...(this.#server === undefined ? [] : [this.#server])];
  }

  /** Throws with what it said when one of its programs has ended. */
  check(): void {
    for (const one of this.#all) {
      if (!one.running) throw new Error(`cluster: ${one.command[0]} ended: ${one.stderr.slice(-3000)}`);
    }
  }

  async #ready(): Promise<boolean> {
    this.check();
    if (!existsSync(join(this.#directory, 'certificates/apiserver.crt'))) return false;
    const env = { KUBECONFIG: this.kubeconfig };
    return (await attempt(['kubectl', 'get', '--raw', '/readyz'], { env })).status === 0;
  }

  #kubernetes(name: Program, options: readonly string[]): void {
    this.#start([program(name), ...options]);
  }

  #start(command: readonly string[]): void {
    this.#running.push(new Background(command, { cwd: this.#directory }));
  }
}

function kubeconfig(server: string, authority: string, token: string): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'sallyport-test', cluster: { server, 'certificate-authority': authority } }],
    users: [{ name: 'admin', user: { token } }],
    contexts: [{ name: 'sallyport-test', context: { cluster: 'sallyport-test', user: 'admin' } }],
    'current-context': 'sallyport-test',
  });
}
