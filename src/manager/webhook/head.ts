/** The beginning of a question: API servers write who asks what before the objects it is about. Pure. */
import { NODE_REPORTS } from '../../sources/kubernetes/resource.ts';

/** Longest beginning that is looked at, bytes; who asks is in it with all his groups. */
export const LONGEST_HEAD = 16 << 10;

/**
 * The question about a report, as far as its objects, which nobody needs to see: what is long or many of them cannot keep it
 * from being answered.
 * @returns undefined where it is about something else, or has not come that far
 */
export function reportHead(begun: Buffer): unknown {
  const text = begun.toString('utf8', 0, LONGEST_HEAD);
  // Inside of a text its quotes would have backslashes.
  const end = text.indexOf(',"object":');
  if (end < 0) return undefined;
  try {
    const head = JSON.parse(`${text.slice(0, end)}}}`) as { request?: { kind?: { group?: unknown; kind?: unknown } } };
    const { group, kind } = head.request?.kind ?? {};
    return group === NODE_REPORTS.group && kind === NODE_REPORTS.kind ? head : undefined;
  } catch {
    return undefined; // written otherwise: it is read whole
  }
}
