import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { Answer } from './webhook/review.ts';
import type { RefusedQuestion } from './webhook/server.ts';

/** What a scrape reads. Label values come from closed sets. */
export interface MetricSources {
  readonly version: string;
  readonly leading: () => boolean;
  readonly applier: () => { readonly waiting: number; readonly written: number; readonly failed: number };
  readonly eventsDropped: () => number;
  readonly reflectors: () => readonly {
    readonly resource: string;
    readonly healthy: boolean;
    readonly objects: number;
    readonly lists: number;
    readonly events: number;
    readonly restarts: number;
  }[];
  readonly workloads: () => number;
  readonly policies: () => { readonly accepted: number; readonly refused: number };
  readonly freshReports: () => number;
  /** When the webhook's certificate ends, milliseconds since the epoch. */
  readonly certificateEnds: () => number | undefined;
}

/** The controllers, as metrics name them. */
export type ControllerName =
  | 'identities'
  | 'profiles'
  | 'status'
  | 'tag-keys'
  | 'certificate'
  | 'webhook'
  | 'authority';

export class ManagerMetrics {
  readonly #registry = new Registry();
  readonly #rounds: Counter<'controller' | 'outcome'>;
  readonly #certificates: Counter<'outcome'>;
  readonly #answers: Counter<'kind' | 'allowed'>;
  readonly #warnings: Counter;
  readonly #refused: Counter<'why'>;
  readonly #duration: Histogram;

  constructor(from: MetricSources) {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry });
    this.#rounds = new Counter({
      name: 'sallyport_manager_rounds_total',
      help: 'Rounds of controllers.',
      labelNames: ['controller', 'outcome'],
      registers,
    });
    this.#certificates = new Counter({
      name: 'sallyport_manager_certificates_total',
      help: "Requests for agents' certificates.",
      labelNames: ['outcome'],
      registers,
    });
    this.#answers = new Counter({
      name: 'sallyport_manager_webhook_answers_total',
      help: 'Policies and reports judged for the API server.',
      labelNames: ['kind', 'allowed'],
      registers,
    });
    this.#warnings = new Counter({
      name: 'sallyport_manager_webhook_warnings_total',
      help: 'Warnings given with those answers.',
      registers,
    });
    this.#refused = new Counter({
      name: 'sallyport_manager_webhook_refused_total',
      help: 'Requests that were no question of an API server.',
      labelNames: ['why'],
      registers,
    });
    this.#duration = new Histogram({
      name: 'sallyport_manager_webhook_seconds',
      help: 'How long an answer took.',
      buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2],
      registers,
    });
    this.#read(from);
  }

  round(controller: ControllerName, outcome: 'done' | 'failed'): void {
    this.#rounds.inc({ controller, outcome });
  }

  certificate(outcome: 'signed' | 'denied' | 'failed'): void {
    this.#certificates.inc({ outcome });
  }

  answered({ kind, allowed, warnings }: Pick<Answer, 'kind' | 'allowed' | 'warnings'>, milliseconds: number): void {
    this.#answers.inc({ kind, allowed: String(allowed) });
    this.#warnings.inc(warnings);
    this.#duration.observe(milliseconds / 1_000);
  }

  refused(why: RefusedQuestion): void {
    this.#refused.inc({ why });
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }

  #read(from: MetricSources): void {
    const gauge = (name: string, help: string, value: () => number | undefined): void => {
      new Gauge({
        name: `sallyport_manager_${name}`,
        help,
        registers: [this.#registry],
        collect() {
          const now = value();
          if (now !== undefined) this.set(now);
        },
      });
    };
    const counter = (name: string, help: string, value: () => number): void => {
      new Counter({
        name: `sallyport_manager_${name}_total`,
        help,
        registers: [this.#registry],
        collect() {
          this.reset();
          this.inc(value());
        },
      });
    };
    new Gauge({
      name: 'sallyport_manager_build_info',
      help: 'The version that runs; always 1.',
      labelNames: ['version'],
      registers: [this.#registry],
    }).set({ version: from.version }, 1);
    gauge('leader', 'Whether this replica leads.', () => (from.leading() ? 1 : 0));
    gauge('queue', 'Objects that wait to be written.', () => from.applier().waiting);
    counter('writes', 'Objects written.', () => from.applier().written);
    counter('write_failures', 'Writes that failed; they are tried again.', () => from.applier().failed);
    counter('events_dropped', 'Events left out because their object had too many.', from.eventsDropped);
    gauge('workloads', 'Workloads that have pods.', from.workloads);
    gauge('reports', 'Nodes whose report counts.', from.freshReports);
    gauge('certificate_end_timestamp_seconds', "When the webhook's certificate ends.", () => {
      const ends = from.certificateEnds();
      return ends === undefined ? undefined : ends / 1_000;
    });
    gauge('policies_accepted', 'Policies that can be enforced.', () => from.policies().accepted);
    gauge('policies_refused', 'Policies that cannot.', () => from.policies().refused);
    this.#reflectors(from);
  }

  #reflectors(from: MetricSources): void {
    const read = (
      name: string,
      help: string,
      value: (one: ReturnType<MetricSources['reflectors']>[number]) => number,
    ) =>
      new Gauge({
        name: `sallyport_manager_reflector_${name}`,
        help,
        labelNames: ['resource'],
        registers: [this.#registry],
        collect() {
          for (const one of from.reflectors()) this.set({ resource: one.resource }, value(one));
        },
      });
    read('up', 'Whether a kind of objects is followed.', ({ healthy }) => (healthy ? 1 : 0));
    read('objects', 'Objects that are kept.', ({ objects }) => objects);
    read('lists', 'Times all of them were listed.', ({ lists }) => lists);
    read('events', 'Changes that were told.', ({ events }) => events);
    read('restarts', 'Times it had to begin anew.', ({ restarts }) => restarts);
  }
}
