/**
 * Room that several want, divided so that nobody can take the others': who wants little gets all of it, and what is left
 * over is shared evenly by those who want much.
 * @param demands of each, 0 or more
 * @returns what each gets, in their order; never less than an equal part of the room, or all he wants
 */
export function fairShares(demands: readonly number[], room: number): readonly number[] {
  const ascending = [...demands.keys()].sort((a, b) => (demands[a] ?? 0) - (demands[b] ?? 0));
  const shares = demands.map(() => 0);
  let left = room;
  for (const [i, which] of ascending.entries()) {
    const share = Math.min(demands[which] ?? 0, Math.floor(left / (ascending.length - i)));
    shares[which] = share;
    left -= share;
  }
  return shares;
}

/** As many items as there is room for, divided among their owners by `fairShares`: of each the first ones. */
export function fairShare<T>(items: readonly T[], room: number, ownerOf: (item: T) => string): readonly T[] {
  if (items.length <= room) return items;
  const groups = [...Map.groupBy(items, ownerOf).values()];
  const shares = fairShares(
    groups.map(({ length }) => length),
    room,
  );
  return groups.flatMap((group, i) => group.slice(0, shares[i]));
}
