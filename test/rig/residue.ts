/**
 * What a privileged test could leave behind on the machine: taken before and after, and compared. Tools that are
 * not ours (bpftool, ip, tc, nft) do the looking, so that a fault of our own code cannot hide itself.
 */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { cgroup2Mount } from './cgroup.ts';
import { creatorOf } from './names.ts';
import { attempt, isRunning, MARK } from './process.ts';
import { readSysctl } from './sysctls.ts';

export type Kind =
  | 'bpf program'
  | 'bpf map'
  | 'bpf link'
  | 'pin'
  | 'bpffs'
  | 'network namespace'
  | 'interface'
  | 'address'
  | 'route'
  | 'qdisc'
  | 'filter'
  | 'iptables rule'
  | 'nftables rule'
  | 'cgroup'
  | 'process'
  | 'sysctl'
  | 'mount';

export interface Trace {
  readonly kind: Kind;
  readonly what: string;
}

/** Everything there is, by a key that is equal as long as the thing is the same. */
export type Snapshot = ReadonlyMap<string, Trace>;

/** Something is there that was not there before. */
export class ResidueError extends Error {
  readonly code = 'RIG_RESIDUE';
  readonly traces: readonly Trace[];

  constructor(traces: readonly Trace[]) {
    const lines = traces.map((trace) => `  ${trace.kind}: ${trace.what}`).sort();
    super(`Left behind:\n${lines.join('\n')}`);
    this.traces = traces;
  }
}

/** Looks at everything. Takes some tens of milliseconds. */
export async function takeSnapshot(): Promise<Snapshot> {
  const traces = [
    ...(await bpfObjects()),
    ...pins(),
    ...namespaces(),
    ...(await network()),
    ...sysctls(),
    ...(await firewall()),
    ...cgroups(),
    ...processes(),
    ...mounts(),
  ];
  return new Map(traces.map((trace) => [`${trace.kind} ${trace.what}`, trace]));
}

/** What is in `after` and was not in `before`, save what a living process of another test run made. */
export function residue(before: Snapshot, after: Snapshot): Trace[] {
  return [...after].flatMap(([key, trace]) => {
    if (before.has(key)) return [];
    const creator = creatorOf(trace.what);
    const elsewhere = creator !== undefined && creator !== process.pid && isRunning(creator);
    return elsewhere ? [] : [trace];
  });
}

/** Throws `ResidueError` if something new is there. */
export function assertNoResidue(before: Snapshot, after: Snapshot): void {
  const traces = residue(before, after);
  if (traces.length > 0) throw new ResidueError(traces);
}

/** Hooks that remember the machine and then compare it. What is freed late by the kernel has twenty seconds for that, a minute under emulation. */
export function residueHooks(): { beforeAll(): Promise<void>; afterAll(): Promise<void> } {
  let start: Snapshot = new Map();
  return {
    async beforeAll() {
      start = await takeSnapshot();
    },
    async afterAll() {
      const deadline = Date.now() + (process.env.SALLYPORT_VM === undefined ? 20_000 : 60_000);
      let traces = residue(start, await takeSnapshot());
      while (traces.length > 0 && Date.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        traces = residue(start, await takeSnapshot());
      }
      if (traces.length > 0) throw new ResidueError(traces);
    },
  };
}

// --- looking

async function output(command: readonly string[]): Promise<string> {
  const outcome = await attempt(command).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined; // a machine without the tool has none of its things
    throw error;
  });
  return outcome?.status === 0 ? outcome.stdout : '';
}

async function list<T>(schema: z.ZodType<T>, command: readonly string[]): Promise<T[]> {
  const text = await output(command);
  return text.trim() === '' ? [] : z.array(schema).parse(JSON.parse(text));
}

const BpfObject = z.object({
  id: z.number(),
  type: z.union([z.string(), z.number()]),
  name: z.string().optional(),
  prog_id: z.number().optional(),
  /** Of links: `lsm`, `tracing`, … whatever the kind of the link is called. */
  prog_type: z.union([z.string(), z.number()]).optional(),
  devname: z.string().optional(),
  pids: z.array(z.object({ pid: z.number(), comm: z.string() })).optional(),
});

async function bpfObjects(): Promise<Trace[]> {
  const kinds = [
    ['prog', 'bpf program'],
    ['map', 'bpf map'],
    ['link', 'bpf link'],
  ] as const;
  const traces: Trace[] = [];
  for (const [object, kind] of kinds) {
    for (const { id, type, name, prog_id, prog_type, pids } of await list(BpfObject, [
      'bpftool',
      '-j',
      object,
      'list',
    ])) {
      // A tool that lists objects is itself a holder for a moment.
      const holders = (pids ?? []).filter((holder) => holder.comm !== 'bpftool');
      const foreign = holders.length > 0 && holders.every(({ pid }) => !isDescendant(pid));
      if (foreign || (pids?.length && holders.length === 0)) continue;
      const of = prog_id === undefined ? '' : ` of ${prog_type ?? ''} program ${prog_id}`;
      traces.push({ kind, what: `${id} ${name ?? ''} (${type})${of}` });
    }
  }
  return traces;
}

/** Whether a process is this one or was started by it. */
function isDescendant(pid: number): boolean {
  for (let at = pid; at > 1; at = parentOf(at)) if (at === process.pid) return true;
  return false;
}

function parentOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return 0; // gone meanwhile
  }
}

function mountinfo(): { path: string; type: string }[] {
  return readFileSync('/proc/self/mountinfo', 'latin1')
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const [before, after] = line.split(' - ');
      return { path: before!.split(' ')[4]!, type: after!.split(' ')[0]! };
    });
}

