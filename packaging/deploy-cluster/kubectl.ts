/** kubectl, which knows every way into a cluster there is. */

import { spawn } from 'node:child_process';

export class KubectlError extends Error {
  readonly code = 'KUBECTL';

  constructor(args: readonly string[], said: string) {
    super(`kubectl ${args.join(' ')}: ${said.trim() || 'failed'}`);
  }
}

export interface KubectlOptions {
  readonly input?: string;
  /** What it says goes to the terminal while it says it. */
  readonly show?: boolean;
}

export class Kubectl {
  readonly #kubeconfig: string | undefined;

  /** @param kubeconfig none: kubectl's own choice (KUBECONFIG, ~/.kube/config) */
  constructor(kubeconfig?: string) {
    this.#kubeconfig = kubeconfig;
  }

  /** Its standard output. @throws KubectlError unless it ends well */
  run(args: readonly string[], { input, show = false }: KubectlOptions = {}): Promise<string> {
    return new Promise((resolve, reject) => {
      // Not --kubeconfig: some distributions' kubectl is a wrapper that takes no flags first.
      const env = this.#kubeconfig === undefined ? process.env : { ...process.env, KUBECONFIG: this.#kubeconfig };
      const child = spawn('kubectl', args, { env, stdio: ['pipe', show ? 'inherit' : 'pipe', 'pipe'] });
      let [out, said] = ['', ''];
      child.stdout?.on('data', (chunk: Buffer) => {
        out += chunk;
      });
      child.stderr?.on('data', (chunk: Buffer) => {
        said += chunk;
      });
      child.on('error', (error) => reject(new KubectlError(args, error.message)));
      child.on('close', (status) => (status === 0 ? resolve(out) : reject(new KubectlError(args, said))));
      child.stdin?.on('error', () => {}); // it ended before it read all; its status says why
      child.stdin?.end(input ?? '');
    });
  }

  async succeeds(args: readonly string[]): Promise<boolean> {
    try {
      await this.run(args);
      return true;
    } catch (error) {
      if (error instanceof KubectlError) return false;
      throw error;
    }
  }
}
