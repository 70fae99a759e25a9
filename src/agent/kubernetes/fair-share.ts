/**
 * As many items as there is room for. Owners with few keep all of theirs; what is left over is shared evenly by those with
 * many, of each the first ones: nobody can take the others' room.
 */
export function fairShare<T>(items: readonly T[], room: number, ownerOf: (item: T) => string): readonly T[] {
  if (items.length <= room) return items;
  const groups = [...Map.groupBy(items, ownerOf).values()].sort((a, b) => a.length - b.length);
  let left = room;
  return groups.flatMap((group, i) => {
    const taken = group.slice(0, Math.floor(left / (groups.length - i)));
    left -= taken.length;
    return taken;
  });
}
