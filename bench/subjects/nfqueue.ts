import type { Background } from '../../test/rig/process.ts';
import { TRAFFIC } from '../../test/rig/traffic.ts';
import { type Subject, timed } from '../subject.ts';
import { MEASURED_CPU, onCpu } from '../topology.ts';

const QUEUE = 0;

/** The least a user-space verdict can cost: SYNs wait for a C program that accepts all, the rest does not. */
export function nfqueue(): Subject {
  let decider: Background | undefined;
  return {
    name: 'nfqueue',
    rules: 0,
    get pid() {
      return decider?.pid ?? 0;
    },
    setUp: ({ node }) =>
      timed(async () => {
        decider = onCpu(node.host, MEASURED_CPU).start([TRAFFIC, 'nfqueue', '--queue', String(QUEUE)]);
        await decider.output(/ready/);
        const match = ['-p', 'tcp', '--syn', '-j', 'NFQUEUE', '--queue-num', String(QUEUE)];
        await node.host.run(['iptables-legacy', '-w', '-A', 'FORWARD', ...match]);
      }),
    tearDown: () => decider?.close(),
  };
}
