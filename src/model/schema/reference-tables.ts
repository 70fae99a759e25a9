/** Tables of the fields of objects, for the reference pages. */
import * as z from 'zod';
import { unwrap } from './walk.ts';

interface Section {
  readonly title: string;
  readonly schema: z.ZodObject;
}

/** The schema and every object schema in it that has a title, outer ones first, each once. */
export function objectsBelow(root: z.core.$ZodType): Section[] {
  const found = new Map<string, Section>();
  const queue = [root];
  for (let at = queue.shift(); at !== undefined; at = queue.shift()) {
    const schema = unwrap(at);
    if (schema instanceof z.ZodArray) queue.push(schema.element);
    if (!(schema instanceof z.ZodObject)) continue;
    const title = schema.meta()?.title;
    if (title !== undefined) {
      if (found.has(title)) continue;
      found.set(title, { title, schema });
    }
    queue.push(...Object.values(schema.shape));
  }
  return [...found.values()];
}

export function about(schema: z.core.$ZodType): string[] {
  const description = metaOf(schema).description;
  return description === undefined ? [] : [description, ''];
}

export function table(schema: z.ZodObject): string[] {
  return ['| Field | Value | |', '| --- | --- | --- |', ...rows(schema, '')];
}

/** One row a field; fields of objects without a title of their own follow theirs. */
function rows(schema: z.ZodObject, prefix: string): string[] {
  return Object.entries(schema.shape).flatMap(([name, value]: [string, z.core.$ZodType]) => {
    const inner = unwrap(value);
    const { description, default: preset } = metaOf(value);
    const notes = [
      ...(description === undefined ? [] : [description]),
      ...(preset === undefined ? [] : [`Default \`${String(preset)}\`.`]),
      ...(value instanceof z.ZodOptional ? [] : ['Required.']),
    ];
    const row = `| \`${prefix}${name}\` | ${describeValue(inner)} | ${notes.join(' ')} |`;
    const nested = inner instanceof z.ZodObject && metaOf(inner).title === undefined;
    return nested ? [row, ...rows(inner, `${prefix}${name}.`)] : [row];
  });
}

interface Meta {
  readonly description?: string | undefined;
  readonly title?: string | undefined;
  readonly default?: unknown;
}

function metaOf(schema: z.core.$ZodType): Meta {
  const own = z.globalRegistry.get(schema) ?? {};
  if (own.description !== undefined || !(schema instanceof z.ZodOptional)) return own;
  return { ...metaOf(schema.unwrap()), ...own };
}

function describeValue(schema: z.core.$ZodType): string {
  const inner = unwrap(schema);
  if (inner instanceof z.ZodLiteral) return [...inner.values].map((value) => `\`${String(value)}\``).join(', ');
  if (inner instanceof z.ZodEnum) {
    const title = metaOf(inner).title;
    if (title !== undefined) return title;
    return inner.options.map((option) => `\`${option}\``).join(', ');
  }
  if (inner instanceof z.ZodUnion) return inner.options.map(describeValue).join(', or ');
  if (inner instanceof z.ZodArray) return `list of ${describeValue(inner.element)}`;
  if (inner instanceof z.ZodRecord) return 'mapping of texts';
  if (inner instanceof z.ZodObject) {
    const title = metaOf(inner).title;
    return title === undefined ? 'mapping' : `[${title}](#${title.toLowerCase().replaceAll(' ', '-')})`;
  }
  if (inner instanceof z.ZodNumber) return `${inner.minValue}–${inner.maxValue}`;
  if (inner instanceof z.ZodBoolean) return '`true`, `false`';
  return metaOf(inner).title ?? 'text';
}
