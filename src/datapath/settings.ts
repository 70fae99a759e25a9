/** The one row of `settings`, of which everybody changes a part. */
import { randomBytes } from 'node:crypto';
import type { Settings } from './layouts.gen.ts';
import { Refusal } from './layouts.gen.ts';
import type { Tables } from './maps.ts';
import type { Between, DatapathOptions } from './port.ts';

const ROW = 0;

const REFUSALS: Readonly<Record<Between['refusal'], number>> = {
  silence: Refusal.Silence,
  reset: Refusal.Reset,
  icmp: Refusal.Icmp,
};

export class SettingsRow {
  readonly #table: Tables['settings'];

  constructor(table: Tables['settings']) {
    this.#table = table;
  }

  get now(): Settings {
    const settings = this.#table.get(ROW);
    if (settings === undefined) throw new RangeError('The settings table has no entry 0');
    return settings;
  }

  change(change: Partial<Settings>): void {
    this.#table.set(ROW, { ...this.now, ...change });
  }

  /** What there is to be said at the start, of whatever an earlier agent has left. */
  begin({ ratePerSecond, burst }: DatapathOptions['events']): void {
    const { answerMark: before, holdMark } = this.now;
    this.change({ eventRate: ratePerSecond, eventBurst: burst, answerMark: answerMark(before, holdMark) });
  }

  /** Flows decided before are decided again at their next packet. */
  bumpRevision(): void {
    this.change({ revision: (this.now.revision + 1) >>> 0 });
  }

  /** @throws TypeError where the mark is more than one bit */
  setBetween({ holdMark, holdRate, holdOpen, refusal }: Between): void {
    checkHoldMark(holdMark);
    this.change({
      holdMark,
      holdRate,
      holdOpen: holdOpen ? 1 : 0,
      refusal: REFUSALS[refusal],
      answerMark: answerMark(this.now.answerMark, holdMark),
    });
  }
}

/** @throws TypeError where it is more than one bit */
export function checkHoldMark(mark: number): void {
  if (mark >>> 0 === mark && (mark & (mark - 1)) === 0) return;
  throw new TypeError(`The hold mark 0x${mark.toString(16)} is not one bit of 32`);
}

/** The one there is, so that answers under way are still known by it; else a random one. Never with the hold bit. */
export function answerMark(before: number, holdMark: number, random = () => randomBytes(4).readUInt32LE()): number {
  let mark = (before & ~holdMark) >>> 0;
  while (mark === 0) mark = (random() & ~holdMark) >>> 0;
  return mark;
}
