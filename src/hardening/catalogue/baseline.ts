/** Baseline: what no container has to do to its host. Numbers 1 to 10 are those of docs/hardening.md. */
import type { ReadyRule } from '../../model/hardening.ts';
import { SOCKET_FAMILIES } from '../../model/sockets.ts';
import { CAPABILITY_BASELINE } from './capabilities.ts';
import { attack, cve, cwe } from './links.ts';
import { changing, mounting, operations, socket, writing } from './targets.ts';

const ESCAPE = attack('T1611');
const CGROUPS = ['cgroup', 'cgroup2'];

const KERNEL_PARAMETERS: readonly ReadyRule[] = [
  {
    name: 'no-core-pattern-write',
    title: 'No change of how core dumps are handled',
    group: 'baseline',
    severity: 'critical',
    stops:
      'Stops writing core_pattern and its kin, which make the host run a program of the attacker when one crashes.',
    breaks: 'May break crash reporters that install themselves from a container.',
    links: [ESCAPE, cve('2022-0811')],
    targets: [writing(['/proc/sys/kernel/{core_pattern,core_pipe_limit,core_uses_pid}'])],
  },
  {
    name: 'no-modprobe-path-write',
    title: 'No change of the programs the kernel runs',
    group: 'baseline',
    severity: 'critical',
    stops: 'Stops writing the paths of modprobe, hotplug and poweroff helpers, which the host runs as root.',
    breaks: 'May break nothing that is known.',
    links: [ESCAPE, attack('T1547.006')],
    targets: [writing(['/proc/sys/kernel/{modprobe,hotplug,poweroff_cmd}', '/proc/sys/kernel/usermodehelper/**'])],
  },
  {
    name: 'no-binfmt-misc-write',
    title: 'No new binary formats',
    group: 'baseline',
    severity: 'critical',
    stops: 'Stops registering interpreters in binfmt_misc, which the host then runs for its own files.',
    breaks: 'May break containers that set up emulation of other processors (qemu-user-static, binfmt).',
    links: [ESCAPE, attack('T1546')],
    targets: [changing(['/proc/sys/fs/binfmt_misc/**']), mounting({ fileSystems: ['binfmt_misc'] })],
  },
  {
    name: 'no-uevent-write',
    title: 'No device events and no helper for them',
    group: 'baseline',
    severity: 'critical',
    stops: 'Stops setting uevent_helper, which the host runs as root, and triggering device events by hand.',
    breaks: 'May break device managers (udev) that run in containers.',
    links: [ESCAPE, cwe(269)],
    targets: [writing(['/sys/kernel/uevent_helper', '/sys/**/uevent'])],
  },
  {
    name: 'no-sysrq',
    title: 'No magic system requests',
    group: 'baseline',
    severity: 'critical',
    stops: 'Stops writing sysrq-trigger, which reboots, crashes or freezes the host at once.',
    breaks: 'May break node managers that reboot hung machines.',
    links: [attack('T1529'), cwe(250)],
    targets: [writing(['/proc/sysrq-trigger', '/proc/sys/kernel/sysrq'])],
  },
  {
    name: 'no-sysctl-write',
    title: 'No change of kernel parameters',
    group: 'baseline',
    severity: 'high',
    stops: 'Stops writing anything below /proc/sys, by whatever mount of procfs.',
    breaks: 'May break programs that tune their own network namespace (net.ipv4.*), and init containers that do.',
    links: [ESCAPE, cve('2022-0811')],
    targets: [writing(['/proc/sys/**'])],
  },
  {
    name: 'no-procfs-write',
    title: 'No writing to the parts of procfs that are the kernel',
    group: 'baseline',
    severity: 'high',
    stops:
      'Stops writing to procfs outside the directories of processes and /proc/sys, such as irq, bus, scsi and mtrr.',
    breaks: 'May break programs that place interrupts or drive hardware.',
    links: [ESCAPE, cwe(250)],
    targets: [writing(['/proc/**'], ['/proc/[0-9]*/**', '/proc/sys/**'])],
  },
  {
    name: 'no-sysfs-write',
    title: 'No writing to sysfs',
    group: 'baseline',
    severity: 'high',
    stops: 'Stops writing to sysfs and what is mounted in it, but for cgroups.',
    breaks: 'May break device plug-ins, storage drivers and programs that tune block devices or huge pages.',
    links: [ESCAPE, cwe(250)],
    targets: [writing(['/sys/**'], ['/sys/fs/cgroup/**'])],
  },
];

