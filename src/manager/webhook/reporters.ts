/** Who may write which node's report. Pure. */
import { agentUser, askerOf, type Installation } from '../certificates/decision.ts';
import type { PodFacts } from '../pods.ts';

/** An installation's agents, as far as the webhook knows them. */
export interface Agents extends Pick<Installation, 'namespace' | 'account'> {
  /** A pod of the installation's namespace; undefined: there is none. */
  readonly pod: (name: string) => Pick<PodFacts, 'uid' | 'node'> | undefined;
}

/** Who asks, as the API server has found out. */
export interface Writer {
  readonly username: string;
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

/**
 * Whether an agent may write a report: that of the node its own pod is on. Whoever else may write reports has been
 * given that right by somebody.
 * @param names all that the report is called in the question
 * @returns why not; undefined: it passes
 */
export function reportRefusal(names: readonly string[], writer: Writer, agents: Agents): string | undefined {
  if (writer.username !== agentUser(agents)) return undefined;
  const asker = askerOf(writer, agents);
  if (asker.denied) return asker.message;
  const { pod: name, uid, node = nodeOf(agents.pod(name), uid) } = asker;
  if (node === undefined) return `pod ${JSON.stringify(name)}, whose token it is, is on no node that is known`;
  const others = names.filter((one) => one !== node);
  if (names.length > 0 && others.length === 0) return undefined;
  const [other = ''] = others;
  return `the report of node ${JSON.stringify(other)}, written by the agent of node ${node}: an agent reports its own`;
}

/** A name may be another pod's by now. */
function nodeOf(pod: ReturnType<Agents['pod']>, uid: string): string | undefined {
  return pod?.uid === uid && pod.node !== '' ? pod.node : undefined;
}
