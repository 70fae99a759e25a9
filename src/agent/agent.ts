import type { Logger } from 'pino';
import type { GateRecord } from '../datapath/gate/port.ts';
import type { ViolationRecord } from '../datapath/hardening-port.ts';
import { ReasonName } from '../datapath/layouts.gen.ts';
import type { Datapath, Drift, KernelRecord, MapFill } from '../datapath/port.ts';
import type { NameBook, PacketRecord } from '../events/decode.ts';
import { EventJournal, type Notice } from '../events/journal.ts';
import { logRepeats, logSink } from '../events/log.ts';
import type { ViolationNames } from '../events/violation.ts';
import { keepLast } from '../model/keep-last.ts';
import type { PolicyProblem } from '../model/problem.ts';
import { BetweenNodes } from './between/between-nodes.ts';
import { betweenReadings } from './between/readings.ts';
import type { Config } from './config.ts';
import { Enforcement } from './enforcement.ts';
import { asAgentError } from './errors.ts';
import type { Gatekeeper } from './gate/gatekeeper.ts';
import { openGatekeeper } from './gate/open.ts';
import { gateReadings } from './gate/readings.ts';
import type { ContainerHardening } from './hardening/containers.ts';
import { openHardening } from './hardening/open.ts';
import { hardeningReadings } from './hardening/readings.ts';
import type { Cluster } from './kubernetes/cluster.ts';
import { openReporter } from './kubernetes/open.ts';
import { kubernetesReadings } from './kubernetes/readings.ts';
import type { Reporter } from './kubernetes/reporter.ts';
import { idleCollector, thrift } from './memory.ts';
import { readings } from './metrics/readings.ts';
import { addReading, type Measurements, makeMeasurements } from './metrics/registry.ts';
import { metricSources } from './metrics/sources.ts';
import { noticesOf, type SourceHealth } from './notices.ts';
import { inForce, type Ledger } from './policy-ledger.ts';
import { PolicyStore } from './policy-store.ts';
import { Reconciler, type RoundOutcome } from './reconcile.ts';
import { VERSION } from './version.ts';
import type { WorldSource } from './world.ts';

/** What the agent is made of; the kernel, the runtimes and the clock come in from outside. */
export interface AgentParts {
  readonly config: Config;
  readonly node: string;
  readonly datapath: Datapath;
  /** Where cgroup2 is mounted; empty where it is not. */
  readonly cgroupRoot: string;
  readonly world: WorldSource;
  /** Undefined: there is none to ask. */
  readonly cluster?: Cluster | undefined;
  readonly logger: Logger;
  readonly now: () => number;
}

/** Reading the tables back takes time; an answer this fresh is good enough, milliseconds. */
const DRIFT_AGE_MS = 1_000;
const FILL_AGE_MS = 3_000;

/**
 * One node's agent: facts and policies in, one loop that brings the kernel to them, events out. It owns all that it
 * was given. Ending it changes nothing that is enforced.
 */
export class Agent {
  readonly parts: AgentParts;
  readonly startedAt: number;
  readonly journal: EventJournal;
  readonly policies: PolicyStore;
  readonly enforcement: Enforcement;
  readonly hardening: ContainerHardening;
  readonly reconciler: Reconciler;
  readonly measurements: Measurements;
  readonly between: BetweenNodes;
  readonly gatekeeper: Gatekeeper;
  /** Undefined: there is nobody to report to. */
  readonly reporter: Reporter | undefined;
  readonly #stopping = new AbortController();
  readonly #timers: NodeJS.Timeout[] = [];
  /** When the oldest policy change that is not applied yet was made. */
  #changedAt: number | undefined;
  #lastSuccess: number | undefined;
  /** The next round looks at everything, also where nothing is known to have changed. */
  #anew = true;
  #drift: { readonly at: number; readonly found: readonly Drift[] } = { at: 0, found: [] };
  #fill: { readonly at: number; readonly found: readonly MapFill[] } = { at: 0, found: [] };
  #health: readonly SourceHealth[] = [];
  readonly #inForce = keepLast(inForce);
  /** Packets wait while memory is collected. */
  readonly #collector = idleCollector({ served: () => this.between.served });
  readonly #thrift: { close(): void };
  #closing: Promise<void> | undefined;

