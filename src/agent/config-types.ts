import * as z from 'zod';
import { formatDuration, parseDuration } from './duration.ts';

/** The kinds of settings. */

/** Milliseconds, written as `10s`. */
export const duration = (standard: string, least: number, most: number) =>
  z
    .string()
    .transform((text, context) => {
      const value = parseDuration(text);
      const wanted = `a duration from ${formatDuration(least)} to ${formatDuration(most)}, as 500ms, 10s, 5m or 1h`;
      if (value !== undefined && value >= least && value <= most) return value;
      context.addIssue({ code: 'custom', message: `found ${JSON.stringify(text)}, wanted ${wanted}` });
      return z.NEVER;
    })
    .prefault(standard);

export const count = (standard: number, least: number, most: number) => z.int().min(least).max(most).default(standard);
export const path = (standard: string) =>
  z.string().startsWith('/', 'wanted an absolute path').max(4096).default(standard);
/** `host:port` or `[ipv6]:port`. */
export const HOST_PORT = /^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):\d{1,5}$/;

/** `true` or `false`, also as text, as variables have it. */
export const flag = (standard: boolean) =>
  z
    .boolean()
    .or(z.enum(['true', 'false']).transform((text) => text === 'true'))
    .default(standard);
