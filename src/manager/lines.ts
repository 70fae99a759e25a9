/** What waits, in a line for each party: whoever has much to do keeps only himself waiting. */
export class Lines<T> {
  readonly #most: number;
  /** In the order of whose turn it is. */
  readonly #lines = new Map<string, Map<string, T>>();
  #size = 0;

  /** @param most of all lines together; beyond it whoever has less than his share takes a place of the longest line */
  constructor(most: number) {
    this.#most = most;
  }

  get size(): number {
    return this.#size;
  }

  get(party: string, key: string): T | undefined {
    return this.#lines.get(party)?.get(key);
  }

  /**
   * Puts it at the end of its line, or in the place of what waits there under the same key.
   * @returns whether there was room
   */
  set(party: string, key: string, value: T): boolean {
    const line = this.#lines.get(party) ?? new Map<string, T>();
    if (!line.has(key)) {
      if (this.#size >= this.#most && !this.#makeRoom(line.size)) return false;
      this.#size += 1;
    }
    line.set(key, value);
    this.#lines.set(party, line);
    return true;
  }

  /**
   * Takes out the first that may go, of the party whose turn it is; its next turn is after all others'.
   * @returns undefined where none may
   */
  take(may: (value: T, key: string) => boolean): T | undefined {
    for (const [party, line] of this.#lines) {
      for (const [key, value] of line) {
        if (!may(value, key)) continue;
        this.#lines.delete(party);
        if (line.size > 1) this.#lines.set(party, line);
        line.delete(key);
        this.#size -= 1;
        return value;
      }
    }
    return undefined;
  }

  /** Lets go of what is not kept. */
  filter(keep: (key: string) => boolean): void {
    for (const [party, line] of this.#lines) {
      for (const key of line.keys()) if (!keep(key)) this.#remove(party, line, key);
    }
  }

  clear(): void {
    this.#lines.clear();
    this.#size = 0;
  }

  *values(): Generator<T> {
    for (const line of this.#lines.values()) yield* line.values();
  }

  /** For one whose line is so long. */
  #makeRoom(length: number): boolean {
    if (length >= this.#most / Math.max(1, this.#lines.size)) return false;
    let longest: [party: string, line: Map<string, T>] | undefined;
    for (const one of this.#lines) if (one[1].size > (longest?.[1].size ?? length)) longest = one;
    const [first] = longest?.[1].keys() ?? [];
    if (longest === undefined || first === undefined) return false;
    this.#remove(...longest, first);
    return true;
  }

  #remove(party: string, line: Map<string, T>, key: string): void {
    if (!line.delete(key)) return;
    this.#size -= 1;
    if (line.size === 0) this.#lines.delete(party);
  }
}
