import {
  fromDocuments,
  type LocatedHardeningPolicy,
  type LocatedPolicy,
  originOf,
  type PolicyDocument,
} from './located-policy.ts';
import type { PolicyProblem } from './problem.ts';
import { type FieldProblem, validateManifest } from './schema/validate.ts';
import { formatPath } from './schema/walk.ts';
import { readYaml, type YamlDocument } from './yaml-document.ts';

/** Most bytes of a policy file, 1 MiB. */
export const MAX_FILE_BYTES = 1 << 20;
/** Most problems reported of one file; the rest is counted in the last one's hint. */
export const MAX_PROBLEMS = 50;

export interface PolicyFile {
  readonly file: string;
  /** Network policies of documents without errors. A file with errors should not be put in force in part. */
  readonly policies: readonly LocatedPolicy[];
  /** The same of hardening policies. */
  readonly hardening: readonly LocatedHardeningPolicy[];
  readonly problems: readonly PolicyProblem[];
}

/**
 * Reads the policies of one file, YAML or JSON, any number of documents. Reads nothing but its arguments and never
 * throws over what is in them.
 * @param file name as problems show it
 */
export function parsePolicyFile(file: string, bytes: Uint8Array): PolicyFile {
  const text = decode(file, bytes);
  if (typeof text !== 'string') return { file, policies: [], hardening: [], problems: [text] };
  const documents: PolicyDocument[] = [];
  const problems: PolicyProblem[] = [];
  for (const document of readYaml(text)) {
    if (document.ok) {
      const validation = validateManifest(document.value);
      if (validation.ok)
        documents.push({ manifest: validation.manifest, origin: originOf(file, document, validation.manifest) });
      else problems.push(...validation.problems.map((problem) => located(file, document, problem)));
    } else {
      const { code, path, found, wanted } = document;
      problems.push({ code, severity: 'error', file, ...document.position, path, found, wanted });
    }
  }
  return { file, ...fromDocuments(documents), problems: bounded(problems) };
}

function located(file: string, document: YamlDocument, { path, at, ...problem }: FieldProblem): PolicyProblem {
  return { severity: 'error', file, ...document.locate(path, at), path: formatPath(path), ...problem };
}

function bounded(problems: PolicyProblem[]): PolicyProblem[] {
  const last = problems[MAX_PROBLEMS - 1];
  if (last === undefined || problems.length === MAX_PROBLEMS) return problems;
  const more = `and ${problems.length - MAX_PROBLEMS} more problems in this file`;
  const hint = last.hint === undefined ? more : `${last.hint}; ${more}`;
  return [...problems.slice(0, MAX_PROBLEMS - 1), { ...last, hint }];
}

function decode(file: string, bytes: Uint8Array): string | PolicyProblem {
  const problem = { severity: 'error', file, line: 1, column: 1, path: '' } as const;
  if (bytes.length > MAX_FILE_BYTES) {
    const wanted = `at most ${MAX_FILE_BYTES} (1 MiB)`;
    return { ...problem, code: 'FILE_TOO_LARGE', found: `${bytes.length} bytes`, wanted };
  }
  const text = new TextDecoder('utf-8').decode(bytes);
  // Control characters mean a binary file also where they are valid UTF-8.
  const broken = text.search(NOT_TEXT);
  if (broken < 0) return text;
  const before = text.slice(0, broken);
  return {
    ...problem,
    code: 'FILE_NOT_TEXT',
    line: before.split('\n').length,
    column: broken - before.lastIndexOf('\n'),
    found: text[broken] === '\uFFFD' ? 'bytes that are not UTF-8' : 'a control character',
    wanted: 'a text file in UTF-8',
  };
}

// U+FFFD is what the decoder puts where bytes are not UTF-8; nobody needs to write it in a policy.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const NOT_TEXT = /[\x00-\x08\x0B\x0C\x0E-\x1F\x7F\uFFFD]/;
