import { release } from 'node:os';
import type { Closed } from '../compile/tables.ts';
import type { MapFill } from '../datapath/port.ts';
import { cutProblems } from '../model/cut-labels.ts';
import type { Agent } from './agent.ts';
import type { ProblemView, StatusView } from './api/contract.ts';
import { isoTime } from './api/views.ts';
import { HardeningAnswers } from './hardening/answers.ts';
import { faultOf } from './policy-fault.ts';
import { warningsOf } from './policy-ledger.ts';
import { VERSION } from './version.ts';

/** A table fuller than this is a problem before it is full. */
const NEARLY_FULL = 0.9;
/** Errors of policies that are told; `problems` has their number. */
const ERRORS_MOST = 200;
/** The kernel throws the oldest out of these by itself. */
const SELF_EMPTYING = 'lru';

/** How the agent and the kernel stand, as one value. */
export function statusOf(agent: Agent): StatusView {
  const { config, datapath, node, world } = agent.parts;
  const { endpoints, policies: network, hardening } = agent.enforcement.applied;
  const policies = [...network, ...hardening];
  const status = new Map(datapath.endpointStatus().map((one) => [one.id, one]));
  const unprotected = endpoints.filter(({ mode }) => mode === 'unprotected').length;
  const enforced = endpoints.filter(({ id, mode }) => mode !== 'unprotected' && status.get(id)?.enforced).length;
  const { ledger } = agent.policies;
  const maps = agent.mapFill();
  const answers = new HardeningAnswers(datapath.hardening, agent.hardening);
  return {
    version: VERSION,
    node,
    domain: config.domain,
    pid: process.pid,
    startedAt: isoTime(agent.startedAt),
    ready: agent.ready,
    problems: [...problemsOf(agent, maps), ...answers.problems()],
    kernel: release(),
    datapath: {
      adopted: datapath.adopted,
      revision: datapath.revision,
      pins: config.datapath.pins,
      programs: datapath.programs().map(({ name, id, attachments, runCount, runTimeNs }) => ({
        name,
        id,
        attachments,
        runCount: Number(runCount),
        runTimeNs: Number(runTimeNs),
      })),
      maps,
    },
    endpoints: { total: endpoints.length, enforced, unprotected, failed: endpoints.length - enforced - unprotected },
    identities: agent.enforcement.identities.size,
    policies: {
      enforce: policies.filter(({ mode }) => mode === 'Enforce').length,
      stage: policies.filter(({ mode }) => mode === 'Stage').length,
      hardening: hardening.length,
      directory: config.policies.directory,
      errors: ledger.errors
        .slice(0, ERRORS_MOST)
        .map((problem): ProblemView => ({ ...faultOf(problem), inForce: problem.inForce })),
    },
    sources: agent.sources.map(({ since, synced, ...source }) => ({ ...source, since: isoTime(since) })),
    warnings: [
      ...world.snapshot().warnings,
      ...warningsOf(ledger).map((problem) => {
        const { file, line, message } = faultOf(problem);
        return { code: problem.code, subject: `${file}:${line}`, message };
      }),
    ],
    reconcile: reconcileOf(agent),
    events: {
      lost: Number(datapath.eventsLost()),
      followers: agent.journal.followers,
      lostToFollowers: agent.journal.lostToFollowers,
    },
    drift: agent.drift(),
    between: agent.between.outlook.status(),
    hardening: answers.status(),
    gate: gateOf(agent),
  };
}

function gateOf({ gatekeeper, parts }: Agent): StatusView['gate'] {
  const { missing, guarded } = parts.datapath.gate;
  return {
    on: gatekeeper.enabled && missing === undefined,
    ...(missing === undefined ? {} : { missing }),
    guarded,
    waiting: gatekeeper.waiting.map(({ name, cgroup, pid, stoppedAt }) => ({
      name,
      cgroup: String(cgroup),
      pid,
      since: isoTime(stoppedAt),
    })),
  };
}

function reconcileOf({ reconciler }: Agent): StatusView['reconcile'] {
  const { rounds, failures, last } = reconciler;
  return {
    rounds,
    failures,
    ...(last === undefined ? {} : { lastAt: isoTime(last.startedAt), lastMs: last.durationMs }),
    ...(last?.error === undefined ? {} : { error: last.error.message }),
  };
}

/** Of those who are closed, policies of too many rules and workloads of too many labels each, how many are named. */
const CLOSED_TOLD = 10;

const TOO_MUCH: Readonly<Record<Closed, (title: string) => string>> = {
  size: (title) =>
    `the rules of ${title}, with others for the same, are too many: whom they select is denied everything`,
  share: (title) =>
    `workloads ${title} selects have, with others of their namespace, more rules and peers than their share of the tables: some are denied everything`,
};

function problemsOf(agent: Agent, maps: readonly MapFill[]): string[] {
  const { world } = agent.parts;
  const { gate, uncountedRules } = agent.parts.datapath;
  const { ledger, synced } = agent.policies;
  const error = agent.reconciler.last?.error;
  const directory = agent.policies.status();
  return [
    ...(synced ? [] : ['the policies have not been read yet']),
    ...(directory.error === undefined ? [] : [directory.error.message]),
    ...(error === undefined ? [] : [`the last round failed: ${error.message}`]),
    ...(ledger.errors.length === 0 ? [] : [`${ledger.errors.length} errors in policy files`]),
    ...agent.sources
      .filter(({ healthy }) => !healthy)
      .map(({ name, error: why }) => `source ${name} does not work${why === undefined ? ' yet' : `: ${why}`}`),
    ...(world.snapshot().complete ? [] : ['not every source has told what it knows: nothing is taken away meanwhile']),
    ...(agent.enforcement.slotless === 0
      ? []
      : [`no slot for ${agent.enforcement.slotless} identities of elsewhere: raise datapath.sizes.subjects`]),
    ...[...agent.enforcement.overloaded].slice(0, CLOSED_TOLD).map(([title, why]) => TOO_MUCH[why](title)),
    ...(uncountedRules === 0
      ? []
      : [`${uncountedRules} rules are enforced and not counted: there are not so many counters`]),
    ...cutProblems(agent.enforcement.applied.endpoints).slice(0, CLOSED_TOLD),
    ...(agent.parts.cluster?.problems() ?? []),
    ...agent.between.outlook.problems(),
    ...agent.gatekeeper.problems,
    ...(agent.gatekeeper.enabled && gate.missing !== undefined ? [`new containers do not wait: ${gate.missing}`] : []),
    ...maps
      .filter(({ type, entries, maxEntries }) => !type.includes(SELF_EMPTYING) && entries > maxEntries * NEARLY_FULL)
      .map(({ name, entries, maxEntries }) => `table ${name} is nearly full: ${entries} of ${maxEntries}`),
  ];
}