  constructor(parts: AgentParts) {
    const { config, datapath, logger, now } = parts;
    this.parts = parts;
    this.startedAt = now();
    this.hardening = openHardening(datapath.hardening, {
      cgroupRoot: parts.cgroupRoot,
      state: config.state.directory,
      onFault: (error) => logger.error({ err: error }, 'Cannot remember which executables are told apart, and how'),
    });
    this.enforcement = new Enforcement(datapath, this.hardening);
    this.measurements = makeMeasurements();
    this.journal = new EventJournal({
      names: this.names,
      now,
      keep: config.events.keep,
      queue: config.events.queue,
      followers: config.events.followers,
      observe: (on) => datapath.observe(on),
      sinks: [
        logSink(logger, config.events.log),
        (event) => this.measurements.events.inc({ type: event.type, verdict: 'verdict' in event ? event.verdict : '' }),
      ],
    });
    this.policies = new PolicyStore({
      directory: config.policies.directory,
      state: config.state.directory,
      cluster: parts.cluster?.policies,
      now,
      onChange: (ledger, since) => this.#policiesChanged(ledger, since),
      onProblem: (problem) => this.#policyProblem(problem),
      onFault: (error) => logger.error({ err: error }, error.message),
    });
    this.reconciler = new Reconciler({
      round: () => this.#round(),
      settleMs: config.intervals.settle,
      retryLeastMs: config.intervals.retryLeast,
      retryMostMs: config.intervals.retryMost,
      now,
      onRound: (outcome) => this.#roundEnded(outcome),
    });
    this.between = new BetweenNodes({
      ...parts,
      enforcement: this.enforcement,
      measurements: this.measurements,
      note: (notice) => this.note(notice),
      onElsewhere: () => this.reconciler.request(),
    });
    this.gatekeeper = openGatekeeper({
      ...parts,
      enforcement: this.enforcement,
      hardening: this.hardening,
      measurements: this.measurements,
      note: (notice) => this.note(notice),
    });
    this.reporter = openReporter(this);
    this.#thrift = thrift(() => this.between.served + this.policies.changes);
    const sources = metricSources(this);
    const all = [
      ...readings(sources),
      ...betweenReadings({ ...sources, outlook: () => this.between.outlook }),
      ...gateReadings({ gate: datapath.gate, gatekeeper: this.gatekeeper }),
      ...hardeningReadings({ tables: datapath.hardening, hardening: this.hardening }),
      ...kubernetesReadings({ cluster: parts.cluster, reporter: this.reporter }),
    ];
    for (const reading of all) addReading(this.measurements.registry, reading);
  }

  /** What the kernel's numbers stand for now. */
  get names(): NameBook & ViolationNames {
    const { datapath } = this.parts;
    return {
      identityOf: (slot) => {
        const id = datapath.identityOf(slot);
        return id === undefined ? undefined : this.enforcement.identities.get(id);
      },
      ruleOf: (id) => datapath.currentTables().rules.get(id),
      reasonOf: ReasonName,
      containerOf: (id) => this.hardening.containerOf(id)?.container,
      hardeningRuleOf: (container, rule) => this.hardening.ruleOf(container, rule),
    };
  }

  /** Everything known is enforced. */
  get ready(): boolean {
    return this.#lastSuccess !== undefined && this.reconciler.last?.error === undefined;
  }

  /** When a round last succeeded, milliseconds since the epoch. */
  get lastSuccess(): number | undefined {
    return this.#lastSuccess;
  }

  /** How the sources of facts stand. */
  get sources(): readonly SourceHealth[] {
    const { world, cluster } = this.parts;
    return [...world.sources(), ...(cluster === undefined ? [] : [cluster.health()])];
  }

  /** Aborted when the agent ends. */
  get signal(): AbortSignal {
    return this.#stopping.signal;
  }

