import * as z from 'zod';
import { handshake, hold, network, tags } from './config-between.ts';
import { gate } from './config-gate.ts';
import { kubernetes } from './config-kubernetes.ts';
import { count, duration, HOST_PORT, path } from './config-types.ts';

/**
 * Every setting of the agent: its name, its type, its default, what it does. The documentation
 * (docs/configuration.md), `examples/agent.yaml`, the environment variables and `--print-config` come from here.
 */

const pathOrAuto = z
  .string()
  .max(4096)
  .refine((text) => text === 'auto' || text.startsWith('/'), 'wanted "auto" or an absolute path')
  .default('auto');

const runtime = (standard: string, what: string) =>
  z
    .strictObject({
      enabled: z
        .enum(['auto', 'true', 'false'])
        .or(z.boolean().transform((on) => (on ? ('true' as const) : ('false' as const))))
        .default('auto')
        .describe(`Discover containers of ${what}. auto: when its socket is there`),
      socket: path(standard).describe(`UNIX socket of ${what}`),
    })
    .prefault({});

const cgroup = z.strictObject({
  path: z
    .string()
    .startsWith('/')
    .max(4096)
    .describe('Below the cgroup2 mount, * and ? within a part: /system.slice/*.service'),
  workload: z
    .string()
    .regex(/^[^/\s]{1,63}\/[^/\s]{1,63}\/[^/\s]{1,253}$/, 'wanted namespace/kind/name')
    .describe('Its name in policies: host/Unit/nginx; {name} is the name of the cgroup'),
  container: z.string().max(253).exactOptional(),
  labels: z.record(z.string().max(317), z.string().max(253)).default({}),
});

export const configSchema = z.strictObject({
  node: z.string().min(1).max(253).default('auto').describe("This node's name. auto: NODE_NAME, else the host name"),
  domain: z
    .string()
    .regex(/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/, 'wanted a name of lower-case letters, digits, dots and hyphens')
    .default('local')
    .describe('What all nodes that trust each other have in common; part of every identity'),
  datapath: z
    .strictObject({
      pins: path('/sys/fs/bpf/sallyport').describe('Directory on a bpffs for the pinned maps and links'),
      objects: pathOrAuto.describe(
        'Directory of the compiled kernel programs. auto: the one that came with this program',
      ),
      cgroupRoot: pathOrAuto.describe('Mount point of the cgroup2 tree. auto: found in /proc/self/mountinfo'),
      sizes: z
        .strictObject({
          flows: count(131_072, 1_024, 16_777_216).describe('Flows remembered; the oldest go first. 190 B each'),
          subjects: count(65_536, 64, 1_048_576).describe('Identities known on this node. 24 B each'),
          peers: count(262_144, 64, 16_777_216).describe(
            'Pairs of rule set and peer; policies may fill half. 110 B each in use',
          ),
          ports: count(262_144, 64, 16_777_216).describe(
            'Pairs of peer class and port; policies may fill half. 100 B each in use',
          ),
          networks: count(262_144, 64, 4_194_304).describe(
            'Pairs of rule set and CIDR; policies may fill half. 120 B each in use',
          ),
          verified: count(131_072, 64, 4_194_304).describe('Verified peers of other nodes. 90 B each in use'),
          endpoints: count(4_096, 16, 65_536).describe('Endpoints, containers and addresses. 80 B each in use'),
          gates: count(4_096, 1, 65_536).describe('Containers that wait to begin. 300 B each'),
        })
        .prefault({}),
    })
    .prefault({}),
  policies: z
    .strictObject({
      directory: path('/etc/sallyport/policies').describe('Watched for policy files; `policy apply` writes here'),
    })
    .prefault({}),
  state: z
    .strictObject({
      directory: path('/var/lib/sallyport').describe('The last good version of each policy file, for a restart'),
    })
    .prefault({}),
  api: z
    .strictObject({
      socket: path('/run/sallyport/agent.sock').describe('UNIX socket of the API'),
      uids: z.array(z.int().min(0)).max(64).default([]).describe('Users who may call it besides root'),
      gids: z.array(z.int().min(0)).max(64).default([]).describe('Primary groups whose users may call it'),
    })
    .prefault({}),
  metrics: z
    .strictObject({
      address: z
        .string()
        .refine((text) => text === 'off' || HOST_PORT.test(text), 'wanted host:port, [ipv6]:port or "off"')
        .default('127.0.0.1:9464')
        .describe('Where /metrics, /healthz and /readyz are served. off: nowhere'),
      topRules: count(50, 0, 10_000).describe('Rules with a series of their own: the ones hit most'),
    })
    .prefault({}),
  sources: z
    .strictObject({
      docker: runtime('/var/run/docker.sock', 'the Docker engine'),
      cri: runtime('/run/containerd/containerd.sock', 'a CRI runtime (containerd, CRI-O)'),
      cgroups: z
        .array(cgroup)
        .max(1_024)
        .default([])
        .describe('Plain cgroups to protect: {path, workload, container, labels}'),
    })
    .prefault({}),
  kubernetes,
  gate,
  network,
  tags,
  hold,
  handshake,
  events: z
    .strictObject({
      ratePerSecond: count(100, 1, 1_000_000).describe('Events the kernel raises for one endpoint in a second'),
      burst: count(200, 1, 1_000_000).describe('Events one endpoint may raise at once'),
      keep: count(4_096, 16, 1_048_576).describe('Events kept in memory for `event list`. 1 KiB each'),
      queue: count(1_024, 16, 65_536).describe('Events that wait for one follower; more are lost to it, and counted'),
      followers: count(16, 1, 1_024).describe('Followers at one time'),
      log: z
        .enum(['all', 'refused', 'none'])
        .default('refused')
        .describe('What goes to the log. refused: all but containers and sources that come and go'),
      repeat: duration('30s', 1_000, 3_600_000).describe('Repeats of a logged event are summed up this often'),
    })
    .prefault({}),
  intervals: z
    .strictObject({
      resync: duration('60s', 1_000, 86_400_000).describe('Everything is read anew and written where it differs'),
      drift: duration('60s', 1_000, 86_400_000).describe("The kernel's tables are compared with what was applied"),
      heartbeat: duration('1s', 100, 60_000).describe('The kernel is told that the agent lives'),
      settle: duration('2ms', 0, 10_000).describe('Changes that arrive this close together are applied as one'),
      retryLeast: duration('200ms', 10, 60_000).describe('Wait after the first failed attempt; doubles each time'),
      retryMost: duration('30s', 100, 3_600_000).describe('Longest wait after a failed attempt'),
    })
    .prefault({}),
  fail: z
    .strictObject({
      stop: z
        .enum(['enforce', 'open'])
        .default('enforce')
        .describe('On SIGTERM. enforce: the kernel goes on without the agent; open: everything is detached'),
    })
    .prefault({}),
  log: z
    .strictObject({
      level: z
        .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal'])
        .default('info')
        .describe('Least level logged'),
    })
    .prefault({}),
});

