/** `mocha --require test/rig/residue-hooks.ts`: no suite of the run may leave anything behind. */

import { residueHooks } from './residue.ts';

export const mochaHooks = residueHooks();
