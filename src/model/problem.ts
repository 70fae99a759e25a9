/** A place in a file; lines and columns start at 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface Place extends Position {
  readonly file: string;
}

/** What can be wrong with policies. Every code has a test that provokes it. */
export const PROBLEM_CODES = {
  FILE_UNREADABLE: 'the file cannot be read',
  FILE_TOO_LARGE: 'the file is larger than a policy file may be',
  FILE_NOT_TEXT: 'the file is not UTF-8 text',
  SYNTAX: 'the file is not valid YAML',
  TOO_DEEP: 'values lie too deep inside one another',
  TOO_MANY_DOCUMENTS: 'the file has more documents than a policy file may have',
  ALIASES: 'YAML aliases repeat too much, or a value contains itself',
  DUPLICATE_KEY: 'a field is given twice',
  UNKNOWN_KIND: 'apiVersion and kind name nothing we know',
  UNKNOWN_FIELD: 'there is no such field here',
  MISSING_FIELD: 'a field that must be given is not',
  BAD_VALUE: 'a value is not of the wanted kind or form',
  DUPLICATE_POLICY: 'two policies have the same kind, namespace and name',
  PRIORITY_CONFLICT: 'two policies of equal priority contradict each other on the same workload',
  RULE_SHADOWED: 'a rule can never decide, because another one always decides first',
  SELECTS_NOTHING: 'a policy selects no workload that is present',
  DNS_LOCKED_OUT: 'a policy denies what it does not list and nothing lets name lookups out',
  UNKNOWN_READY_RULE: 'a rule names a ready rule that the catalogue does not have',
  PORT_NAME_UNUSED: 'a port name can never be looked up',
} as const;

export type ProblemCode = keyof typeof PROBLEM_CODES;

/** One thing that is wrong, where, and what would be right. */
export interface PolicyProblem extends Place {
  readonly code: ProblemCode;
  /** Errors keep the policy out; warnings do not. */
  readonly severity: 'error' | 'warning';
  /** Field path inside the document, `spec.ingress[0].ports[1].port`; empty for the document or file as a whole. */
  readonly path: string;
  /** What is there, quoted as JSON and cut to a readable length where it is a value. */
  readonly found: string;
  readonly wanted: string;
  readonly hint?: string;
  /** Other places that take part, say the other of two policies with one name. */
  readonly related?: readonly Place[];
}

/** `file:line:column: error: path: found …, wanted … (hint)`. */
export function formatProblem(problem: PolicyProblem): string {
  const field = problem.path === '' ? '' : `${problem.path}: `;
  const hint = problem.hint === undefined ? '' : ` (${problem.hint})`;
  const related = (problem.related ?? []).map((place) => `; see ${formatPlace(place)}`).join('');
  return `${formatPlace(problem)}: ${problem.severity}: ${field}found ${problem.found}, wanted ${problem.wanted}${hint}${related}`;
}

/** `file:line:column`. */
function formatPlace(place: Place): string {
  return `${place.file}:${place.line}:${place.column}`;
}

/** A value as `found` shows it: JSON, at most 80 characters. */
export function quoteFound(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'nothing (null)';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : `a list of ${value.length}`;
  if (typeof value === 'object') return Object.keys(value).length === 0 ? 'an empty mapping' : 'a mapping';
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/**
 * The problem of a policy file its reader could not read, so that it shows beside the others.
 * @param reason the system's: `EACCES: permission denied`
 */
export function unreadableFile(file: string, reason: string): PolicyProblem {
  return {
    code: 'FILE_UNREADABLE',
    severity: 'error',
    file,
    line: 1,
    column: 1,
    path: '',
    found: reason,
    wanted: 'a file the agent can read',
  };
}
