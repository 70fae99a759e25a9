/** Reads a text character by character; one outside the basic plane is one character. */
export class TextReader {
  readonly #characters: readonly string[];
  #at = 0;

  constructor(text: string) {
    this.#characters = [...text];
  }

  /** The next character, or one further on, without taking it; undefined at the end. */
  peek(ahead = 0): string | undefined {
    return this.#characters[this.#at + ahead];
  }

  /** Takes the next character. */
  next(): string | undefined {
    return this.#characters[this.#at++];
  }
}
