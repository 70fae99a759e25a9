/** Services behind which somebody may be particular about who sends him datagrams. Pure. */
import { globMatch } from '../../model/glob.ts';
import type { Policy, Rule } from '../../model/policy.ts';
import { PROTOCOLS } from '../../model/protocol.ts';
import type { RuleAction } from '../../model/verdict.ts';

/** Whether a policy is of this namespace, or may be. */
type InNamespace = (namespace: string) => boolean;

/**
 * The namespaces in which a policy, a staged one too, says who may send datagrams to somebody. Who only is allowed more, or is
 * told of no datagrams, is not particular. Those in which nobody is selected are among them: what is asked too often costs
 * a handshake, what is not asked would be judged as a stranger's.
 */
export class Guards {
  readonly #own: ReadonlySet<string>;
  readonly #wide: readonly InNamespace[];
  /** The same for the same namespaces. */
  readonly key: string;

  constructor(policies: readonly Policy[]) {
    const restricting = policies.filter(restrictsDatagrams);
    const [own, wide] = [new Set<string>(), new Map<string, InNamespace>()];
    for (const { namespace, subject } of restricting) {
      if (namespace !== '') own.add(namespace);
      else {
        const { namespaces, workload } = subject;
        const means: InNamespace = (name) => globMatch(workload.namespace, name) && (namespaces?.has(name) ?? true);
        wide.set(JSON.stringify([workload.namespace, namespaces?.text]), means);
      }
    }
    this.#own = own;
    this.#wide = [...wide.values()];
    this.key = JSON.stringify([[...own].sort(), [...wide.keys()].sort()]);
  }

  /** @param namespace undefined: it may be any */
  covers(namespace: string | undefined): boolean {
    if (namespace === undefined) return this.#own.size > 0 || this.#wide.length > 0;
    return this.#own.has(namespace) || this.#wide.some((means) => means(namespace));
  }
}

function restrictsDatagrams({ ingress }: Policy): boolean {
  return ingress !== undefined && (isParticular(ingress.default) || ingress.rules.some(isAboutDatagrams));
}

function isAboutDatagrams({ action, ports }: Rule): boolean {
  return isParticular(action) && (ports?.some(({ protocol }) => protocol === PROTOCOLS.UDP) ?? true);
}

function isParticular(action: RuleAction): boolean {
  return action !== 'Allow' && action !== 'Pass';
}
