import type { HardeningPolicy } from '../model/hardening.ts';
import { hardeningSetErrors } from '../model/hardening-set.ts';
import type { LocatedHardeningPolicy, LocatedPolicies, LocatedPolicy } from '../model/located-policy.ts';
import type { Policy } from '../model/policy.ts';
import { type PolicyFile as ParsedFile, parsePolicyFile } from '../model/policy-file.ts';
import { policySetErrors, policySetWarnings } from '../model/policy-set.ts';
import { type PolicyProblem, unreadableFile } from '../model/problem.ts';
import type { PolicyFile } from '../sources/policies.ts';
import { nameOfPath, pathOfName } from './policy-place.ts';
import { READY_NAMES } from './ready-names.ts';

/** A version of a file that was good by itself and beside the others. */
export interface Version extends LocatedPolicies {
  readonly bytes: Buffer;
}

/** A fault, and what stays in force instead of the file it is in. */
export interface LedgerProblem extends PolicyProblem {
  readonly inForce: 'the version before' | 'nothing';
}

/** Which policies are in force, and why others are not. */
export interface Ledger {
  /** By file name. */
  readonly accepted: ReadonlyMap<string, Version>;
  /** Who may talk to whom. */
  readonly policies: readonly LocatedPolicy[];
  /** What containers may do to this node. */
  readonly hardening: readonly LocatedHardeningPolicy[];
  readonly errors: readonly LedgerProblem[];
}

export const EMPTY_LEDGER: Ledger = { accepted: new Map(), policies: [], hardening: [], errors: [] };

/** What a ledger puts in force, and policies that no file says. */
export function inForce(
  { policies, hardening }: Ledger,
  more: readonly Policy[] = [],
): { readonly policies: readonly Policy[]; readonly hardening: readonly HardeningPolicy[] } {
  return {
    policies: [...policies.map(({ policy }) => policy), ...more],
    hardening: hardening.map(({ policy }) => policy),
  };
}

/** Versions found to be good beside each other: of the next ones only what is new has to be held against them. */
const coherent = new WeakSet<ReadonlyMap<string, Version>>();

/** Parsed files by the object the directory gave: the same object is the same content. */
export type ParseCache = WeakMap<PolicyFile, ParsedFile>;

/**
 * Decides what is in force after the files changed. A file with an error, in itself or beside others, is left out
 * whole; its former version stays in force if it had one. Where two files contradict each other, the one that
 * changed is at fault; where both did, the later by name.
 * @param before what was in force; its versions may be those of an earlier run
 * @param ready names of the ready rules there are; the same ones in every call
 */
export function settle(
  before: ReadonlyMap<string, Version>,
  files: readonly PolicyFile[],
  directory: string,
  cache: ParseCache = new WeakMap(),
  ready: ReadonlySet<string> = READY_NAMES,
): Ledger {
  const wanted = new Map<string, Version>();
  const problems = new Map<string, readonly PolicyProblem[]>();
  for (const file of files) {
    const former = before.get(file.name);
    const fresh = isFormer(file, former) ? former : versionOf(file, directory, cache, problems);
    const version = fresh ?? former;
    if (version !== undefined) wanted.set(file.name, version);
  }
  expelContradictions(wanted, before, problems, { directory, ready });
  coherent.add(wanted);
  const errors = [...problems].flatMap(([name, found]) =>
    found.map(
      (problem): LedgerProblem => ({ ...problem, inForce: wanted.has(name) ? 'the version before' : 'nothing' }),
    ),
  );
  return { accepted: wanted, ...policiesOf(wanted, [...wanted.keys()].sort()), errors };
}

const warnings = new WeakMap<Ledger, readonly PolicyProblem[]>();

/** What is in force and probably not meant. Looked for when first asked: it takes longer than settling. */
export function warningsOf(ledger: Ledger): readonly PolicyProblem[] {
  const known = warnings.get(ledger) ?? policySetWarnings(ledger.policies);
  warnings.set(ledger, known);
  return known;
}

