import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { fromDocuments, type PolicyDocument, toDocuments } from '../model/located-policy.ts';
import { validateManifest } from '../model/schema/validate.ts';
import { isClusterFile } from '../sources/kubernetes/policies.ts';
import type { Version } from './policy-ledger.ts';

/** A kept version: the file's text, and what was read from it, so that it need not be parsed again. */
interface Kept {
  /** Of the policy file; absent where the kept file is called so. */
  readonly name?: string;
  readonly text: string;
  readonly documents: readonly { readonly manifest: unknown; readonly origin: PolicyDocument['origin'] }[];
}

const SUFFIX = '.json';

/**
 * The last good version of each policy file, kept beside the kernel's tables: an agent that starts while a file is
 * bad goes on with what was in force, and one that starts while all are good need not parse them. Losing it costs no
 * more than that. What is read from here is validated as if it were new.
 */
export class LastGood {
  readonly #directory: string;
  /** What is on the disk, as far as this process knows. */
  #kept: ReadonlyMap<string, Version> = new Map();

  /** @param state the agent's state directory */
  constructor(state: string) {
    this.#directory = join(state, 'policies');
  }

  /** Reads what an earlier run kept. What is no use any more is left out, and replaced at the next save. */
  async load(): Promise<ReadonlyMap<string, Version>> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const versions = new Map<string, Version>();
    for (const entry of await readdir(this.#directory)) {
      if (entry.startsWith('.') || !entry.endsWith(SUFFIX)) continue;
      const kept = readKept(await readFile(join(this.#directory, entry), 'utf8'));
      if (kept !== undefined) versions.set(kept.name ?? entry.slice(0, -SUFFIX.length), kept.version);
      // Others have work to do too.
      await setImmediate();
    }
    this.#kept = versions;
    return versions;
  }

  /** Makes what is kept the same as what is in force. */
  async save(accepted: ReadonlyMap<string, Version>): Promise<void> {
    const before = this.#kept;
    this.#kept = accepted;
    for (const [name, version] of accepted) {
      if (before.get(name) === version) continue;
      const entry = entryOf(name);
      const temporary = join(this.#directory, `.${entry.slice(0, 200)}.new`);
      await writeFile(temporary, writeKept(name, version), { mode: 0o600 });
      await rename(temporary, join(this.#directory, entry));
    }
    for (const name of before.keys()) {
      if (!accepted.has(name)) await rm(join(this.#directory, entryOf(name)), { force: true });
    }
  }
}

/** The file a version is kept in. Policies of the cluster have slashes in their names, and may have long ones. */
function entryOf(name: string): string {
  return isClusterFile(name) ? `${createHash('sha256').update(name).digest('hex')}${SUFFIX}` : `${name}${SUFFIX}`;
}

function writeKept(name: string, { bytes, policies, hardening }: Version): string {
  const kept: Kept = { text: bytes.toString('utf8'), documents: toDocuments({ policies, hardening }) };
  return JSON.stringify(isClusterFile(name) ? { name, ...kept } : kept);
}

function readKept(json: string): { readonly name: string | undefined; readonly version: Version } | undefined {
  let kept: Kept;
  try {
    kept = JSON.parse(json) as Kept;
  } catch {
    // Cut short by a full disk or a power cut.
    return undefined;
  }
  if (typeof kept?.text !== 'string' || !Array.isArray(kept.documents)) return undefined;
  const documents: PolicyDocument[] = [];
  for (const { manifest, origin } of kept.documents as Kept['documents']) {
    const validation = validateManifest(manifest);
    if (!validation.ok) return undefined;
    documents.push({ manifest: validation.manifest, origin });
  }
  const name = typeof kept.name === 'string' && isClusterFile(kept.name) ? kept.name : undefined;
  return { name, version: { bytes: Buffer.from(kept.text), ...fromDocuments(documents) } };
}
