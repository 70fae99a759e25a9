import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parsePolicyFile } from '../model/policy-file.ts';
import type { Version } from './policy-ledger.ts';

/**
 * The last good version of each policy file, kept beside the kernel's tables so that an agent that starts while a
 * file is bad goes on with what was in force. Losing it costs no more than that.
 */
export class LastGood {
  readonly #directory: string;
  /** What is on the disk. */
  #kept = new Map<string, Buffer>();

  /** @param state the agent's state directory */
  constructor(state: string) {
    this.#directory = join(state, 'policies');
  }

  /**
   * Reads what an earlier run kept.
   * @param policies the directory the files were in, for messages
   */
  async load(policies: string): Promise<Map<string, Version>> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const versions = new Map<string, Version>();
    for (const name of await readdir(this.#directory)) {
      if (name.startsWith('.')) continue;
      const bytes = await readFile(join(this.#directory, name));
      this.#kept.set(name, bytes);
      const parsed = parsePolicyFile(join(policies, name), bytes);
      // Written by a version that accepted what this one does not: then it is no use.
      if (parsed.problems.every(({ severity }) => severity !== 'error')) {
        versions.set(name, { bytes, policies: parsed.policies });
      }
    }
    return versions;
  }

  /** Makes what is kept the same as what is in force. */
  async save(accepted: ReadonlyMap<string, Version>): Promise<void> {
    const before = this.#kept;
    this.#kept = new Map([...accepted].map(([name, { bytes }]) => [name, bytes]));
    for (const [name, bytes] of this.#kept) {
      if (before.get(name)?.equals(bytes) === true) continue;
      const temporary = join(this.#directory, `.${name.slice(0, 200)}.new`);
      await writeFile(temporary, bytes, { mode: 0o600 });
      await rename(temporary, join(this.#directory, name));
    }
    for (const name of before.keys()) if (!this.#kept.has(name)) await rm(join(this.#directory, name), { force: true });
  }
}
