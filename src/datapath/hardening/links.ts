/** What holds the hardening programs at their hooks: a pinned link each, so that they stay when the agent dies. */
import { existsSync, mkdirSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { BpfError, BpfLink, type BpfProgram } from '../../libbpf/index.ts';

/** Where they are pinned, beside the maps. */
export const HOOKS = 'hardening';

/** A link that has been made and has not taken its place yet. Names on a bpffs have no dots. */
const NEXT = 'next-';

/**
 * Links to tracing and security hooks cannot be given another program. So the new one is attached beside an earlier
 * agent's, and takes the place of its pin in one step: at any moment one of the two judges, and for a moment both do.
 */
export class HookLinks {
  readonly #directory: string;
  readonly #attached = new Map<string, string>();

  /** @param directory on a bpffs, of the maps' layout: programs of another layout judge by other maps */
  constructor(directory: string) {
    this.#directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  /** Where each program hangs, for people. */
  get attached(): ReadonlyMap<string, string> {
    return this.#attached;
  }

  /** @throws BpfError where the kernel refuses; an earlier agent's stays then */
  attach(program: BpfProgram, hook: string): void {
    const { name } = program;
    const next = join(this.#directory, `${NEXT}${name}`);
    // An agent that died in the middle has left it.
    if (existsSync(next)) removeLink(next);
    const link = program.attach();
    try {
      link.pin(next);
      renameSync(next, join(this.#directory, name));
    } finally {
      link.close();
    }
    this.#attached.set(name, hook);
  }

  /**
   * Takes away what an earlier agent has left of programs that there are not any more.
   * @param known programs that there are; of one the kernel would not have now, an earlier agent's goes on judging
   */
  retain(known: { has(name: string): boolean }): void {
    for (const name of readdirSync(this.#directory)) {
      if (!this.#attached.has(name) && !known.has(name)) removeLink(join(this.#directory, name));
    }
  }
}

function removeLink(path: string): void {
  let link: BpfLink;
  try {
    link = BpfLink.openPinned(path);
  } catch (error) {
    if (error instanceof BpfError && error.code === 'NOT_FOUND') return;
    throw error;
  }
  link.unpin();
  link.close();
}
