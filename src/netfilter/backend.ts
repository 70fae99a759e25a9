import { existsSync } from 'node:fs';
import { NetfilterError } from './errors.ts';
import type { QueueRule, RuleBackend } from './port.ts';
import type { Named } from './rule-name.ts';

/** A rule that a backend has made. */
export interface Made {
  readonly families: readonly (4 | 6)[];
  /** Whether it is there, unchanged. */
  verify(): Promise<boolean>;
  /** Puts back what was before. */
  undo(): Promise<void>;
}

/** One way to make our rule. Failures are `BackendError`s. */
export interface Backend {
  readonly kind: RuleBackend;
  /** Those of `owner` that are there, in this network namespace; no matter who made them. */
  find(owner: string): Promise<readonly Named[]>;
  /** Makes the new one and takes the older ones away, for both IP versions, or changes nothing. */
  replace(rule: QueueRule, older: readonly Named[]): Promise<Made>;
  remove(names: readonly string[]): Promise<void>;
}

/** What a backend said. Never leaves this folder. */
export class BackendError extends Error {
  override readonly name = 'BackendError';
  /** The system does not have the tool. */
  readonly missing: boolean;

  constructor(message: string, missing = false) {
    super(message);
    this.missing = missing;
  }

  get refused(): boolean {
    return /not permitted|permission denied|you must be root/i.test(this.message);
  }
}

export function ruleError(attempted: string, failures: readonly BackendError[]): NetfilterError {
  const reason = failures.map((failure) => failure.message).join('; ');
  const refused = failures.some((failure) => failure.refused);
  return new NetfilterError(refused ? 'PERMISSION' : 'RULE', { attempted, reason });
}

/** Whether this network namespace has IPv6 at all; `ipv6.disable=1` takes it away. */
export function hasIpv6(): boolean {
  return existsSync('/proc/thread-self/net/if_inet6');
}
