import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';

type Labels = Readonly<Record<string, string>>;

/** One series at the moment of a scrape. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number | bigint;
}

/** A metric whose values are kept elsewhere and read at each scrape. */
export interface Reading {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  readonly labels: readonly string[];
  readonly read: () => readonly Sample[];
}

/** Registers a reading. prom-client's counters only add, so each scrape begins anew: the source is the counter. */
export function addReading(registry: Registry, reading: Reading): void {
  const { name, help, labels, read } = reading;
  const options = { name, help, labelNames: [...labels], registers: [registry] };
  if (reading.type === 'gauge') {
    new Gauge({
      ...options,
      collect() {
        this.reset();
        // Of a gauge without labels prom-client makes a zero; what is not known has no value at all.
        this.remove({});
        for (const sample of read()) this.set(sample.labels, Number(sample.value));
      },
    });
  } else {
    new Counter({
      ...options,
      collect() {
        this.reset();
        for (const sample of read()) this.inc(sample.labels, Number(sample.value));
      },
    });
  }
}

/** Upper bounds in seconds, from half a millisecond to half a minute. */
const LATENCY = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30];

/** Of prom-client's own: gauges that are named like counters, and what they are totals of. */
const UNCONVENTIONAL = ['handles', 'requests', 'resources'].flatMap((what) => [
  `nodejs_active_${what}`,
  `nodejs_active_${what}_total`,
]);

/** What the agent measures while it works; everything else is read at the scrape. */
export interface Measurements {
  readonly registry: Registry;
  readonly policyLatency: Histogram;
  readonly reconcileDuration: Histogram;
  readonly reconciles: Counter<'result'>;
  readonly events: Counter<'type' | 'verdict'>;
  readonly apiRequests: Counter<'code'>;
  readonly rejections: Counter<'code'>;
  readonly handshakes: Counter<'result' | 'step'>;
  readonly handshakeDuration: Histogram;
  readonly gateHold: Histogram;
  readonly gateOpened: Counter<'reason'>;
  readonly gateTimeouts: Counter<'outcome'>;
}

/** A registry of its own, with those of the process in it. */
export function makeMeasurements(): Measurements {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const name of UNCONVENTIONAL) registry.removeSingleMetric(name);
  const registers = [registry];
  return {
    registry,
    policyLatency: new Histogram({
      name: 'sallyport_policy_latency_seconds',
      help: 'From a change of a policy (its file written, the API called) until the kernel judges by it.',
      buckets: LATENCY,
      registers,
    }),
    reconcileDuration: new Histogram({
      name: 'sallyport_reconcile_duration_seconds',
      help: 'What a round of bringing the kernel to the desired state takes.',
      buckets: LATENCY,
      registers,
    }),
    reconciles: new Counter({
      name: 'sallyport_reconciles_total',
      help: 'Rounds of bringing the kernel to the desired state.',
      labelNames: ['result'],
      registers,
    }),
    events: new Counter({
      name: 'sallyport_events_total',
      help: 'Events received or made, those the kernel held back for their rate not among them.',
      labelNames: ['type', 'verdict'],
      registers,
    }),
    apiRequests: new Counter({
      name: 'sallyport_api_requests_total',
      help: 'Answers of the API by HTTP status.',
      labelNames: ['code'],
      registers,
    }),
    rejections: new Counter({
      name: 'sallyport_policy_rejections_total',
      help: 'Faults found in policies, each when it first appears.',
      labelNames: ['code'],
      registers,
    }),
    handshakes: new Counter({
      name: 'sallyport_handshakes_total',
      help: 'Handshakes that ended, by how and where.',
      labelNames: ['result', 'step'],
      registers,
    }),
    gateHold: new Histogram({
      name: 'sallyport_gate_hold_seconds',
      help: 'From when a container’s first process was stopped until it was let go.',
      buckets: LATENCY,
      registers,
    }),
    gateOpened: new Counter({
      name: 'sallyport_gate_opened_total',
      help: 'Containers let go, by why: protected, told of by nobody, out of time, enforcement ended.',
      labelNames: ['reason'],
      registers,
    }),
    gateTimeouts: new Counter({
      name: 'sallyport_gate_timeouts_total',
      help: 'Containers that waited too long, by what they got.',
      labelNames: ['outcome'],
      registers,
    }),
    handshakeDuration: new Histogram({
      name: 'sallyport_handshake_duration_seconds',
      help: 'From the first packet that was held until the handshake succeeded, at the source.',
      buckets: LATENCY,
      registers,
    }),
  };
}
