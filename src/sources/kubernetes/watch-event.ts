import { KubernetesError, watchRefusal } from './error.ts';
import type { ApiObject } from './resource.ts';
import { isApiObject } from './resource.ts';

/** What a line of a watch says. A bookmark's object has only a version. */
export type WatchEvent =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: ApiObject }
  | { readonly type: 'BOOKMARK'; readonly object: { readonly metadata: { readonly resourceVersion?: string } } };

/** Reads a line. Throws the error it tells of, or KubernetesError SERVER for what is no event. */
export function parseEvent(line: string, attempted: string): WatchEvent {
  const event = parse(line);
  if (typeof event === 'object' && event !== null && 'type' in event && 'object' in event) {
    const { type, object } = event;
    if (type === 'ERROR') throw watchRefusal(object, attempted);
    if (type === 'BOOKMARK') return { type, object: { metadata: bookmark(object) } };
    const known = type === 'ADDED' || type === 'MODIFIED' || type === 'DELETED';
    if (known && isApiObject(object)) return { type, object };
  }
  throw new KubernetesError('SERVER', `Cannot ${attempted}: a line of ${line.length} bytes is no event`);
}

function bookmark(object: unknown): { readonly resourceVersion?: string } {
  const version = (object as { metadata?: { resourceVersion?: unknown } } | null)?.metadata?.resourceVersion;
  return typeof version === 'string' ? { resourceVersion: version } : {};
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined; // no event
  }
}
