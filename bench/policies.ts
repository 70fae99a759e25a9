/** Policies with as many rules as the bench wants, in files as large as files may be. */

import { otherSource } from './subject.ts';

/** Most rules of one policy. */
const RULES_PER_POLICY = 9_000;

export interface PolicyText {
  readonly file: string;
  readonly text: string;
}

/**
 * The same rules that iptables and nftables get, as ingress rules of one workload: N-1 sources that are somebody
 * else's, each on one port, and one rule for the client.
 */
export function manyRules(count: number, server: string, client: string): PolicyText[] {
  const files: PolicyText[] = [];
  for (let first = 0; first < count; first += RULES_PER_POLICY) {
    const lines: string[] = [];
    for (let k = first; k < Math.min(first + RULES_PER_POLICY, count - 1); k += 1) {
      const { address, port } = otherSource(k);
      lines.push(`    - {from: [{cidr: ${address}/32}], ports: [{protocol: TCP, port: ${port}}]}`);
    }
    if (first + RULES_PER_POLICY >= count) lines.push(`    - {name: client, from: [{workload: ${client}}]}`);
    files.push({ file: `rules-${files.length}.yaml`, text: policy(`rules-${files.length}`, server, lines) });
  }
  return files;
}

/** Forbids one UDP port, before all else. */
export function denyPort(server: string, port: number): string {
  return policy('blocked', server, [`    - {action: Deny, ports: [{protocol: UDP, port: ${port}}]}`], 1);
}

/** Lets a workload speak to all workloads of its namespace, by their names, or to a network, both ways; and to nobody else. */
export function ingressAndEgress(workload: string, peer: 'names' | (string & {})): PolicyText {
  const name = workload.split('/').at(-1)!;
  const whom = peer === 'names' ? '{workload: Unit/*}' : `{cidr: ${peer}}`;
  const egress = `  egress:\n    - {name: out, to: [${whom}]}\n`;
  return { file: `${name}.yaml`, text: policy(name, workload, [`    - {name: in, from: [${whom}]}`]) + egress };
}

function policy(name: string, server: string, ingress: readonly string[], priority = 1000): string {
  const [namespace] = server.split('/');
  return `apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: {name: ${name}, namespace: ${namespace}}
spec:
  subject: {workload: ${server.split('/').slice(1).join('/')}}
  priority: ${priority}
  ingress:
${ingress.join('\n')}
`;
}
