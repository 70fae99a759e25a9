/**
 * Matching with `*` (any run of characters, also none) and `?` (exactly one). No backslash, no classes: what a
 * pattern means can be read off it. Patterns come from users, so no RegExp is ever built from one, and the cost is
 * bounded by pattern length times text length.
 */

/** True where the pattern is more than a literal. */
export function isGlob(pattern: string): boolean {
  return pattern.includes('*') || pattern.includes('?');
}

/**
 * Whether the whole text matches. Only the last star is ever retried: an earlier one that matched as little as
 * possible leaves the most to the later ones.
 */
export function globMatch(pattern: string, text: string): boolean {
  let p = 0;
  let t = 0;
  let star = -1;
  let retry = 0;
  while (t < text.length) {
    const c = pattern[p];
    // The star is looked at before equality: a text may itself contain one.
    if (c === '*') {
      star = p++;
      retry = t;
    } else if (p < pattern.length && (c === '?' || c === text[t])) {
      p++;
      t++;
    } else if (star >= 0) {
      p = star + 1;
      t = ++retry;
    } else {
      return false;
    }
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}

/** Whether some text matches both patterns. Walks the pairs of positions that a common text can reach. */
export function globsIntersect(a: string, b: string): boolean {
  if (!isGlob(a)) return globMatch(b, a);
  if (!isGlob(b)) return globMatch(a, b);
  const width = b.length + 1;
  let row = new Uint8Array(width);
  for (let i = 0; i <= a.length; i++) {
    const next = new Uint8Array(width);
    for (let j = 0; j <= b.length; j++) {
      if (i === 0 && j === 0) row[0] = 1;
      if (row[j] === 0) continue;
      const x = a[i];
      const y = b[j];
      if (x === '*') next[j] = 1;
      if (y === '*') row[j + 1] = 1;
      if (x === undefined || y === undefined) continue;
      if (x === '*') row[j + 1] = 1;
      else if (y === '*') next[j] = 1;
      else if (x === '?' || y === '?' || x === y) next[j + 1] = 1;
    }
    if (i === a.length) return row[b.length] === 1;
    row = next;
  }
  return false;
}
