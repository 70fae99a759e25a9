/**
 * `node test/cluster/main.ts`: a cluster in the foreground, for people. Prints its kubeconfig; Ctrl-C ends it.
 * With TEST_KUBECONFIG=… the suites of this folder use it: they start in no time then.
 */

import { setInterval } from 'node:timers';
import { startCluster } from './cluster.ts';

const { kubeconfig, nodes, server } = await startCluster();
let away = false;
process.on('SIGUSR2', () => {
  away = !away;
  void (away ? server.stop() : server.start());
});
console.log(`nodes ${nodes.join(', ')}; export TEST_KUBECONFIG=${kubeconfig}`);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(0));
setInterval(() => {}, 2 ** 31 - 1); // until then