  /**
   * Begins to work; resolves when policies and sources have told what they know, or the ones that can have, and the
   * first round ended well.
   */
  async start(): Promise<void> {
    const { config, datapath, world, cluster } = this.parts;
    const { signal } = this;
    // What the kernel tells is listened to before anything can make it speak.
    datapath.onRecords((records) => this.#receive(records));
    datapath.heartbeat();
    const { heartbeat, resync, drift } = config.intervals;
    this.gatekeeper.start();
    this.#every(heartbeat, () => {
      datapath.heartbeat();
      world.rescan();
      this.gatekeeper.look();
    });
    this.#every(resync, () => {
      this.#anew = true;
      this.reconciler.request();
    });
    this.#every(drift, () => void this.drift());
    this.#every(config.events.repeat, () => logRepeats(this.parts.logger, this.journal.digest, config.events.log));
    world.onChange(() => this.reconciler.request());
    cluster?.onChange(() => this.reconciler.request());
    await this.between.start();
    // Who owns its pods is known before the first is looked at.
    const known = cluster === undefined ? world.start(signal) : cluster.start(signal).then(() => world.start(signal));
    await Promise.all([this.policies.start(signal), known]);
    await this.reconciler.applied().catch((error: unknown) => {
      // Told by the round already, and tried again by the loop.
      if (signal.aborted) throw error;
    });
    this.note({
      type: 'agent',
      severity: 'info',
      action: 'started',
      subject: this.parts.node,
      message: this.#greeting(),
    });
  }

  /** Entries of the kernel that are not what was applied last, at most a second old. */
  drift(): readonly Drift[] {
    const { datapath, now, logger } = this.parts;
    if (now() - this.#drift.at < DRIFT_AGE_MS) return this.#drift.found;
    try {
      const found = datapath.drift();
      if (found.length > 0 && this.#drift.found.length === 0) {
        const [first] = found;
        const message = `${found.length} entries are not what was applied; first ${first?.map} ${first?.key}`;
        this.note({ type: 'kernel', severity: 'warning', action: 'drifted', subject: first?.map ?? '', message });
      }
      this.#drift = { at: now(), found };
    } catch (error) {
      logger.error({ err: error }, 'Cannot compare the kernel with what was applied');
    }
    return this.#drift.found;
  }

  /** What the last comparison found. */
  get drifted(): readonly Drift[] {
    return this.#drift.found;
  }

  /** How full the kernel's tables are, at most a few seconds old: counting walks through them. */
  mapFill(): readonly MapFill[] {
    const { datapath, now } = this.parts;
    if (now() - this.#fill.at >= FILL_AGE_MS) this.#fill = { at: now(), found: datapath.mapFill() };
    return this.#fill.found;
  }

  note(notice: Notice): void {
    this.journal.addNotice(notice);
  }

  /** A policy change began now: the time to the kernel is measured from here. */
  policyChangeBegan(at: number): void {
    this.#changedAt = Math.min(this.#changedAt ?? at, at);
  }

  /** Stops working and closes all; what is enforced stays so, unless `fail.stop` says otherwise. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { config, datapath, logger, world, cluster } = this.parts;
    this.#stopping.abort();
    for (const timer of this.#timers) clearInterval(timer);
    this.#collector.close();
    this.#thrift.close();
    await this.reconciler.close();
    await Promise.all([this.policies.close(), world.close(), this.between.close(), this.reporter?.close()]);
    await cluster?.close();
    logRepeats(logger, this.journal.digest, config.events.log);
    this.journal.close();
    // What a former agent left in force is not ours to end before we have taken it over.
    const open = config.fail.stop === 'open' && this.#lastSuccess !== undefined;
    this.gatekeeper.close(open);
    if (open) datapath.remove();
    else datapath.close();
    logger.info(open ? 'Stopped; nothing is enforced' : 'Stopped; enforcement goes on');
  }

  #every(milliseconds: number, work: () => void): void {
    this.#timers.push(setInterval(work, milliseconds));
  }

  #receive(records: readonly KernelRecord[]): void {
    const packets: PacketRecord[] = [];
    const violations: ViolationRecord[] = [];
    const gates: GateRecord[] = [];
    for (const record of records) {
      if (record.kind === 'cgroup') this.parts.world.hint(record);
      else if (record.kind === 'verdict' || record.kind === 'drop') packets.push(record);
      else if (record.kind === 'violation') violations.push(record);
      else if (record.kind === 'gate') gates.push(record);
    }
    this.gatekeeper.receive(gates);
    this.between.receive(records);
    this.journal.addRecords(packets);
    this.journal.addViolations(violations);
  }

  async #round(): Promise<void> {
    const { world, cluster } = this.parts;
    if (!this.policies.synced || !world.synced || cluster?.settled === false) return;
    const changedAt = this.#changedAt;
    const anew = this.#anew;
    this.#changedAt = undefined;
    this.#anew = false;
    const before = this.enforcement.applied;
    try {
      const { endpoints, frontends, complete } = world.snapshot();
      const { hostRevision } = world;
      const { ledger } = this.policies;
      const { policies, hardening } = this.#inForce(ledger, cluster?.extraPolicies());
      const elsewhere = [...this.between.elsewhere(), ...(cluster?.identities() ?? [])];
      const wanted = { endpoints, frontends, complete, hostRevision, policies, hardening, elsewhere };
      await this.enforcement.apply(cluster?.named(wanted) ?? wanted, anew);
    } catch (error) {
      // Still not applied, and as old as it was.
      if (changedAt !== undefined) this.policyChangeBegan(changedAt);
      this.#anew ||= anew;
      throw error;
    } finally {
      this.gatekeeper.applied();
      this.between.applied(this.enforcement.applied);
      for (const notice of noticesOf(before, this.enforcement.applied)) this.note(notice);
    }
    this.#lastSuccess = this.parts.now();
    if (changedAt !== undefined)
      this.measurements.policyLatency.observe(Math.max(0, this.#lastSuccess - changedAt) / 1000);
  }

  #roundEnded({ error, durationMs }: RoundOutcome): void {
    this.measurements.reconciles.inc({ result: error === undefined ? 'success' : 'failure' });
    this.measurements.reconcileDuration.observe(durationMs / 1000);
    this.#watchSources();
    this.reporter?.changed();
    this.#collector.worked();
    if (error === undefined) return;
    const { message, hint } = asAgentError(error);
    this.note({
      type: 'kernel',
      severity: 'error',
      action: 'refused',
      subject: this.parts.node,
      message: hint === undefined ? message : `${message} (${hint})`,
    });
  }

  #policiesChanged(ledger: Ledger, since: number): void {
    this.policyChangeBegan(since);
    const [policies, hardening] = [ledger.policies.length, ledger.hardening.length];
    this.parts.logger.debug({ policies, hardening, errors: ledger.errors.length }, 'Policies were read');
    this.reconciler.request();
  }

  #policyProblem(problem: PolicyProblem): void {
    this.measurements.rejections.inc({ code: problem.code });
    const { file, line, column, path, found, wanted } = problem;
    const message = `${path === '' ? '' : `${path}: `}found ${found}, wanted ${wanted}`;
    const subject = `${file}:${line}:${column}`;
    this.note({ type: 'policy', severity: 'error', action: 'rejected', subject, message });
  }

  #watchSources(): void {
    const health = this.sources;
    for (const source of health) {
      const before = this.#health.find(({ name }) => name === source.name);
      if (before?.healthy === source.healthy || (before === undefined && source.healthy)) continue;
      const { name, healthy, error } = source;
      const message = error ?? (healthy ? 'it works' : 'it does not work yet');
      const [severity, action] = healthy ? (['info', 'works'] as const) : (['warning', 'fails'] as const);
      this.note({ type: 'source', severity, action, subject: name, message });
    }
    this.#health = health;
  }

  #greeting(): string {
    const { datapath, world } = this.parts;
    const taken = datapath.adopted ? ', taken over from a former agent' : '';
    const { policies, hardening } = this.policies.ledger;
    return `${VERSION}: ${world.snapshot().endpoints.length} endpoints, ${policies.length + hardening.length} policies${taken}`;
  }
}
