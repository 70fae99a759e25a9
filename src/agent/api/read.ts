import type * as z from 'zod';
import { AgentError } from '../errors.ts';

/** Checks a part of a request. @throws AgentError USAGE, naming each field, what was found, what is wanted */
export function read<T extends z.ZodType>(schema: T, value: unknown, part: string): z.output<T> {
  const result = schema.safeParse(value ?? {});
  if (result.success) return result.data;
  const faults = result.error.issues.map((issue) => ({ field: issue.path.join('.'), message: issue.message }));
  throw new AgentError('USAGE', `The ${part} of the request is malformed`, { faults });
}