/** Durations are in milliseconds. */
export type Config = z.output<typeof configSchema>;

/** One setting that can be given on its own. */
export interface Setting {
  /** `metrics.address`. */
  readonly key: string;
  /** `SALLYPORT_METRICS_ADDRESS`. */
  readonly variable: string;
  /** As it is written in the file. */
  readonly standard: unknown;
  readonly kind: 'string' | 'number' | 'list';
  readonly description: string;
}

function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  const definition = schema._zod.def as { type: string; innerType?: z.core.$ZodType };
  const wrapped = definition.type === 'default' || definition.type === 'prefault';
  return wrapped && definition.innerType !== undefined ? unwrap(definition.innerType) : schema;
}

function standardOf(schema: z.core.$ZodType): unknown {
  return (schema._zod.def as { defaultValue?: unknown }).defaultValue;
}

/** Every leaf of the schema, in its order. */
export function settings(schema: z.core.$ZodType = configSchema, prefix = ''): Setting[] {
  const shape = (unwrap(schema) as z.ZodObject).shape;
  return Object.entries(shape).flatMap(([name, child]): Setting[] => {
    const key = prefix === '' ? name : `${prefix}.${name}`;
    if (unwrap(child) instanceof z.ZodObject) return settings(child, key);
    const standard = standardOf(child);
    const kind = Array.isArray(standard) ? 'list' : typeof standard === 'number' ? 'number' : 'string';
    return [
      { key, variable: variableOf(key), standard, kind, description: z.globalRegistry.get(child)?.description ?? '' },
    ];
  });
}

function variableOf(key: string): string {
  return `SALLYPORT_${key.replace(/[A-Z]/g, '_$&').replaceAll('.', '_').toUpperCase()}`;
}
