/** `mocha --require test/rig/residue-hooks.ts`: no suite of the run may leave anything behind. */

import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isRunning } from './process.ts';
import { residueHooks } from './residue.ts';
import { endShared, letSharedLast } from './shared.ts';

const residue = residueHooks();
/** A directory that runs beside each other share. Each sees what the others have in the kernel: all look when all are done. */
const together = process.env.SALLYPORT_RUNS;
const POLL_MS = 100;

export const mochaHooks = {
  async beforeAll(): Promise<void> {
    if (together !== undefined) {
      mkdirSync(together, { recursive: true });
      writeFileSync(join(together, String(process.pid)), '');
    }
    await residue.beforeAll();
    letSharedLast();
  },
  async afterAll(this: Mocha.Context): Promise<void> {
    this.timeout(0);
    endShared();
    if (together !== undefined) {
      rmSync(join(together, String(process.pid)));
      while (readdirSync(together).some((pid) => isRunning(Number(pid)))) {
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      }
    }
    await residue.afterAll();
  },
};
