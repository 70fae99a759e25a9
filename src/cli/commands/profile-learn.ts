import { writeFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { HeartbeatLine, StatusView } from '../../agent/api/contract.ts';
import type { ProfileView } from '../../agent/api/profile-contract.ts';
import { formatDuration, parseDuration } from '../../agent/duration.ts';
import { AgentError } from '../../agent/errors.ts';
import { type Event, isViolation, type LostEvent } from '../../events/event.ts';
import { Recording } from '../../hardening/learn/observation.ts';
import type { HardeningPolicy } from '../../model/hardening.ts';
import type { IdentityAttributes } from '../../model/identity.ts';
import { policyName } from '../../model/policy.ts';
import { formatWorkload, type Workload } from '../../model/workload.ts';
import { AgentClient } from '../client.ts';
import type { Io } from '../io.ts';
import { safe } from '../output/text.ts';
import { examples, type GlobalOptions, namespaced, wholeNumber } from '../session.ts';

interface LearnOptions {
  readonly for: number;
  readonly out?: string;
  readonly name?: string;
  readonly mode: 'Stage' | 'Enforce';
  readonly children: number;
}

const FIVE_MINUTES_MS = 300_000;
/** Different files of one directory that are told one by one. */
const CHILDREN = 12;
/** How often it is asked whether the kernel has what was applied, and at most how many times. */
const LOOK_MS = 100;
const LOOKS_MOST = 50;
/** How often a person who waits is told. */
const PROGRESS_MS = 10_000;

function duration(text: string): number {
  const found = parseDuration(text);
  if (found !== undefined && found > 0) return found;
  throw new InvalidArgumentError('A time is wanted, as 30s, 5m or 1h.');
}

export function profileLearnCommand(io: Io): Command {
  const command = new Command('learn')
    .description('record what a workload does, and write a policy that allows it and denies the rest')
    .argument('<workload>', 'workload; start it, or start it anew, while it is recorded: much is done at the beginning')
    .addOption(
      new Option('--for <time>', 'how long; Ctrl-C ends it earlier').argParser(duration).default(FIVE_MINUTES_MS, '5m'),
    )
    .option('--out <file>', 'where the policy is written; standard output unless told')
    .option('--name <name>', "the policy's name; the workload's with -learnt unless told")
    .addOption(new Option('--mode <mode>', 'of the policy').choices(['Stage', 'Enforce']).default('Stage'))
    .addOption(
      new Option('--children <count>', 'a directory of which more files were seen is allowed whole')
        .argParser(wholeNumber)
        .default(CHILDREN),
    );
  return examples(namespaced(command), [
    ['profile learn web --out web.yaml', 'five minutes'],
    ['profile learn shop/Service/web --for 1h > web.yaml', 'longer finds more'],
    ['policy apply -f web.yaml', 'it is staged: see what it would deny with "event list --type violation"'],
  ]).action(async (name: string, options: LearnOptions, self: Command) => {
    const { socket, timeout, namespace } = self.optsWithGlobals<GlobalOptions>();
    const clientUntil = (signal: AbortSignal): AgentClient =>
      new AgentClient({ socket, timeoutMs: timeout * 1000, signal });
    const { knownIdentity } = await import('../hardening/policies.ts');
    const identity = await knownIdentity(clientUntil(io.signal), name, namespace);
    const recording = new Recording();
    const losses = await record(io, identity, options.for, recording, clientUntil);
    await write(io, identity, options, recording, losses);
  });
}

/** What was not told. */
interface Losses {
  /** Events this program did not read in time. */
  lost: number;
  /** What the kernel counted and did not tell. */
  suppressed: number;
  /** Events of whatever container for which the kernel had no room meanwhile. */
  unroomed: number;
}

/** Records until the time is over or Ctrl-C. Whatever happens, the policy that records is taken away. */
async function record(
  io: Io,
  identity: IdentityAttributes,
  milliseconds: number,
  recording: Recording,
  clientUntil: (signal: AbortSignal) => AgentClient,
): Promise<Losses> {
  const { recordingPolicy } = await import('../../hardening/learn/recorder.ts');
  const { toManifest } = await import('../../model/manifest.ts');
  const { stringify } = await import('yaml');
  const { workload } = identity;
  const subject = { workload, container: identity.container === '' ? '*' : identity.container, labels: {} };
  const policy = recordingPolicy(workload, subject, new Date(io.now()).toISOString());
  const over = AbortSignal.any([io.signal, AbortSignal.timeout(milliseconds)]);
  // What has to be done after Ctrl-C must not be ended by it.
  const lasting = clientUntil(new AbortController().signal);
  const lostByKernel = async (): Promise<number> => (await lasting.get<StatusView>('/v1/status')).events.lost;
  const before = await lostByKernel();
  const progress = setInterval(
    () => io.complain(`${recording.size} different things so far; ${safe(formatWorkload(workload))} is recorded`),
    PROGRESS_MS,
  );
  try {
    const following = follow(clientUntil(over), formatWorkload(workload), policy, recording);
    await lasting.post('/v1/policies', {
      files: [{ file: 'learning.yaml', text: stringify(toManifest(policy)) }],
      dryRun: false,
    });
    await inKernel(lasting, workload, policy, over);
    io.complain(
      `Recording ${safe(formatWorkload(workload))} for ${formatDuration(milliseconds)}; Ctrl-C ends it earlier.`,
    );
    const losses = await following;
    return { ...losses, unroomed: Math.max(0, (await lostByKernel()) - before) };
  } finally {
    clearInterval(progress);
    const query = { namespace: policy.namespace, kind: policy.kind };
    await lasting.delete(`/v1/policies/${encodeURIComponent(policy.name)}`, query).catch((error: unknown) => {
      if (!(error instanceof AgentError && error.code === 'NOT_FOUND')) throw error;
    });
  }
}

/**
 * Waits until the kernel judges all that runs of the workload by the policy; what it did before would be missing. Where
 * nothing of it runs there is nothing to wait for.
 */
async function inKernel(
  client: AgentClient,
  { kind, name }: Workload,
  policy: Pick<HardeningPolicy, 'namespace' | 'name'>,
  over: AbortSignal,
): Promise<void> {
  for (let looks = 0; looks < LOOKS_MOST && !over.aborted; looks++) {
    const profiles = await client.get<ProfileView[]>('/v1/profiles', { namespace: policy.namespace });
    const own = profiles.filter((profile) => profile.kind === kind && profile.name === name);
    const judged = own.filter(({ policies, enforced }) => enforced && policies.includes(policyName(policy)));
    if (own.length > 0 && judged.length === own.length) return;
    await setTimeout(LOOK_MS, undefined, { signal: over }).catch(() => {});
  }
}

async function follow(
  client: AgentClient,
  workload: string,
  policy: { readonly namespace: string; readonly name: string },
  recording: Recording,
): Promise<Losses> {
  const { observationsOf } = await import('../hardening/observe.ts');
  const losses: Losses = { lost: 0, suppressed: 0, unroomed: 0 };
  const recorder = `${policy.namespace}/${policy.name}`;
  type Line = Event | LostEvent | HeartbeatLine;
  for await (const batch of client.follow<Line>('/v1/events/follow', { types: 'violation', about: workload })) {
    for (const line of batch) {
      if (line.type === 'lost') losses.lost += (line as LostEvent).count;
      else if (line.type !== 'heartbeat' && isViolation(line) && line.staged?.rule?.policy === recorder) {
        losses.suppressed += line.suppressed;
        for (const observation of observationsOf(line)) recording.add(observation);
      }
    }
  }
  return losses;
}

async function write(
  io: Io,
  { workload, container }: IdentityAttributes,
  options: LearnOptions,
  recording: Recording,
  { lost, suppressed, unroomed }: Losses,
): Promise<void> {
  if (recording.size === 0) {
    throw new AgentError('NOT_FOUND', `${formatWorkload(workload)} was not seen to do anything`, {
      hint: 'does it run on this node, and does the kernel judge it? See "sallyport profile status"',
    });
  }
  const { learnPolicy } = await import('../../hardening/learn/policy.ts');
  const { toManifest } = await import('../../model/manifest.ts');
  const { stringify } = await import('yaml');
  const subject = { workload, container: container === '' ? '*' : container, labels: {} };
  const name = options.name ?? `${workload.name}-learnt`;
  const { mode, children } = options;
  const policy = learnPolicy(recording.observations, { namespace: workload.namespace, name, subject, mode, children });
  const head = [
    `Learnt in ${formatDuration(options.for)} from ${recording.size} different things that ${formatWorkload(workload)} did.`,
    'What is not here is denied. Names that vary (processes, numbers, dates, temporary files) are left open.',
  ];
  const missing = lost + suppressed + unroomed;
  if (missing > 0) {
    head.push(
      `Up to ${missing} things it did were not told, because there were too many at once. They are when it does them again:`,
      'record it longer, or apply this staged, see what is reported, and add that.',
    );
  }
  if (recording.dropped > 0)
    head.push(`${recording.dropped} things found no room: it does too much that is different.`);
  for (const line of head.slice(2)) io.complain(line);
  const text = `${head.map((line) => `# ${line}`).join('\n')}\n${stringify(toManifest(policy))}`;
  if (options.out === undefined) return await io.write(text);
  await writeFile(options.out, text);
  io.complain(
    `${policy.rules.length} rules written to ${options.out}. Apply it with "sallyport policy apply -f ${options.out}".`,
  );
}
