import { API_VERSION } from '../model/policy.ts';
import type { PolicyStatus } from '../model/schema/status.ts';
import type { KubernetesClient } from '../sources/kubernetes/client.ts';
import { POLICY_RESOURCES } from '../sources/kubernetes/resource.ts';
import type { Applier } from './applier.ts';
import type { Events, PolicyEvent } from './events.ts';
import { digest, type JudgedPolicy, keyOfPolicy } from './policies.ts';

/** Counts change all the time where pods do; they are written this often at most, milliseconds. */
const COUNTS_EVERY_MS = 10_000;
/** What was written shows in what is followed within this time; else it is written again. */
const SHOWS_MS = 15_000;

/** Writes what is to be said of policies, and tells as events what has become otherwise. */
export class PolicyStatuses {
  readonly #client: KubernetesClient;
  readonly #applier: Applier;
  readonly #events: Events;
  readonly #now: () => number;
  readonly #written = new Map<string, { readonly digest: string; readonly said: string; readonly at: number }>();

  constructor(options: {
    readonly client: KubernetesClient;
    readonly applier: Applier;
    readonly events: Events;
    /** Milliseconds of a clock that never jumps. */
    readonly now: () => number;
  }) {
    this.#client = options.client;
    this.#applier = options.applier;
    this.#events = options.events;
    this.#now = options.now;
  }

  /** @returns milliseconds after which to look again; undefined: nothing waits */
  reconcile(policies: readonly JudgedPolicy[], desired: ReadonlyMap<string, PolicyStatus>): number | undefined {
    const prefix = 'policies/';
    this.#applier.drop(prefix, (key) => desired.has(key.slice(prefix.length)));
    for (const key of this.#written.keys()) if (!desired.has(key)) this.#written.delete(key);
    let again: number | undefined;
    for (const judged of policies) {
      const status = desired.get(keyOfPolicy(judged.object));
      const wait = status === undefined ? undefined : this.#bring(judged, status);
      if (wait !== undefined) again = Math.min(again ?? wait, wait);
    }
    return again;
  }

  /** Forgets what it wrote: somebody else may have written since. */
  reset(): void {
    this.#written.clear();
  }

  #bring({ object }: JudgedPolicy, status: PolicyStatus): number | undefined {
    const key = keyOfPolicy(object);
    const wanted = digestOf(status);
    if (wanted === digestOf(object.status)) return undefined;
    const last = this.#written.get(key);
    const now = this.#now();
    const said = saidOf(status);
    if (last !== undefined) {
      const age = now - last.at;
      if (last.digest === wanted && age < SHOWS_MS) return SHOWS_MS - age;
      if (last.said === said && age < COUNTS_EVERY_MS) return COUNTS_EVERY_MS - age;
    }
    const resource = POLICY_RESOURCES.find(({ kind }) => kind === object.kind);
    if (resource === undefined) return undefined;
    const { namespace, name } = object;
    this.#applier.add({
      party: namespace,
      key: `policies/${key}`,
      run: async (signal) => {
        await this.#client.patchStatus(resource, namespace === '' ? { name } : { namespace, name }, status, { signal });
        const before = this.#written.get(key);
        this.#written.set(key, { digest: wanted, said, at: this.#now() });
        // What was written and does not show yet has been told.
        if (before?.said === said) return;
        const regarding = { apiVersion: API_VERSION, kind: object.kind, namespace, name, uid: object.uid };
        for (const event of eventsOf(object.status, status)) this.#events.tell(regarding, event);
      },
    });
    return undefined;
  }
}

/** What tells statuses apart: all but the times, which follow from the rest. */
function digestOf({ conditions = [], ...rest }: PolicyStatus): string {
  const { observedGeneration, nodes, containers } = rest;
  const said = conditions.map(({ type, status, reason, message }) => [type, status, reason, message]);
  const numbers = [nodes?.total, nodes?.enforced, nodes?.failed, containers?.selected, containers?.enforced];
  return digest([observedGeneration, said, numbers]);
}

/** What people want to hear of at once: not counts, nor words that have counts in them. */
function saidOf({ observedGeneration, conditions = [] }: PolicyStatus): string {
  return digest([observedGeneration, conditions.map(({ type, status, reason }) => [type, status, reason])]);
}

/** What has become otherwise between two statuses, for people. */
export function eventsOf(before: PolicyStatus, after: PolicyStatus): PolicyEvent[] {
  const changed = (type: string) => {
    const old = before.conditions?.find((one) => one.type === type);
    const now = after.conditions?.find((one) => one.type === type);
    const same = old?.status === now?.status && old?.reason === now?.reason;
    return now === undefined || (same && before.observedGeneration === after.observedGeneration) ? undefined : now;
  };
  const events: PolicyEvent[] = [];
  const accepted = changed('Accepted');
  if (accepted !== undefined) {
    const good = accepted.status === 'True';
    events.push({
      type: good ? 'Normal' : 'Warning',
      reason: good ? 'Accepted' : 'Refused',
      action: 'Judge',
      note: good ? accepted.message : `${accepted.reason}: ${accepted.message}`,
    });
  }
  const enforced = changed('Enforced');
  if (enforced?.reason === 'SelectsNothing') {
    events.push({ type: 'Warning', reason: 'SelectsNothing', action: 'Select', note: enforced.message });
  } else if (enforced?.reason === 'Failed' || enforced?.reason === 'Degraded') {
    events.push({ type: 'Warning', reason: enforced.reason, action: 'Enforce', note: enforced.message });
  }
  return events;
}
