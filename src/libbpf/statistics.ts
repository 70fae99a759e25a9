import { native, type StatsHandle } from './native.ts';
import { opened, Resource } from './resource.ts';

/** Keeps the kernel measuring how long programs run (a few nanoseconds each time) until it is closed. */
export class Statistics extends Resource<StatsHandle> {
  protected override describe(): string {
    return 'the statistics switch';
  }
}

/** Turns on `runTimeNs` and `runCount` of all programs. */
export function enableStatistics(): Statistics {
  return new Statistics(opened(native.enableStats(), 'SYSTEM', 'turn on program statistics'));
}
