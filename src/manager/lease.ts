/** Whose a Lease is, and what to write into it: the rules of Kubernetes' own leader election. Pure. */
import * as z from 'zod';
import type { ApiObject } from '../sources/kubernetes/resource.ts';

export interface LeaseSpec {
  readonly holderIdentity: string;
  readonly leaseDurationSeconds: number;
  /** RFC 3339 with microseconds, by the holder's clock: told to people, never compared. */
  readonly acquireTime: string;
  readonly renewTime: string;
  readonly leaseTransitions: number;
}

export interface Lease extends ApiObject {
  readonly spec: LeaseSpec;
}

/** A lease as it was last seen. `since`: when it was first seen like this, on our own clock that never jumps. */
export interface Observed {
  readonly holder: string;
  readonly durationMs: number;
  readonly renewTime: string;
  readonly since: number;
}

const specSchema = z.object({
  holderIdentity: z.string().nullish(),
  leaseDurationSeconds: z.int().positive().nullish(),
  acquireTime: z.string().nullish(),
  renewTime: z.string().nullish(),
  leaseTransitions: z.int().nonnegative().nullish(),
});

/**
 * What a look at the lease tells. Clocks of holders are never believed: a lease ends when it has looked the same for
 * its duration to us.
 * @param now milliseconds of a clock that never jumps
 */
export function observe(before: Observed | undefined, spec: unknown, now: number): Observed {
  const { holderIdentity, leaseDurationSeconds, renewTime } = specSchema.safeParse(spec).data ?? {};
  const seen = {
    holder: holderIdentity ?? '',
    durationMs: Math.min(leaseDurationSeconds ?? 1, 3_600) * 1_000,
    renewTime: renewTime ?? '',
  };
  const same = before !== undefined && before.holder === seen.holder && before.renewTime === seen.renewTime;
  return { ...seen, since: same ? before.since : now };
}

/** Whether somebody else holds it. */
export function isHeld({ holder, durationMs, since }: Observed, me: string, now: number): boolean {
  return holder !== '' && holder !== me && now < since + durationMs;
}

/**
 * What the holder writes.
 * @param wall milliseconds since the epoch
 */
export function heldBy(me: string, durationMs: number, before: unknown, wall: number): LeaseSpec {
  const { holderIdentity, acquireTime, leaseTransitions } = specSchema.safeParse(before).data ?? {};
  const mine = holderIdentity === me;
  const transitions = leaseTransitions ?? 0;
  return {
    holderIdentity: me,
    leaseDurationSeconds: durationMs / 1_000,
    acquireTime: mine && acquireTime ? acquireTime : microTime(wall),
    renewTime: microTime(wall),
    leaseTransitions: mine || before === undefined ? transitions : transitions + 1,
  };
}

/** What a holder that ends writes: anybody may take it at once. */
export function released(before: LeaseSpec, wall: number): LeaseSpec {
  return { ...before, holderIdentity: '', leaseDurationSeconds: 1, renewTime: microTime(wall) };
}

function microTime(wall: number): string {
  return new Date(wall).toISOString().replace('Z', '000Z');
}
