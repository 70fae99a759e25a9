import { isNodeEnough, NODE_LEAST } from '../requirements.ts';
import { judgeBetween } from './between.ts';
import type { Facts, FeatureFact } from './facts.ts';
import { judgeHardening } from './hardening.ts';
import { judgeKubernetes } from './kubernetes.ts';

/** `fail`: the agent cannot do its work; `warn`: it can, with less. */
export type State = 'ok' | 'info' | 'warn' | 'fail';

export interface Check {
  readonly name: string;
  readonly state: State;
  /** What was found, and what follows from it. */
  readonly found: string;
  /** What to do about it. */
  readonly hint?: string;
}

const CAPABILITIES: readonly [name: string, bit: number, why: string][] = [
  ['CAP_BPF', 39, 'loads programs and maps'],
  ['CAP_NET_ADMIN', 12, 'attaches to interfaces'],
  ['CAP_PERFMON', 38, 'loads tracing programs'],
  ['CAP_SYS_ADMIN', 21, 'enters network namespaces, mounts bpffs'],
];

/** What the facts mean for the agent, worst news not hidden: pure. */
export function judge(facts: Facts): Check[] {
  return [
    nodeVersion(facts),
    { name: 'kernel', state: 'ok', found: facts.kernel },
    ...privileges(facts),
    binding(facts),
    ...mounts(facts),
    ...features(facts),
    ...judgeHardening(facts.hardening, featureOf(facts, 'lsm')),
    objects(facts),
    ...runtimes(facts),
    policies(facts),
    ...judgeKubernetes(facts.kubernetes),
    ...judgeBetween(facts.between),
    agent(facts),
    {
      name: 'run time of programs',
      state: 'info',
      found: facts.statistics ? 'measured' : 'not measured',
      ...(facts.statistics ? {} : { hint: 'sysctl kernel.bpf_stats_enabled=1 measures it, at some 10 ns a packet' }),
    },
  ];
}

/** Whether the agent can work here. */
export function healthy(checks: readonly Check[]): boolean {
  return checks.every((check) => check.state !== 'fail');
}

function nodeVersion({ node }: Facts): Check {
  if (isNodeEnough(node)) return { name: 'Node.js', state: 'ok', found: node };
  return { name: 'Node.js', state: 'fail', found: `${node}, wanted ${NODE_LEAST.join('.')} or later` };
}

function privileges({ uid, capabilities }: Facts): Check[] {
  const missing = CAPABILITIES.filter(([, bit]) => ((capabilities >> BigInt(bit)) & 1n) === 0n);
  if (missing.length === 0) return [{ name: 'privileges', state: 'ok', found: `uid ${uid} with all that is needed` }];
  return missing.map(([name, , why]) => ({
    name: 'privileges',
    state: 'fail',
    found: `no ${name}, which ${why}`,
    hint: 'run as root',
  }));
}

function binding({ bindingError }: Facts): Check {
  if (bindingError === undefined) return { name: 'libbpf binding', state: 'ok', found: 'loaded' };
  return { name: 'libbpf binding', state: 'fail', found: bindingError, hint: 'make build' };
}

function mounts({ btf, bpffs, cgroupRoot }: Facts): Check[] {
  return [
    btf
      ? { name: 'kernel types (BTF)', state: 'ok', found: '/sys/kernel/btf/vmlinux' }
      : {
          name: 'kernel types (BTF)',
          state: 'fail',
          found: 'absent',
          hint: 'a kernel with CONFIG_DEBUG_INFO_BTF is wanted',
        },
    bpffs
      ? { name: 'bpffs', state: 'ok', found: 'mounted' }
      : { name: 'bpffs', state: 'info', found: 'not mounted: the agent mounts it' },
    cgroupRoot === undefined
      ? {
          name: 'cgroup2',
          state: 'warn',
          found: 'not mounted: containers of one pod cannot be told apart, host-network ones not protected',
          hint: 'mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified',
        }
      : { name: 'cgroup2', state: 'ok', found: cgroupRoot },
  ];
}

/** What each feature is for, and what happens without it. */
const USES: Readonly<Record<string, { state: 'warn' | 'fail'; without: string }>> = {
  ring_buffer: { state: 'fail', without: 'events cannot be told' },
  cgroup_skb: { state: 'warn', without: 'containers on the host network are not protected' },
  tp_btf: { state: 'warn', without: 'new containers begin before they are protected, and are noticed later' },
  hash_batch: { state: 'warn', without: 'tables are written entry by entry, slower' },
  lpm_batch: { state: 'warn', without: 'CIDR tables are written entry by entry, slower' },
  lsm: { state: 'warn', without: 'hardening policies are not enforced' },
  task_storage: { state: 'warn', without: 'hardening policies are not enforced' },
};

function featureOf({ features: all }: Facts, name: string): FeatureFact | undefined {
  return all.find((feature) => feature.name === name);
}

function features(facts: Facts): Check[] {
  if (facts.bindingError !== undefined) return [];
  const has = (name: string): boolean => featureOf(facts, name)?.supported === true;
  const door = has('tcx') ? 'tcx' : has('clsact') ? 'clsact' : undefined;
  const attach: Check =
    door === undefined
      ? { name: 'attachment', state: 'fail', found: 'neither TCX nor clsact: packets cannot be judged' }
      : {
          name: 'attachment',
          state: 'ok',
          found: door === 'tcx' ? 'TCX links' : 'clsact filters: the kernel has no TCX',
        };
  return [attach, ...facts.features.map(featureCheck)];
}

function featureCheck(feature: FeatureFact): Check {
  const name = `feature ${feature.name}`;
  if (feature.supported) return { name, state: 'ok', found: feature.what };
  const use = USES[feature.name];
  const reason = `${feature.what} (Linux ${feature.since}): ${feature.reason ?? 'not there'}`;
  if (use === undefined) return { name, state: 'info', found: `${reason}; nothing needs it yet` };
  return { name, state: use.state, found: `${reason}; without it ${use.without}` };
}

function objects({ objects: found }: Facts): Check {
  if (found !== undefined) return { name: 'kernel programs', state: 'ok', found };
  return { name: 'kernel programs', state: 'fail', found: 'not found', hint: 'make build, or set datapath.objects' };
}

function runtimes({ runtimes: all }: Facts): Check[] {
  const checks = all.map(({ name, enabled, socket, present, answers }): Check => {
    const label = `source ${name}`;
    if (enabled === 'false') return { name: label, state: 'info', found: 'switched off' };
    if (answers) return { name: label, state: 'ok', found: `${socket} answers: will be used` };
    const found = present ? `${socket} is there but does not answer` : `no ${socket}`;
    if (enabled === 'true') return { name: label, state: 'fail', found: `${found}, and it is switched on` };
    return { name: label, state: present ? 'warn' : 'info', found: `${found}: will not be used` };
  });
  return checks;
}

function policies({ policies: { directory, readable } }: Facts): Check {
  if (readable) return { name: 'policies', state: 'ok', found: directory };
  return { name: 'policies', state: 'info', found: `${directory} is not there or not readable: the agent makes it` };
}

function agent({ agent: { socket, answers } }: Facts): Check {
  return { name: 'agent', state: 'info', found: answers ? `runs, on ${socket}` : `does not answer on ${socket}` };
}
