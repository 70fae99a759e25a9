import { constants } from 'node:fs';
import { access, readFile, stat, statfs } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';
import { answers } from '../../agent/api/probe.ts';
import type { Config } from '../../agent/config.ts';
import { findObjects } from '../../agent/installation.ts';
import { type BetweenFacts, gatherBetween } from './between.ts';
import { gatherHardening, type HardeningFacts } from './hardening.ts';
import { gatherKubernetes, type KubernetesFacts } from './kubernetes.ts';

/** What was found out about this node; judging it is `judge`'s. */
export interface Facts {
  readonly node: string;
  readonly kernel: string;
  readonly uid: number;
  /** Bit set of /proc/self/status. */
  readonly capabilities: bigint;
  readonly btf: boolean;
  readonly bpffs: boolean;
  readonly cgroupRoot: string | undefined;
  /** Why the binding cannot be loaded. */
  readonly bindingError: string | undefined;
  readonly features: readonly FeatureFact[];
  readonly objects: string | undefined;
  readonly runtimes: readonly RuntimeFact[];
  readonly policies: { readonly directory: string; readonly readable: boolean };
  readonly agent: { readonly socket: string; readonly answers: boolean };
  readonly statistics: boolean;
  readonly between: BetweenFacts;
  readonly hardening: HardeningFacts;
  readonly kubernetes: KubernetesFacts;
}

export interface FeatureFact {
  readonly name: string;
  readonly what: string;
  readonly since: string;
  readonly supported: boolean;
  readonly reason: string | undefined;
}

export interface RuntimeFact {
  readonly name: string;
  readonly enabled: 'auto' | 'true' | 'false';
  readonly socket: string;
  readonly present: boolean;
  readonly answers: boolean;
}

const BPF_FS_MAGIC = 0xcafe4a11;

/** Looks around. Changes nothing but what feature probes load for a moment. */
export async function gatherFacts(config: Config): Promise<Facts> {
  const binding = await loadBinding();
  const runtime = async (name: 'docker' | 'cri'): Promise<RuntimeFact> => {
    const { enabled, socket } = config.sources[name];
    return { name, enabled, socket, present: await exists(socket), answers: await answers(socket) };
  };
  const { directory } = config.policies;
  const agentAnswers = await answers(config.api.socket);
  const objects = findObjects(config.datapath.objects);
  return {
    node: process.version,
    kernel: release(),
    uid: process.getuid?.() ?? -1,
    capabilities: await effectiveCapabilities(),
    btf: await exists('/sys/kernel/btf/vmlinux'),
    bpffs: await isBpffs(config.datapath.pins),
    cgroupRoot: config.datapath.cgroupRoot === 'auto' ? binding.cgroupRoot : config.datapath.cgroupRoot,
    bindingError: binding.error,
    features: binding.features,
    objects,
    runtimes: [await runtime('docker'), await runtime('cri')],
    policies: { directory, readable: await allowed(directory, constants.R_OK | constants.X_OK) },
    agent: { socket: config.api.socket, answers: agentAnswers },
    statistics: (await text('/proc/sys/kernel/bpf_stats_enabled')).trim() === '1',
    between: await gatherBetween(config, agentAnswers),
    hardening: await gatherHardening(objects),
    kubernetes: await gatherKubernetes(config),
  };
}

interface Binding {
  readonly error: string | undefined;
  readonly features: readonly FeatureFact[];
  readonly cgroupRoot: string | undefined;
}

async function loadBinding(): Promise<Binding> {
  try {
    const { findCgroup2Mount, probeFeatures } = await import('../../libbpf/index.ts');
    return { error: undefined, features: [...probeFeatures().values()], cgroupRoot: findCgroup2Mount() };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error), features: [], cgroupRoot: undefined };
  }
}

/** Of the process; 0 where procfs does not say. */
async function effectiveCapabilities(): Promise<bigint> {
  const match = /^CapEff:\s*([0-9a-f]+)$/m.exec(await text('/proc/self/status'));
  return match?.[1] === undefined ? 0n : BigInt(`0x${match[1]}`);
}

/** Of the directory or of the nearest one above it that is there. */
async function isBpffs(path: string): Promise<boolean> {
  for (let directory = path; directory !== '/'; directory = join(directory, '..')) {
    if (await exists(directory)) return (await statfs(directory)).type === BPF_FS_MAGIC;
  }
  return false;
}

async function text(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch(() => '');
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}

async function allowed(path: string, mode: number): Promise<boolean> {
  return await access(path, mode).then(
    () => true,
    () => false,
  );
}
