/** `mocha --require test/rig/residue-hooks.ts`: no suite of the run may leave anything behind. */

import { residueHooks } from './residue.ts';
import { endShared, letSharedLast } from './shared.ts';

const residue = residueHooks();

export const mochaHooks = {
  async beforeAll(): Promise<void> {
    await residue.beforeAll();
    letSharedLast();
  },
  async afterAll(): Promise<void> {
    endShared();
    await residue.afterAll();
  },
};
