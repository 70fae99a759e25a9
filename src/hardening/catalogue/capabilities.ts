/** Ready rules on capabilities: some sets of them, and one rule for each. */
import { type CapabilityName, CAPABILITIES as MODEL_CAPABILITIES } from '../../model/capabilities.ts';
import type { ReadyRule } from '../../model/hardening.ts';
import { attack, cve, cwe } from './links.ts';
import { within } from './targets.ts';

/** `sys-admin`, as names of ready rules have it. */
export type Capability = KebabCase<CapabilityName>;
type KebabCase<T extends string> = T extends `${infer Head}_${infer Tail}`
  ? `${Lowercase<Head>}-${KebabCase<Tail>}`
  : Lowercase<T>;

/** By number. */
export const CAPABILITIES = MODEL_CAPABILITIES.map((name) => name.toLowerCase().replaceAll('_', '-') as Capability);

const number = (capability: Capability): number => CAPABILITIES.indexOf(capability);
const ALL: readonly number[] = CAPABILITIES.map((_name, index) => index);

/** What container runtimes grant unless told otherwise. */
const USUAL: readonly number[] = (
  [
    'chown',
    'dac-override',
    'fowner',
    'fsetid',
    'kill',
    'setgid',
    'setuid',
    'setpcap',
    'net-bind-service',
    'net-raw',
    'sys-chroot',
    'mknod',
    'audit-write',
    'setfcap',
  ] as const
).map(number);

/** The others: each is a way to the host, or may harm it. */
export const PRIVILEGED: readonly number[] = ALL.filter((one) => !USUAL.includes(one));

const ESCAPE = attack('T1611');
const USER_NAMESPACE_BUGS = [cve('2022-0185'), cve('2022-0492'), cve('2024-1086')];

type About = readonly [grants: string, severity: ReadyRule['severity'], needed: string];

/** What each lets its holder do, how bad that is, and who needs it. */
const ABOUT: Readonly<Record<Capability, About>> = {
  chown: ['giving files to any owner', 'medium', 'servers that create directories for other users at start'],
  'dac-override': [
    'reading and writing files whatever their mode',
    'high',
    'processes of root that use the files of others',
  ],
  'dac-read-search': [
    'reading any file, and opening files by handle outside the container',
    'critical',
    'backup programs',
  ],
  fowner: ['changing the mode and attributes of the files of others', 'medium', 'package managers and installers'],
  fsetid: ['keeping setuid and setgid bits on files of other groups', 'medium', 'package managers and installers'],
  kill: ['signalling processes of any user', 'medium', 'supervisors whose children run as other users'],
  setgid: ['taking any group', 'medium', 'servers that start as root and drop to a user'],
  setuid: ['taking any user', 'medium', 'servers that start as root and drop to a user'],
  setpcap: [
    'changing the bounding set and the secure bits',
    'low',
    'programs that drop capabilities for good, like sandboxes',
  ],
  'linux-immutable': ['making files immutable or append-only', 'medium', 'programs that set these flags'],
  'net-bind-service': ['binding ports below 1024', 'low', 'servers on ports such as 80 and 443'],
  'net-broadcast': ['listening to network events of all namespaces', 'low', 'hardly anything'],
  'net-admin': [
    'configuring interfaces, routes, firewalls and traffic control',
    'high',
    'VPNs, meshes and network plug-ins',
  ],
  'net-raw': [
    'forging packets with raw and packet sockets',
    'high',
    'ping, where the kernel does not grant it by group, and packet tools',
  ],
  'ipc-lock': ['locking memory without limit', 'medium', 'databases and others that lock memory or use huge pages'],
  'ipc-owner': ['using System V objects of others', 'medium', 'hardly anything'],
  'sys-module': ['loading kernel modules', 'critical', 'drivers that are installed from containers'],
  'sys-rawio': ['ports, memory devices and raw commands to disks', 'critical', 'programs that drive hardware'],
  'sys-chroot': [
    'changing the root, and entering mount namespaces',
    'medium',
    'servers that confine themselves by chroot',
  ],
  'sys-ptrace': ['reading and changing other processes', 'critical', 'debuggers and profilers'],
  'sys-pacct': ['process accounting', 'low', 'accounting daemons'],
  'sys-admin': [
    'mounts, namespaces, and much else that leads to the host',
    'critical',
    'whatever mounts or makes namespaces',
  ],
  'sys-boot': ['rebooting, and loading another kernel', 'critical', 'node managers that reboot'],
  'sys-nice': [
    'priorities, real-time scheduling and placement of any process',
    'medium',
    'real-time programs and databases that set priorities',
  ],
  'sys-resource': ['going beyond limits and quotas', 'medium', 'programs that raise their own hard limits'],
  'sys-time': ['setting the clock of the node', 'high', 'time synchronisation'],
  'sys-tty-config': ['hanging up and configuring terminals', 'low', 'hardly anything'],
  mknod: ['making device nodes', 'high', 'programs that fill a /dev of their own'],
  lease: ['leases on files of others', 'low', 'file servers'],
  'audit-write': ['writing records to the audit log', 'low', 'sshd, su and login'],
  'audit-control': ['configuring auditing, and changing login ids', 'high', 'audit daemons'],
  setfcap: ['giving capabilities to files', 'high', 'package managers and image builders'],
  'mac-override': ['passing mandatory access control (Smack)', 'high', 'hardly anything'],
  'mac-admin': ['changing mandatory access control policy', 'critical', 'agents that load AppArmor profiles'],
  syslog: ["the kernel's log and its addresses", 'high', 'log collectors that read the kernel log'],
  'wake-alarm': ['waking the machine by timers', 'low', 'hardly anything'],
  'block-suspend': ['keeping the machine awake', 'low', 'hardly anything'],
  'audit-read': ['reading the audit log', 'high', 'audit collectors'],
  perfmon: ['performance events of all processes and the kernel', 'high', 'profilers'],
  bpf: ['loading BPF programs', 'critical', 'tracers, meshes and network plug-ins'],
  'checkpoint-restore': ['choosing process ids, and reading the mappings of others', 'medium', 'checkpointing (CRIU)'],
};

