/** In the virtual machine: the part of the demonstration that needs another kernel. */
import { scene } from './hardening.ts';
import { Report } from './report.ts';

const report = new Report();
try {
  await scene(report);
} catch (error) {
  report.expect('the machine’s part', 'ended well', error instanceof Error ? error.message : String(error));
}
process.exitCode = report.end();
