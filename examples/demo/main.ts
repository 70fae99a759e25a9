/**
 * `make demo`: real Docker containers under policies by name, then a second node behind NAT. Tells what was seen, and
 * leaves nothing behind. Exits 0 only if every expectation was observed.
 */
import { oneHost } from './one-host.ts';
import { Report } from './report.ts';
import { Stage } from './stage.ts';
import { twoNodes } from './two-nodes.ts';

const report = new Report();
const stage = await Stage.open(report);
try {
  await oneHost(stage);
  await twoNodes(stage);
} finally {
  stage.close();
}
process.exitCode = report.end();
