/**
 * What a container may do to its host: a privileged one that attacks by its first instruction. It needs a kernel that
 * asks BPF LSM programs; where this one does not, a virtual machine with Debian's runs the same.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { probeFeature } from '../../src/libbpf/index.ts';
import { closeOnExit, waitFor } from '../../test/rig/cleanup.ts';
import { type Docker, startDocker } from '../../test/rig/docker.ts';
import { IMAGE } from '../../test/rig/image.ts';
import { attempt, Background } from '../../test/rig/process.ts';
import { Agent, SALLYPORT } from './agent.ts';
import type { Report } from './report.ts';

const MACHINES = resolve(import.meta.dirname, '../../test/vm');
const POLICY = resolve(import.meta.dirname, 'policies/hardening.yaml');
const KERNEL = '6.12';
/** Where the kernel is told which program handles crashes, on the host, as root: the way out of a container. */
const CORE_PATTERN = '/proc/sys/kernel/core_pattern';
/** Emulation takes its time. */
const START_MS = 300_000;
/** Writes what stands there already, so that the host is none the worse for it. */
const ATTACK = ['sh', '-c', `pattern=$(cat ${CORE_PATTERN}) && echo "$pattern" > ${CORE_PATTERN}`];

/** That part of the demonstration, which may have begun elsewhere before it is told. */
export interface HardeningPart {
  tell(report: Report): Promise<void>;
}

/** Where a machine is needed it starts at once: it is slow, and has time until its turn comes. */
export function beginHardening(): HardeningPart {
  const { supported, reason } = probeFeature('lsm');
  if (supported) return { tell: async (report) => scene(await begun(report)) };
  const machine = startMachine();
  return {
    tell: async (report) => {
      await begun(report);
      report.say(`This kernel asks no BPF LSM programs (${reason}): a virtual machine does, with Linux ${KERNEL}.`);
      await repeat(report, machine);
    },
  };
}

async function begun(report: Report): Promise<Report> {
  report.chapter('What a container may do to its host: a privileged batch job');
  report.prompts = false;
  const question = ['profile', 'explain', 'shop/Service/batch', 'file', 'write', CORE_PATTERN];
  const { stdout, stderr } = await attempt([SALLYPORT, ...question, '-f', POLICY]);
  report.command(`sallyport ${question.join(' ')} -f hardening.yaml`, stdout + stderr);
  return report;
}

function startMachine(): ChildProcess {
  const colour = process.stdout.isTTY && process.env.NO_COLOR === undefined ? '' : 'NO_COLOR=1 ';
  // Modules that programs of the datapath ask.
  const guest = `modprobe nf_conntrack; ${colour}node ${join(import.meta.dirname, 'hardening-guest.ts')}`;
  // The kernel is fetched where it is not there yet.
  const command = `${join(MACHINES, 'kernels')} ${KERNEL} && exec ${join(MACHINES, 'run')} ${KERNEL} '${guest}'`;
  const machine = spawn('bash', ['-c', command], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  closeOnExit(() => {
    try {
      if (machine.exitCode === null && machine.pid !== undefined) process.kill(-machine.pid);
    } catch {
      // It has ended meanwhile.
    }
  });
  return machine;
}

/** What it says is said here, and what it counts is counted. */
async function repeat(report: Report, machine: ChildProcess): Promise<void> {
  let counted = false;
  for await (const line of createInterface(machine.stdout!)) {
    const count = /^demo: (\d+) passed, (\d+) failed$/.exec(line);
    if (count === null) console.log(line);
    else {
      counted = true;
      report.passed += Number(count[1]);
      report.failed += Number(count[2]);
    }
  }
  if (!counted) report.expect('the virtual machine', 'came to its end', `ended before (test/vm/run ${KERNEL} true)`);
}

/** Docker without networks, and an agent: nothing here is about packets. */
export async function scene(report: Report): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'sallyport-demo-'));
  const docker = await startDocker({ args: ['--bridge=none', '--iptables=false', '--ip6tables=false'] });
  const agent = new Agent({
    name: 'batch',
    host: { start: (command) => new Background(command) },
    directory,
    report,
    settings: {
      sources: { docker: { enabled: 'true', socket: docker.socket }, cri: { enabled: 'false' } },
      gate: { cgroups: ['/**/{id}'], timeout: '60s' },
    },
  });
  const close = closeOnExit(() => {
    agent.close();
    docker.close();
    rmSync(directory, { recursive: true, force: true });
  });
  try {
    await agent.start(START_MS);
    await acts(report, agent, docker);
  } finally {
    close();
  }
}

async function acts(report: Report, agent: Agent, docker: Docker): Promise<void> {
  report.expect('without a policy, a write to core_pattern', 'done', await run(report, docker, 'before', ATTACK));
  await agent.apply('hardening');
  report.expect(
    'with it, as the container’s first instruction',
    'refused',
    await run(report, docker, 'attack', ATTACK),
  );
  const neighbour = [
    'sh',
    '-c',
    `cat ${CORE_PATTERN} && echo 1 > /proc/self/oom_score_adj && mount -t tmpfs none /tmp`,
  ];
  report.expect(
    'its neighbours: reading it, other settings, a mount',
    'done',
    await run(report, docker, 'work', neighbour),
  );
  const told = async (): Promise<boolean> => (await violations(agent)).length > 0;
  await waitFor('a violation', told, 10_000).catch(() => {});
  const [first] = await violations(agent);
  report.expect(
    'on record',
    `Deny write ${CORE_PATTERN}`,
    first === undefined ? 'nothing' : `${first.verdict} ${first.action} ${first.object}`,
  );
  report.expect('by the rule', 'shop/batch no-core-pattern-write', `${first?.rule?.policy} ${first?.rule?.ready}`);
  await agent.show('event', 'list', '--type', 'violation');
}

/** One privileged container of the service `batch`, from its first instruction to its end. */
async function run(report: Report, docker: Docker, name: string, command: readonly string[]): Promise<string> {
  const labels = ['com.docker.compose.project=shop', 'com.docker.compose.service=batch'];
  const options = ['--rm', '--privileged', '--network', 'none', '--name', name];
  const words = ['run', ...options, ...labels.flatMap((label) => ['--label', label]), IMAGE, ...command];
  const { status, stdout, stderr } = await docker.attempt(words, { timeout: 120_000 });
  report.command(`docker run --rm --privileged … ${command.at(-1)}`, stdout + stderr);
  if (status === 0) return 'done';
  return /denied|not permitted/i.test(stderr) ? 'refused' : `status ${status}`;
}

interface Violation {
  readonly verdict: string;
  readonly action: string;
  readonly object?: string;
  readonly rule?: { readonly policy: string; readonly ready?: string };
}

async function violations(agent: Agent): Promise<readonly Violation[]> {
  return await agent.ask<Violation[]>('/v1/events', { types: 'violation' });
}
