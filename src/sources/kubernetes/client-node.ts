import type { RequestOptions } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node';
import { KubernetesError } from './error.ts';
import type { AuthProvider } from './kubeconfig.ts';

/**
 * The one file that needs `@kubernetes/client-node`, which is loaded only where a kubeconfig's user has an auth-provider:
 * with its generated models it takes 90 MB. It knows how to renew tokens of OpenID Connect, Google's and Azure's kind.
 */
export class ProvidedToken {
  readonly #provider: AuthProvider;
  readonly #config = new KubeConfig();

  constructor(provider: AuthProvider) {
    this.#provider = provider;
    this.#config.loadFromOptions({
      clusters: [{ name: 'one', server: 'https://localhost' }],
      users: [{ name: 'one', authProvider: { name: provider.name, config: { ...provider.config } } }],
      contexts: [{ name: 'one', cluster: 'one', user: 'one' }],
      currentContext: 'one',
    });
  }

  /** The token as of now, renewed where it has ended. Throws KubernetesError UNAUTHORIZED. */
  async current(): Promise<string> {
    const options: RequestOptions = {};
    try {
      await this.#config.applyToHTTPSOptions(options);
    } catch (thrown) {
      // The reason may have the token in it.
      const reason = thrown instanceof SyntaxError ? 'what it has is no token' : 'it cannot be renewed';
      throw this.#missing(reason);
    }
    const { authorization } = Object.fromEntries(
      Object.entries(options.headers ?? {}).map(([name, value]) => [name.toLowerCase(), String(value)]),
    );
    const token = /^Bearer (\S+)$/.exec(authorization ?? '')?.[1];
    if (token === undefined) throw this.#missing('it has no token, or what it has has ended and cannot be renewed');
    return token;
  }

  #missing(reason: string): KubernetesError {
    return new KubernetesError('UNAUTHORIZED', `Cannot get a token of auth-provider ${this.#provider.name}: ${reason}`);
  }
}
