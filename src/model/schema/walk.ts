import * as z from 'zod';

/** Names and indices from the document down. */
export type FieldPath = readonly (string | number)[];

/** `spec.ingress[0].from`. Names that are no plain words are quoted: `metadata.labels["a/b"]`. */
export function formatPath(path: FieldPath): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else if (/^[A-Za-z_][A-Za-z0-9_-]{0,63}$/.test(part)) text += text === '' ? part : `.${part}`;
    else text += `[${JSON.stringify(part.length > 64 ? `${part.slice(0, 61)}...` : part)}]`;
  }
  return text;
}

/** The schema without the wrappers that only say a value may be absent. */
export function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  let inner = schema;
  while (inner instanceof z.ZodOptional) inner = inner.unwrap();
  return inner;
}

/** The schema of the value at a path; undefined where the schema has no such place. */
export function schemaAt(schema: z.core.$ZodType, path: FieldPath): z.core.$ZodType | undefined {
  let at: z.core.$ZodType | undefined = unwrap(schema);
  for (const part of path) {
    if (at instanceof z.ZodObject) at = Object.hasOwn(at.shape, part) ? at.shape[part] : undefined;
    else if (at instanceof z.ZodArray) at = at.element;
    else if (at instanceof z.ZodRecord) at = at.valueType;
    else return undefined;
    if (at !== undefined) at = unwrap(at);
  }
  return at;
}

/** The names of an object schema's fields; none for other schemas. */
export function fieldNames(schema: z.core.$ZodType | undefined): readonly string[] {
  return schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
}

/** The value at a path of plain data; undefined where there is none. */
export function valueAt(value: unknown, path: FieldPath): unknown {
  let at = value;
  for (const part of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, part)) return undefined;
    at = (at as Record<string | number, unknown>)[part];
  }
  return at;
}
