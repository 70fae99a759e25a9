import * as z from 'zod';
import { API_VERSION } from '../policy.ts';
import { type ProblemCode, quoteFound } from '../problem.ts';
import { suggest } from '../suggest.ts';
import { POLICY_SCHEMAS, type PolicyManifest } from './kinds.ts';
import { type FieldPath, fieldNames, schemaAt, valueAt } from './walk.ts';

/** What is wrong with a value, without saying in which file. */
export interface FieldProblem {
  readonly code: ProblemCode;
  readonly path: FieldPath;
  /** Whether the name of the field is at fault or its value. */
  readonly at: 'key' | 'value';
  readonly found: string;
  readonly wanted: string;
  readonly hint?: string;
}

export type Validation =
  | { readonly ok: true; readonly manifest: PolicyManifest }
  | { readonly ok: false; readonly problems: readonly FieldProblem[] };

/** Issues of one document that are looked at; a file with more is no policy, and telling causes apart is quadratic. */
const MAX_ISSUES = 500;

/** Checks one document, as YAML or JSON gave it. Each fault is reported once, in the order of the fields. */
export function validateManifest(value: unknown): Validation {
  const chosen = schemaFor(value);
  if ('code' in chosen) return { ok: false, problems: [chosen] };
  const result = chosen.schema.safeParse(value);
  if (result.success) return { ok: true, manifest: result.data };
  return {
    ok: false,
    problems: rootCauses(result.error.issues.slice(0, MAX_ISSUES)).flatMap((i) =>
      fieldProblems(chosen.schema, value, i),
    ),
  };
}

type PolicySchema = (typeof POLICY_SCHEMAS)[keyof typeof POLICY_SCHEMAS];

/** Version and kind first: under a wrong kind every other complaint would be noise. */
function schemaFor(value: unknown): { readonly schema: PolicySchema } | FieldProblem {
  const kinds = Object.keys(POLICY_SCHEMAS);
  const wantedKind = `${kinds.slice(0, -1).join(', ')} or ${kinds.at(-1)}`;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const wanted = 'a mapping with apiVersion, kind, metadata and spec';
    return { code: 'BAD_VALUE', path: [], at: 'value', found: quoteFound(value), wanted };
  }
  const kind = valueAt(value, ['kind']);
  const version = valueAt(value, ['apiVersion']);
  const bad = (path: string, found: unknown, wanted: string, hint?: string): FieldProblem => ({
    code: found === undefined ? 'MISSING_FIELD' : 'UNKNOWN_KIND',
    path: [path],
    at: 'value',
    found: quoteFound(found),
    wanted,
    ...(hint === undefined ? {} : { hint: `did you mean ${hint}` }),
  });
  if (version !== API_VERSION) return bad('apiVersion', version, `"${API_VERSION}"`);
  if (typeof kind === 'string' && Object.hasOwn(POLICY_SCHEMAS, kind)) {
    return { schema: POLICY_SCHEMAS[kind as keyof typeof POLICY_SCHEMAS] };
  }
  return bad('kind', kind, wantedKind, typeof kind === 'string' ? suggest(kind, kinds) : undefined);
}

/**
 * Leaves out what only follows from another fault: checks of an object as a whole run also where a field of it is
 * wrong in itself, and a value may fail several checks that say the same.
 */
function rootCauses(issues: readonly z.core.$ZodIssue[]): readonly z.core.$ZodIssue[] {
  const own = issues.filter((issue) => depthOf(issue) === undefined).map((issue) => issue.path);
  const seen = new Set<string>();
  return issues.filter((issue) => {
    const depth = depthOf(issue);
    if (depth !== undefined) {
      const object = issue.path.slice(0, issue.path.length - depth);
      if (own.some((path) => object.every((part, i) => path[i] === part))) return false;
    }
    const key = JSON.stringify([issue.path, issue.code === 'unrecognized_keys']);
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

/** How far below the object that was checked as a whole the issue points; undefined for faults of a value itself. */
function depthOf(issue: z.core.$ZodIssue): number | undefined {
  return issue.code === 'custom' && typeof issue.params?.depth === 'number' ? issue.params.depth : undefined;
}

function fieldProblems(schema: PolicySchema, root: unknown, issue: z.core.$ZodIssue): FieldProblem[] {
  const path = issue.path.filter((part) => typeof part !== 'symbol');
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownField(schema, path, key));
  if (issue.code === 'invalid_key') {
    const wanted = issue.issues[0]?.message ?? issue.message;
    return [{ code: 'BAD_VALUE', path, at: 'key', found: quoteFound(path.at(-1)), wanted }];
  }
  const value = valueAt(root, path);
  const code = value === undefined ? 'MISSING_FIELD' : 'BAD_VALUE';
  const hint = hintOf(issue, schemaAt(schema, path), value);
  const found = quoteFound(value);
  return [{ code, path, at: 'value', found, wanted: issue.message, ...(hint === undefined ? {} : { hint }) }];
}

function unknownField(schema: PolicySchema, path: FieldPath, key: string): FieldProblem {
  const names = fieldNames(schemaAt(schema, path));
  const meant = suggest(key, names);
  return {
    code: 'UNKNOWN_FIELD',
    path: [...path, key],
    at: 'key',
    found: `the unknown field ${quoteFound(key)}`,
    wanted: names.length === 1 ? `the field ${names[0]}` : `one of the fields ${names.join(', ')}`,
    ...(meant === undefined ? {} : { hint: `did you mean ${meant}` }),
  };
}

function hintOf(issue: z.core.$ZodIssue, schema: z.core.$ZodType | undefined, value: unknown): string | undefined {
  if (issue.code === 'custom') return typeof issue.params?.hint === 'string' ? issue.params.hint : undefined;
  if (typeof value !== 'string') return undefined;
  const meant = suggest(value, choices(schema));
  return meant === undefined ? undefined : `did you mean ${meant}`;
}

/** The texts an enumeration, or a union with one in it, accepts. */
function choices(schema: z.core.$ZodType | undefined): readonly string[] {
  if (schema instanceof z.ZodEnum) return schema.options.map(String);
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((option) => choices(option));
  return [];
}
