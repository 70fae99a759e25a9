/** `mocha --require test/cluster/hooks.ts`: ends the run's cluster after the last test, and looks what it left behind. */

import { residueHooks } from '../rig/residue.ts';
import { endCluster } from './cluster.ts';

const residue = residueHooks();

export const mochaHooks = {
  beforeAll: residue.beforeAll,
  async afterAll(): Promise<void> {
    await endCluster();
    await residue.afterAll();
  },
};
