import type { Io } from '../io.ts';
import { type Column, formatTable } from './table.ts';
import { safe, safeJson } from './text.ts';

export const FORMATS = ['table', 'wide', 'json', 'yaml', 'name'] as const;
export type Format = (typeof FORMATS)[number];

export interface PrintOptions {
  readonly output: Format;
  readonly headers: boolean;
}

/** A kind of thing people list: how it is called and what of it is shown. */
export interface Resource<T> {
  readonly kind: string;
  readonly name: (item: T) => string;
  readonly columns: readonly Column<T>[];
}

/** Prints the value where `-o` asks for data. @returns false where it asks for text */
export async function printValue(io: Io, value: unknown, { output }: PrintOptions): Promise<boolean> {
  if (output === 'json') await io.write(`${safeJson(value, 2)}\n`);
  else if (output === 'yaml') await io.write(await yaml(value));
  else return false;
  return true;
}

/** What `-o` says of a list. An empty table says so to people and prints nothing to programs. */
export async function printList<T>(
  io: Io,
  resource: Resource<T>,
  items: readonly T[],
  options: PrintOptions,
): Promise<void> {
  if (await printValue(io, items, options)) return;
  if (options.output === 'name') return await io.write(items.map((item) => nameLine(resource, item)).join(''));
  if (items.length === 0) return io.complain(`No ${resource.kind} found.`);
  await io.write(tableOf(io, resource, items, options));
}

/** What `-o` says of one thing. */
export async function printOne<T>(io: Io, resource: Resource<T>, item: T, options: PrintOptions): Promise<void> {
  if (await printValue(io, item, options)) return;
  if (options.output === 'name') return await io.write(nameLine(resource, item));
  await io.write(tableOf(io, resource, [item], options));
}

/** Prints things as they come: JSON as one line each, YAML as one document each, table rows of fixed width. */
export function printStream<T>(
  io: Io,
  resource: Resource<T>,
  options: PrintOptions,
): (items: readonly T[]) => Promise<void> {
  let first = true;
  return async (items) => {
    if (options.output === 'json') return await io.write(items.map((item) => `${safeJson(item)}\n`).join(''));
    if (options.output === 'yaml') {
      for (const item of items) await io.write(`---\n${await yaml(item)}`);
      return;
    }
    if (options.output === 'name') return await io.write(items.map((item) => nameLine(resource, item)).join(''));
    const headers = options.headers && first;
    if (items.length > 0) first = false;
    await io.write(tableOf(io, resource, items, { ...options, headers }));
  };
}

/** Loaded when it is asked for: most commands end sooner than it takes. */
async function yaml(value: unknown): Promise<string> {
  const { stringify } = await import('yaml');
  return stringify(value);
}

function nameLine<T>(resource: Resource<T>, item: T): string {
  return `${safe(`${resource.kind}/${resource.name(item)}`)}\n`;
}

function tableOf<T>(io: Io, resource: Resource<T>, items: readonly T[], options: PrintOptions): string {
  return formatTable(resource.columns, items, {
    wide: options.output === 'wide',
    headers: options.headers,
    color: io.color,
  });
}
