import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, rename, rm, unlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { stringify } from 'yaml';
import { type AnyPolicy, type AnyPolicyKind, isHardeningKind } from '../model/any-policy.ts';
import { toManifest } from '../model/manifest.ts';
import { type PolicyId, policyName } from '../model/policy.ts';
import { AgentError } from './errors.ts';

/** Ends the names of files that `policy apply` writes; people write others. */
const SUFFIX = '.applied.yaml';
/** Most bytes of a file's name, so that temporary ones fit in 255 too. */
const NAME_BYTES_MOST = 200;

/**
 * The file of a policy that came through the API. A namespace has no dot in it and none begins with `_`, so that
 * different policies have different files; very long names are cut and told apart by their digest.
 */
export function fileOf(policy: PolicyId & { readonly kind: AnyPolicyKind }): string {
  const place = policy.namespace === '' ? '_cluster' : policy.namespace;
  const scope = isHardeningKind(policy.kind) ? `_hardening.${place}` : place;
  const name = `${scope}.${policy.name}`;
  if (Buffer.byteLength(name) + SUFFIX.length <= NAME_BYTES_MOST) return `${name}${SUFFIX}`;
  const digest = createHash('sha256').update(name).digest('hex').slice(0, 16);
  return `${name.slice(0, NAME_BYTES_MOST - SUFFIX.length - digest.length - 1)}~${digest}${SUFFIX}`;
}

/** Whether `policy apply` wrote this file. */
export function isApplied(path: string): boolean {
  return basename(path).endsWith(SUFFIX);
}

/** The text stored for a policy: its document, everything spelled out. */
export function textOf(policy: AnyPolicy): string {
  const head = [
    `# Written by "sallyport policy apply". Change it with that, not here;`,
    `# "sallyport policy delete ${policyName(policy)}" removes it.`,
  ];
  return `${head.join('\n')}\n${stringify(toManifest(policy))}`;
}

/**
 * Writes the policies' files so that each is seen whole or not at all, also after a power cut: all are written
 * beside their places first, so that a full disk changes nothing, then each takes its place.
 * @throws AgentError INTERNAL naming the file
 */
export async function writePolicies(directory: string, policies: readonly AnyPolicy[]): Promise<void> {
  const staged: { temporary: string; place: string }[] = [];
  try {
    await mkdir(directory, { recursive: true, mode: 0o755 });
    for (const policy of policies) {
      const name = fileOf(policy);
      // A leading dot: readers of the directory pass it by.
      const temporary = join(directory, `.${name}.${randomBytes(4).toString('hex')}`);
      staged.push({ temporary, place: join(directory, name) });
      await writeDurably(temporary, textOf(policy));
    }
    for (const { temporary, place } of staged) await rename(temporary, place);
    await syncDirectory(directory);
  } catch (error) {
    await Promise.all(staged.map(({ temporary }) => rm(temporary, { force: true })));
    throw unwritable(directory, error);
  }
}

/** @throws AgentError INTERNAL */
export async function removePolicy(directory: string, policy: Parameters<typeof fileOf>[0]): Promise<void> {
  try {
    await unlink(join(directory, fileOf(policy)));
    await syncDirectory(directory);
  } catch (error) {
    throw unwritable(directory, error);
  }
}

async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, 'wx', 0o644);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function unwritable(directory: string, cause: unknown): AgentError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new AgentError('INTERNAL', `Cannot store policies in ${directory}: ${reason}`, {
    hint: 'is the directory writable and the disk not full? See policies.directory',
    cause,
  });
}
