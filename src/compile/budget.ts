/**
 * How much one subject's rules may come to. Whoever may write policies of one namespace could otherwise keep the agent busy
 * for minutes, and fill its memory and the kernel's tables: addresses that lie in many networks, each with its ports.
 */

/** Entries of ports that the classes of one set have together: half the table's standard size. */
const MOST_PORTS = 131_072;
/** Rules looked at for peers and networks, all together: about two seconds. */
const MOST_STEPS = 8_000_000;
/** Looking at a rule costs this much more where a class is made of it. */
const CLASS_STEPS = 8;

/** Thrown when it is spent. */
export class TooLarge extends Error {
  constructor() {
    super('The rules of a subject come to more than can be put into tables');
    this.name = 'TooLarge';
  }
}

/** What is left for one set. */
export class Budget {
  #ports = MOST_PORTS;
  #steps = MOST_STEPS;

  /** @throws TooLarge */
  look(rules: number): void {
    this.#steps -= rules;
    if (this.#steps < 0) throw new TooLarge();
  }

  /** Before a class is made of these rules. @throws TooLarge */
  make(rules: number): void {
    this.look(rules * CLASS_STEPS);
  }

  /** A class is made. @throws TooLarge */
  keep(ports: number): void {
    this.#ports -= ports;
    if (this.#ports < 0) throw new TooLarge();
  }
}