const readable = (capability: Capability): string => `CAP_${capability.replaceAll('-', '_').toUpperCase()}`;

function single(capability: Capability): readonly ReadyRule[] {
  const [grants, severity, needed] = ABOUT[capability];
  const links =
    severity === 'low' ? [cwe(250)] : [cwe(250), PRIVILEGED.includes(number(capability)) ? ESCAPE : attack('T1068')];
  return [
    {
      name: `no-capability-${capability}`,
      title: `No use of ${readable(capability)}`,
      group: 'capabilities',
      severity,
      stops: `Stops what needs ${readable(capability)}, even where the container was granted it: ${grants}.`,
      breaks: `May break ${needed}.`,
      links,
      targets: [within('container', [number(capability)])],
    },
    {
      name: `no-userns-capability-${capability}`,
      title: `No use of ${readable(capability)} in user namespaces`,
      group: 'capabilities',
      severity: severity === 'critical' ? 'high' : severity,
      stops: `Stops what needs ${readable(capability)} inside user namespaces the container makes: ${grants}.`,
      breaks: `May break rootless containers, sandboxes of browsers and build tools that need it: ${needed}.`,
      links: [cwe(250), attack('T1068')],
      targets: [within('user-namespace', [number(capability)])],
    },
  ];
}

/** Baseline 7 to 9, as sets; the single ones of 7 and 9 are below. */
export const CAPABILITY_BASELINE: readonly ReadyRule[] = [
  {
    name: 'no-privileged-capabilities',
    title: 'No use of privileged capabilities',
    group: 'baseline',
    severity: 'critical',
    stops: 'Stops the use of every capability that runtimes do not grant by default, also in privileged containers.',
    breaks:
      'May break containers that are privileged for a reason: storage and network plug-ins, node agents, builders.',
    links: [ESCAPE, cwe(250), cve('2022-0492')],
    targets: [within('container', PRIVILEGED)],
  },
  {
    name: 'no-privileged-userns-capabilities',
    title: 'No use of privileged capabilities in user namespaces',
    group: 'baseline',
    severity: 'high',
    stops:
      'Stops the use of privileged capabilities inside user namespaces the container makes, where most kernel exploits begin.',
    breaks: 'May break rootless containers and sandboxes (browsers, bubblewrap, builders) inside the container.',
    links: [attack('T1068'), ...USER_NAMESPACE_BUGS],
    targets: [within('user-namespace', PRIVILEGED)],
  },
];

const SETS: readonly ReadyRule[] = [
  {
    name: 'no-capabilities',
    title: 'No use of any capability',
    group: 'capabilities',
    severity: 'high',
    stops: 'Stops the use of every capability, in the container and in user namespaces it makes.',
    breaks: 'May break whatever starts as root and drops to a user, binds low ports, or changes owners of files.',
    links: [cwe(250), ESCAPE, attack('T1068')],
    targets: [within('any', ALL)],
  },
  {
    name: 'no-capabilities-but-net-bind-service',
    title: 'No use of any capability but that for low ports',
    group: 'capabilities',
    severity: 'high',
    stops: 'Stops the use of every capability but CAP_NET_BIND_SERVICE.',
    breaks: 'May break whatever starts as root and drops to a user, or changes owners of files.',
    links: [cwe(250), ESCAPE, attack('T1068')],
    targets: [
      within(
        'any',
        ALL.filter((one) => one !== number('net-bind-service')),
      ),
    ],
  },
  {
    name: 'no-userns-capabilities',
    title: 'No use of any capability in user namespaces',
    group: 'capabilities',
    severity: 'high',
    stops: 'Stops the use of every capability inside user namespaces the container makes; making them is left alone.',
    breaks: 'May break rootless containers and sandboxes inside the container.',
    links: [cwe(250), attack('T1068'), ...USER_NAMESPACE_BUGS],
    targets: [within('user-namespace', ALL)],
  },
];

export const CAPABILITY_RULES: readonly ReadyRule[] = [...SETS, ...CAPABILITIES.flatMap(single)];
