import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino';
import type { Digest } from './digest.ts';
import { type Event, isTraffic, isViolation } from './event.ts';
import type { EventSink } from './journal.ts';
import { summary } from './summary.ts';

/** Values that never reach the log, wherever an object with such a member is logged. */
const SECRET = ['password', 'token', 'secret', 'authorization', 'cookie', 'privateKey', 'env'];
const REDACTED = SECRET.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);

/** JSON lines, RFC 3339 times, level names; secrets replaced by `[redacted]`. */
export function makeLogger(level: string, destination: DestinationStream): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: REDACTED, censor: '[redacted]' },
    },
    destination,
  );
}

export type LoggedEvents = 'all' | 'refused' | 'none';

/** Containers that come and go, sources that work: of no interest to who wants to read of refusals. */
function isPlainNews(event: Event): boolean {
  return (
    !isTraffic(event) &&
    !isViolation(event) &&
    event.severity === 'info' &&
    (event.type === 'endpoint' || event.type === 'source')
  );
}

function levelOf(event: Event): 'info' | 'warn' | 'error' {
  if (!isTraffic(event) && !isViolation(event)) return event.severity === 'warning' ? 'warn' : event.severity;
  return event.verdict === 'Deny' || event.verdict === 'Alert' ? 'warn' : 'info';
}

/** Logs each different event when it is first seen; repeats are counted, and written by `logRepeats`. */
export function logSink(logger: Logger, which: LoggedEvents): EventSink {
  return (event, entry) => {
    if (which === 'none' || entry.count > 1) return;
    if (which === 'refused' && isPlainNews(event)) return;
    logger[levelOf(event)]({ event }, summary(event));
  };
}

/** One line for each logged event that repeated since the last call. */
export function logRepeats(logger: Logger, digest: Digest, which: LoggedEvents): void {
  if (which === 'none') return;
  for (const { entry, repeats } of digest.takeRepeats()) {
    const { last } = entry;
    if (which === 'refused' && isPlainNews(last)) continue;
    logger[levelOf(last)](
      { event: last, repeats, since: entry.first.time },
      `${summary(last)} (${repeats} times more)`,
    );
  }
}