const MOUNTS_AND_DISKS: readonly ReadyRule[] = [
  {
    name: 'no-writable-procfs-mount',
    title: 'No writable mount of procfs',
    group: 'baseline',
    severity: 'critical',
    stops:
      'Stops mounting procfs read-write, or making a mount of it so: there nothing is masked, and kernel parameters are writable.',
    breaks: 'May break containers in containers, unless they mount procfs read-only.',
    links: [ESCAPE, cwe(250)],
    targets: [mounting({ fileSystems: ['proc'], writable: true })],
  },
  {
    name: 'no-writable-disk-mount',
    title: 'No writable mount of disks',
    group: 'baseline',
    severity: 'critical',
    stops: 'Stops mounting a block device read-write: the root disk of the host among them.',
    breaks: 'May break storage plug-ins and whatever formats and mounts volumes.',
    links: [ESCAPE, cwe(250)],
    targets: [mounting({ writable: true, devices: true, operations: ['new', 'remount'] })],
  },
  {
    name: 'no-disk-read',
    title: 'No reading of disks',
    group: 'baseline',
    severity: 'critical',
    stops: 'Stops opening block devices to read, whatever their node is called: the files of the host lie there.',
    breaks: 'May break backup and storage programs that read devices.',
    links: [attack('T1006'), ESCAPE],
    targets: [operations('disk-read')],
  },
  {
    name: 'no-disk-write',
    title: 'No writing of disks',
    group: 'baseline',
    severity: 'critical',
    stops: 'Stops opening block devices to write, whatever their node is called.',
    breaks: 'May break storage programs that format or write devices.',
    links: [attack('T1561'), attack('T1006'), ESCAPE],
    targets: [operations('disk-write')],
  },
  {
    name: 'no-device-node',
    title: 'No new device nodes',
    group: 'baseline',
    severity: 'high',
    stops: 'Stops making block and character device nodes.',
    breaks: 'May break programs that fill a /dev of their own, and unpacking of images that hold device nodes.',
    links: [ESCAPE, attack('T1006')],
    targets: [operations('device-node')],
  },
  {
    name: 'no-release-agent-write',
    title: 'No release agent for cgroups',
    group: 'baseline',
    severity: 'critical',
    stops:
      'Stops setting release_agent, which the host runs as root when a cgroup empties, by its file or as a mount option.',
    breaks: 'May break nothing but mounting of cgroup version 1.',
    links: [cve('2022-0492'), ESCAPE],
    targets: [
      writing(['/sys/fs/cgroup/**/release_agent']),
      mounting({ fileSystems: ['cgroup'], operations: ['new', 'remount'] }),
    ],
  },
  {
    name: 'no-cgroup-mount',
    title: 'No mount of cgroups',
    group: 'baseline',
    severity: 'critical',
    stops: 'Stops mounting cgroup file systems of either version, which shows and changes the limits of others.',
    breaks: 'May break containers in containers, and init systems that run in them.',
    links: [cve('2022-0492'), ESCAPE],
    targets: [mounting({ fileSystems: CGROUPS })],
  },
];

const SOCKETS: readonly ReadyRule[] = [
  {
    name: 'no-packet-sockets',
    title: 'No packet sockets',
    group: 'baseline',
    severity: 'high',
    stops:
      'Stops AF_PACKET sockets: sniffing and forging on the network of the pod, and a part of the kernel with many exploits.',
    breaks: 'May break tcpdump, DHCP clients and servers, load balancers that announce addresses by ARP.',
    links: [attack('T1040'), cve('2020-14386'), cve('2017-7308'), cve('2016-8655')],
    targets: [socket(SOCKET_FAMILIES.packet)],
  },
];

export const BASELINE_RULES: readonly ReadyRule[] = [
  ...KERNEL_PARAMETERS,
  ...MOUNTS_AND_DISKS,
  ...CAPABILITY_BASELINE,
  ...SOCKETS,
];
