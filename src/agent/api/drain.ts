import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';

/** What a refused request may still say before its connection is closed. */
export interface DrainBounds {
  readonly bytesMost: number;
  readonly msMost: number;
}

/**
 * Reads on, and forgets, what a refused request has still to say. Whoever is answered, and cut off, in the middle of
 * a body fails at writing it, and never reads why.
 * @returns whether the body came to its end within bounds
 */
export async function drain(body: IncomingMessage, { bytesMost, msMost }: DrainBounds): Promise<boolean> {
  const said = Number(body.headers['content-length'] ?? 0);
  if (said > bytesMost) return false;
  const bounds = new AbortController();
  const timer = setTimeout(() => bounds.abort(), msMost);
  let length = 0;
  const count = (chunk: Buffer): void => {
    length += chunk.length;
    if (length > bytesMost) bounds.abort();
  };
  try {
    body.on('data', count);
    if (!body.readableEnded && !body.destroyed) await once(body, 'end', { signal: bounds.signal });
    return body.readableEnded;
  } catch {
    return false; // out of bounds, or gone
  } finally {
    clearTimeout(timer);
    body.off('data', count);
  }
}