/** Every machine has it that systemd has begun; on others whoever is first to pin something mounts it, for good. */
const BPFFS = '/sys/fs/bpf';
/** The kernel's own, which come with a mount. */
const KERNELS_PINS = new Set(['maps.debug', 'progs.debug']);

function pins(): Trace[] {
  return mountinfo()
    .filter(({ type }) => type === 'bpf')
    .flatMap(({ path }) => [
      ...(path === BPFFS ? [] : [{ kind: 'bpffs' as const, what: path }]),
      ...readdirSync(path, { recursive: true })
        .filter((name) => !KERNELS_PINS.has(String(name)))
        .map((name) => ({ kind: 'pin' as const, what: join(path, String(name)) })),
    ]);
}

function namespaces(): Trace[] {
  if (!existsSync('/run/netns')) return [];
  return readdirSync('/run/netns').map((what) => ({ kind: 'network namespace' as const, what }));
}

const Link = z.object({ ifindex: z.number(), ifname: z.string() });
const Address = z.object({
  ifname: z.string(),
  addr_info: z.array(z.object({ local: z.string().optional(), prefixlen: z.number().optional() })),
});
const Route = z.object({ dst: z.string(), dev: z.string().optional(), gateway: z.string().optional() });
const Qdisc = z.object({ kind: z.string(), dev: z.string() });

async function network(): Promise<Trace[]> {
  const traces: Trace[] = [];
  for (const { ifindex, ifname } of await list(Link, ['ip', '-j', 'link'])) {
    traces.push({ kind: 'interface', what: `${ifindex} ${ifname}` });
  }
  for (const { ifname, addr_info } of await list(Address, ['ip', '-j', 'addr'])) {
    for (const { local, prefixlen } of addr_info)
      traces.push({ kind: 'address', what: `${local}/${prefixlen} ${ifname}` });
  }
  for (const family of ['-4', '-6']) {
    for (const { dst, dev, gateway } of await list(Route, ['ip', '-j', family, 'route', 'show', 'table', 'all'])) {
      traces.push({ kind: 'route', what: `${dst} ${gateway ?? ''} ${dev ?? ''}` });
    }
  }
  for (const { kind, dev } of await list(Qdisc, ['tc', '-j', 'qdisc'])) {
    traces.push({ kind: 'qdisc', what: `${kind} ${dev}` });
    if (kind !== 'clsact') continue;
    for (const direction of ['ingress', 'egress']) {
      const filters = await output(['tc', 'filter', 'show', 'dev', dev, direction]);
      for (const what of filters.split('\n').filter(Boolean)) {
        traces.push({ kind: 'filter', what: `${dev} ${direction} ${what.trim()}` });
      }
    }
  }
  return traces;
}

/** Whether this machine sends on what is not for it: routes come and go with that. */
function sysctls(): Trace[] {
  return ['net.ipv4.ip_forward', 'net.ipv6.conf.all.forwarding'].map((key) => {
    return { kind: 'sysctl', what: `${key}=${readSysctl(key)}` };
  });
}

async function firewall(): Promise<Trace[]> {
  const traces: Trace[] = [];
  for (const [tool, names] of [
    ['iptables-legacy', '/proc/net/ip_tables_names'],
    ['ip6tables-legacy', '/proc/net/ip6_tables_names'],
  ] as const) {
    if (!existsSync(names)) continue;
    for (const line of (await output([`${tool}-save`])).split('\n')) {
      if (line.startsWith('-A') || / (DROP|-) \[/.test(line)) {
        traces.push({ kind: 'iptables rule', what: `${tool} ${line.replace(/ \[.*/, '')}` });
      }
    }
  }
  let table = '';
  for (const line of (await output(['nft', '--stateless', 'list', 'ruleset'])).split('\n')) {
    if (line.startsWith('table')) table = line.replace(' {', '');
    if (line.trim() !== '' && line !== '}') traces.push({ kind: 'nftables rule', what: `${table}: ${line.trim()}` });
  }
  return traces;
}

function directoriesBelow(path: string): string[] {
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .flatMap((entry) => {
      const below = join(path, entry.name);
      try {
        return [below, ...directoriesBelow(below)];
      } catch {
        return []; // gone meanwhile
      }
    });
}

/** All of cgroup2; of the other hierarchies, where the machine may have its own, those with our names. */
function cgroups(): Trace[] {
  const unified = cgroup2Mount();
  const others = mountinfo().filter(({ type }) => type === 'cgroup');
  return [
    ...directoriesBelow(unified),
    ...others.flatMap(({ path }) => directoriesBelow(path).filter((below) => below.includes('sallyport'))),
  ].map((what) => ({ kind: 'cgroup' as const, what }));
}

/** Processes that a rig started, or that were started by them. */
function processes(): Trace[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      try {
        const marked = readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(`${MARK}=${process.pid}`);
        if (!marked || !isRunning(Number(pid))) return [];
        const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').trim();
        // The tools of this very look are among them for a moment.
        return [{ kind: 'process' as const, what: `${pid} ${command.slice(0, 200)}` }];
      } catch {
        return []; // gone meanwhile
      }
    });
}

function mounts(): Trace[] {
  return (
    mountinfo()
      // `ip netns` makes the first with the first namespace, and keeps it
      .filter(({ path }) => path !== '/run/netns' && path !== BPFFS)
      .map(({ path, type }) => ({ kind: 'mount' as const, what: `${path} (${type})` }))
  );
}
