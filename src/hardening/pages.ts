import { HardeningError } from './error.ts';
import { MATCH_BYTES, MatchOffset, PAGE_BYTES, RULING_BYTES, RulingOffset, reference, viewOfPage } from './format.ts';
import { keyOfRulings, type Ruling } from './rulings.ts';

/** Most pages of a profile: 16 MiB. */
export const PAGES_MAX = 1024;

/** What rules say of a path: references to lists of rulings, 0 for the default. */
export interface Match {
  /** By access. */
  readonly rulings: readonly number[];
  readonly moving: number;
  /** Accesses, as bits. */
  readonly guards: number;
  readonly keeps: number;
  readonly executables: bigint;
}

/** The pages of a profile while they are written. Page 0 is the head; equal rulings and matches are written once. */
export class ProfilePages {
  readonly pages: Uint8Array[] = [new Uint8Array(PAGE_BYTES)];
  readonly #rulings = new Map<string, number>();
  readonly #matches = new Map<string, number>();
  #page = 0;
  #free = PAGE_BYTES;

  /** @throws HardeningError PATTERNS */
  addPage(): number {
    if (this.pages.length >= PAGES_MAX) {
      throw new HardeningError('PATTERNS', {
        attempted: 'write the profile',
        reason: `it needs more than ${PAGES_MAX} pages of ${PAGE_BYTES} bytes`,
        hint: 'Use fewer rules, or fewer stars in their paths',
      });
    }
    this.pages.push(new Uint8Array(PAGE_BYTES));
    return this.pages.length - 1;
  }

  /** The reference of a list of rulings. */
  rulings(list: readonly Ruling[]): number {
    const key = keyOfRulings(list);
    const known = this.#rulings.get(key);
    if (known !== undefined) return known;
    const { page, offset } = this.#allocate(list.length * RULING_BYTES, RULING_BYTES);
    const view = viewOfPage(this.pages[page]!);
    for (const [i, ruling] of list.entries()) {
      const at = offset + i * RULING_BYTES;
      view.setBigUint64(at + RulingOffset.executables, ruling.executables, true);
      view.setUint32(at + RulingOffset.rule, ruling.rule, true);
      view.setUint32(at + RulingOffset.stagedRule, ruling.stagedRule, true);
      view.setUint8(at + RulingOffset.verdict, ruling.verdict);
      view.setUint8(at + RulingOffset.stagedVerdict, ruling.stagedVerdict);
    }
    const name = reference(page, offset / RULING_BYTES);
    this.#rulings.set(key, name);
    return name;
  }

  /** The reference of a match. */
  match(match: Match): number {
    const { rulings, moving, guards, keeps, executables } = match;
    const key = `${rulings.join()} ${moving} ${guards} ${keeps} ${executables}`;
    const known = this.#matches.get(key);
    if (known !== undefined) return known;
    const { page, offset } = this.#allocate(MATCH_BYTES, MATCH_BYTES);
    const view = viewOfPage(this.pages[page]!);
    for (const [i, list] of rulings.entries()) view.setUint32(offset + MatchOffset.rulings + 4 * i, list, true);
    view.setUint32(offset + MatchOffset.moving, moving, true);
    view.setBigUint64(offset + MatchOffset.executables, executables, true);
    view.setUint32(offset + MatchOffset.guards, guards, true);
    view.setUint32(offset + MatchOffset.keeps, keeps, true);
    const name = reference(page, offset / MATCH_BYTES);
    this.#matches.set(key, name);
    return name;
  }

  /** Room that does not cross pages. */
  #allocate(bytes: number, alignment: number): { page: number; offset: number } {
    let offset = Math.ceil(this.#free / alignment) * alignment;
    if (offset + bytes > PAGE_BYTES) {
      this.#page = this.addPage();
      offset = 0;
    }
    this.#free = offset + bytes;
    return { page: this.#page, offset };
  }
}
