/**
 * Criteria that may overlap, put into an order in which the first that fits tells everything: each stands for what it
 * means and no criterion before it does. The kernel then stops at the first.
 */
export interface Boxes<B> {
  keyOf(box: B): string;
  /** Undefined where nothing is in both. */
  common(a: B, b: B): B | undefined;
  contains(outer: B, inner: B): boolean;
}

/** A criterion, and what is said of what it means. */
export interface Entry<B, T> {
  readonly box: B;
  readonly said: T;
}

/** Most boxes and intersections of them that are looked at. */
const BOXES_MAX = 4096;

/**
 * @param said what all rules together say of what is in a box and in none that lies in it
 * @param nothing what is said of what is in no box
 * @returns the criteria, narrower ones first, those left out that change nothing; undefined where there are too many
 */
export function ordered<B, T>(
  boxes: readonly B[],
  { keyOf, common, contains }: Boxes<B>,
  said: (box: B) => T,
  nothing: T,
): Entry<B, T>[] | undefined {
  const all = new Map<string, B>();
  for (const box of boxes) {
    const found = [box, ...[...all.values()].map((other) => common(box, other))];
    for (const one of found) if (one !== undefined) all.set(keyOf(one), one);
    if (all.size > BOXES_MAX) return undefined;
  }
  const left = [...all.values()];
  /** How many contain each: what lies in another is in more than that one. */
  const depth = new Map(left.map((box) => [box, left.filter((other) => contains(other, box)).length]));
  const entries = left.map((box) => ({ box, said: said(box) }));
  // Among equals those first that decide what they have in common with others: it needs no entry of its own then.
  const decides = new Map(
    entries.map(({ box, said: own }) => [
      box,
      entries.filter((other) => other.said === own && contains(box, other.box)).length,
    ]),
  );
  entries.sort(
    (a, b) =>
      depth.get(b.box)! - depth.get(a.box)! ||
      decides.get(b.box)! - decides.get(a.box)! ||
      (keyOf(a.box) < keyOf(b.box) ? -1 : 1),
  );
  const kept: Entry<B, T>[] = [];
  for (const entry of entries.reverse()) {
    const other = kept.find(({ box }) => contains(box, entry.box));
    if ((other === undefined ? nothing : other.said) !== entry.said) kept.unshift(entry);
  }
  return kept;
}
