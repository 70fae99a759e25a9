/** What is measured in the virtual machine, and what it answers. */

/** Whose turn it is. */
export interface Turn {
  readonly subject: 'nothing' | 'sallyport' | 'apparmor';
  /** 0 with Sallyport: it judges other containers. */
  readonly rules: number;
}

export interface Deed {
  readonly scenario: 'lsm-open' | 'lsm-stat' | 'lsm-exec' | 'lsm-connect' | 'lsm-build';
  /** Of `load.c`. */
  readonly what: string;
  readonly samples: number;
  /** In each sample. */
  readonly operations: number;
  readonly path?: string;
}

export interface Plan {
  /** Of what was prepared: `load`, `apparmor-N`, `sallyport-N`. */
  readonly directory: string;
  /** Of the compiled kernel programs. */
  readonly objects: string;
  readonly turns: readonly Turn[];
  readonly deeds: readonly Deed[];
  readonly rounds: number;
}

/** One line of the answer: the median of a turn's samples, in nanoseconds, which are instructions where those count. */
export interface Reading extends Turn {
  readonly scenario: Deed['scenario'];
  readonly round: number;
  readonly nanoseconds: number;
}

/** Before each line that is a reading: the machine says other things, too. */
export const MARK = 'reading ';