/** The key by which a problem is known to be the same one later: not what was found, which grows while it is written. */
export function problemKey({ code, file, line, path }: PolicyProblem): string {
  return [code, file, line, path].join(' ');
}

/** Whether the file is byte for byte what was in force, and need not be parsed. */
export function isFormer(file: PolicyFile, former: Version | undefined): boolean {
  return former !== undefined && file.content.ok && sameBytes(former.bytes, file.content.bytes);
}

/** Mostly the same object: the directory gives what it gave before. */
function sameBytes(a: Buffer, b: Buffer): boolean {
  return a === b || a.equals(b);
}

/** What is in a file; once for each object the directory gives. */
function parseFile(file: PolicyFile, directory: string, cache: ParseCache): ParsedFile {
  const known = cache.get(file);
  if (known !== undefined) return known;
  const path = pathOfName(directory, file.name);
  const { content } = file;
  const parsed = content.ok
    ? parsePolicyFile(path, content.bytes)
    : { file: path, policies: [], hardening: [], problems: [unreadable(path, content.error)] };
  cache.set(file, parsed);
  return parsed;
}

function versionOf(
  file: PolicyFile,
  directory: string,
  cache: ParseCache,
  problems: Map<string, readonly PolicyProblem[]>,
): Version | undefined {
  const { policies, hardening, problems: found } = parseFile(file, directory, cache);
  const errors = found.filter(({ severity }) => severity === 'error');
  if (file.content.ok && errors.length === 0) return { bytes: file.content.bytes, policies, hardening };
  problems.set(file.name, errors);
  return undefined;
}

function unreadable(path: string, error: { readonly code: string; readonly message: string }): PolicyProblem {
  const problem = unreadableFile(path, error.message);
  return error.code === 'TOO_LARGE' ? { ...problem, code: 'FILE_TOO_LARGE', wanted: 'a smaller file' } : problem;
}

/**
 * Takes files that contradict others back to their former version, until none does. Each turn takes at least one
 * version away and none is given back, so that it ends.
 */
function expelContradictions(
  wanted: Map<string, Version>,
  before: ReadonlyMap<string, Version>,
  problems: Map<string, readonly PolicyProblem[]>,
  { directory, ready }: { readonly directory: string; readonly ready: ReadonlySet<string> },
): void {
  const nameOf = (path: string): string => nameOfPath(directory, path);
  const changed = (name: string): boolean => wanted.get(name) !== before.get(name);
  for (;;) {
    const names = [...wanted.keys()].sort();
    const [known, fresh] = [names.filter((name) => !changed(name)), names.filter(changed)];
    if (fresh.length === 0 && coherent.has(before)) return;
    // Of two that contradict each other the later in this order is faulted: one that changed.
    const all = policiesOf(wanted, [...known, ...fresh]);
    const news = coherent.has(before) ? policiesOf(wanted, fresh) : all;
    const errors = [
      ...policySetErrors(all.policies, new Set(news.policies)),
      ...hardeningSetErrors(all.hardening, ready, new Set(news.hardening)),
    ];
    if (errors.length === 0) return;
    const expelled = new Set<string>();
    for (const problem of errors) {
      const involved = [problem, ...(problem.related ?? [])].map(({ file }) => nameOf(file));
      // One of a pair is enough.
      if (involved.some((name) => expelled.has(name))) continue;
      const guilty = nameOf(problem.file);
      expelled.add(guilty);
      problems.set(guilty, [...(problems.get(guilty) ?? []), problem]);
    }
    for (const name of expelled) {
      const former = before.get(name);
      if (former === undefined || !changed(name)) wanted.delete(name);
      else wanted.set(name, former);
    }
  }
}

function policiesOf(versions: ReadonlyMap<string, Version>, names: readonly string[]): LocatedPolicies {
  return {
    policies: names.flatMap((name) => versions.get(name)?.policies ?? []),
    hardening: names.flatMap((name) => versions.get(name)?.hardening ?? []),
  };
}
