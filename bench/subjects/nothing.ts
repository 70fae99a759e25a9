import type { Subject } from '../subject.ts';

/** Two veths and a routing table: what every other subject is compared with. */
export function nothing(): Subject {
  return { name: 'nothing', rules: 0, setUp: async () => 0, tearDown: () => {} };
}
