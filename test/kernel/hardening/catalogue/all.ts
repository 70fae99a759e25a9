import { BASELINE } from './baseline.ts';
import { CAPABILITY } from './capabilities.ts';
import { EXECUTION } from './execution.ts';
import { HOST } from './host.ts';
import { KERNEL } from './kernel.ts';
import { NETWORK } from './network.ts';
import { PERSISTENCE } from './persistence.ts';
import type { Scenario } from './scenario.ts';
import { SHIELDS } from './shields.ts';

export const SCENARIOS: readonly Scenario[] = [
  ...BASELINE,
  ...SHIELDS,
  ...HOST,
  ...PERSISTENCE,
  ...KERNEL,
  ...EXECUTION,
  ...NETWORK,
  ...CAPABILITY,
];
