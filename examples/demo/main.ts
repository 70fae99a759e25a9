/**
 * `make demo`: real Docker containers under policies by name, a second node behind NAT, and a container that attacks its
 * host. Tells what was seen, and leaves nothing behind. Exits 0 only if every expectation was observed.
 */
import { beginHardening } from './hardening.ts';
import { oneHost } from './one-host.ts';
import { Report } from './report.ts';
import { Stage } from './stage.ts';
import { twoNodes } from './two-nodes.ts';

const report = new Report();
const hardening = beginHardening();
const stage = await Stage.open(report);
try {
  await oneHost(stage);
  await twoNodes(stage);
} finally {
  stage.close();
}
await hardening.tell(report);
process.exitCode = report.end();
