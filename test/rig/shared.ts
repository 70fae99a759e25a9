/** What suites of a run have in common because making it takes long: with `residue-hooks.ts` it is closed once, at the end. */

const open = new Set<() => void>();
let lasting = false;

export interface Shared<T> {
  take(): T;
  /** Closes it, unless it is to last. */
  giveBack(): void;
}

export function shared<T extends { close(): void }>(make: () => T): Shared<T> {
  let made: T | undefined;
  const close = (): void => {
    open.delete(close);
    made?.close();
    made = undefined;
  };
  return {
    take() {
      open.add(close);
      made ??= make();
      return made;
    },
    giveBack: () => {
      if (!lasting) close();
    },
  };
}

/** From now on what is shared lasts until `endShared`. */
export function letSharedLast(): void {
  lasting = true;
}

export function endShared(): void {
  for (const close of [...open]) close();
}
