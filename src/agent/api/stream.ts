import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Subscription } from '../../events/subscription.ts';
import type { HeartbeatLine } from './contract.ts';
import { NDJSON } from './limits.ts';

/**
 * Writes a follower's events as lines of JSON until the caller hangs up or the subscription ends. A caller that
 * does not read stops the writing; events then wait in the subscription's bounded queue, and what does not fit is
 * counted there and told to the caller in a `lost` line. In quiet times a `heartbeat` line says that it lives.
 */
export async function streamEvents(
  response: ServerResponse,
  subscription: Subscription,
  options: { readonly heartbeatMs: number; readonly now: () => number },
): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => {
    gone.abort();
    subscription.close();
  });
  response.writeHead(200, { 'content-type': NDJSON, 'cache-control': 'no-store' });
  // Headers go out at once, so that the caller knows it follows before the first event.
  response.flushHeaders();
  for (;;) {
    const batch = await subscription.next(options.heartbeatMs);
    if (batch === undefined || response.destroyed) break;
    const heartbeat: HeartbeatLine = { type: 'heartbeat', time: new Date(options.now()).toISOString() };
    const lines = (batch.length === 0 ? [heartbeat] : batch).map((event) => `${JSON.stringify(event)}\n`);
    if (response.write(lines.join(''))) continue;
    await once(response, 'drain', { signal: gone.signal }).catch((error: unknown) => {
      if (!gone.signal.aborted) throw error;
    });
  }
  subscription.close();
  if (!response.destroyed) response.end();
}
