import { read, type Scenario, write, writingKernel } from './scenario.ts';

const OWN = write('/proc/self/oom_score_adj');
const TMPFS = 'mount tmpfs none /mnt 0';
const HUGE = '/sys/kernel/mm/transparent_hugepage/enabled';
const RELEASE_AGENT = '/sys/fs/cgroup/named/release_agent';

const KERNEL_PARAMETERS: readonly Scenario[] = [
  writingKernel(
    'no-core-pattern-write',
    '/proc/sys/kernel/core_pattern',
    [write('/proc/sys/kernel/core_pipe_limit'), write('/proc/sys/kernel/core_pattern', 'ring')],
    [write('/proc/sys/kernel/hostname'), OWN],
  ),
  writingKernel('no-modprobe-path-write', '/proc/sys/kernel/modprobe', [], [write('/proc/sys/kernel/hostname')]),
  {
    rule: 'no-binfmt-misc-write',
    attack: write('/proc/sys/fs/binfmt_misc/register'),
    around: [
      write('/proc/sys/fs/binfmt_misc/status', 'bind-mount'),
      'mount binfmt_misc none /mnt 0',
      'mount-new binfmt_misc /mnt',
      'bind /proc/sys/fs/binfmt_misc /mnt',
    ],
    neighbours: [read('/proc/sys/fs/binfmt_misc/status'), TMPFS, write('/proc/sys/vm/swappiness')],
  },
  writingKernel(
    'no-uevent-write',
    '/sys/devices/virtual/mem/null/uevent',
    [write('/sys/class/mem/null/uevent')],
    [write(HUGE)],
  ),
  writingKernel('no-sysrq', '/proc/sysrq-trigger', [write('/proc/sys/kernel/sysrq')], [OWN]),
  writingKernel('no-sysctl-write', '/proc/sys/vm/swappiness', [write('/proc/sys/kernel/core_pattern')], [OWN]),
  writingKernel(
    'no-procfs-write',
    '/proc/irq/default_smp_affinity',
    [write('/proc/sysrq-trigger')],
    [OWN, write('/proc/sys/vm/swappiness'), write('/proc/thread-self/comm')],
  ),
  writingKernel(
    'no-sysfs-write',
    HUGE,
    [write('/sys/devices/virtual/mem/null/uevent')],
    [write('/sys/fs/cgroup/unified/cgroup.procs'), OWN],
  ),
];

const MOUNTS_AND_DISKS: readonly Scenario[] = [
  {
    rule: 'no-writable-procfs-mount',
    attack: 'mount proc none /mnt 0',
    around: ['mount-new proc /mnt', 'remount /proc 0', 'remount-new /proc', 'mount proc none /mnt 14'],
    neighbours: ['mount proc none /mnt 1', 'mount-new proc /mnt ro', TMPFS],
  },
  {
    rule: 'no-writable-disk-mount',
    attack: 'mount ext2 {disk} /mnt 0',
    around: ['mount ext4 {disk} /mnt 0', 'mount ext2 {disk} /mnt 14'],
    neighbours: ['mount ext2 {disk} /mnt 1', TMPFS],
  },
  {
    rule: 'no-disk-read',
    attack: read('{disk}'),
    around: [
      read('{disk}', 'descriptor'),
      'open-node r b {major} {minor}',
      'open rw name {disk}',
      read('{disk}', 'ring'),
    ],
    neighbours: ['open rw name /dev/null', read('/dev/zero'), 'mknod /tmp/node b {major} {minor}'],
  },
  {
    rule: 'no-disk-write',
    attack: write('{disk}'),
    around: [write('{disk}', 'descriptor'), 'open-node w b {major} {minor}', 'open rw name {disk}'],
    neighbours: [read('{disk}'), write('/dev/null')],
  },
  {
    rule: 'no-device-node',
    attack: 'mknod /tmp/node b 7 0',
    around: ['mknod /tmp/node c 1 1', 'mknod /dev/shm/node b 7 0', 'usual mknod /tmp/node c 1 3'],
    neighbours: ['mknod /tmp/pipe p 0 0', 'create /tmp/file', read('{disk}')],
  },
  {
    rule: 'no-release-agent-write',
    attack: write(RELEASE_AGENT),
    around: [
      write(RELEASE_AGENT, 'descriptor'),
      write(RELEASE_AGENT, 'bind-mount'),
      write(RELEASE_AGENT, 'changed-root'),
      'mount-cgroup deed /mnt',
    ],
    neighbours: [read(RELEASE_AGENT), write('/sys/fs/cgroup/named/cgroup.procs'), 'mkdir /sys/fs/cgroup/named/deed'],
  },
  {
    rule: 'no-cgroup-mount',
    attack: 'mount cgroup2 none /mnt 0',
    around: [
      'mount-new cgroup2 /mnt',
      'bind /sys/fs/cgroup/unified /mnt',
      'open-tree-clone /sys/fs/cgroup/named',
      'in-userns mount cgroup2 none /mnt 0',
    ],
    neighbours: [TMPFS, read('/sys/fs/cgroup/unified/cgroup.controllers')],
  },
];

const PRIVILEGES: readonly Scenario[] = [
  {
    rule: 'no-privileged-capabilities',
    attack: 'need 21',
    around: ['need 19', 'need 12', 'need 25', 'need 39', 'need 2'],
    neighbours: ['need 0', 'need 7', 'need 13', 'usual mknod /tmp/node c 1 3', 'need-inside 21'],
  },
  {
    rule: 'no-privileged-userns-capabilities',
    attack: 'need-inside 21',
    around: ['need-inside 12', 'in-userns mount tmpfs none /mnt 0', 'need-inside 19'],
    neighbours: ['in-userns-alone chroot /', 'userns', 'need 21'],
  },
  {
    rule: 'no-packet-sockets',
    attack: 'socket 17 3 768',
    around: [
      'socket 17 2 768',
      'socket 2 10 768',
      'ring-socket 17 3 0',
      'in-userns socket 17 3 768',
      'usual socket 17 3 768',
    ],
    neighbours: ['socket 2 3 1', 'socket 2 1 0', 'socket 16 3 0'],
  },
];

export const BASELINE: readonly Scenario[] = [...KERNEL_PARAMETERS, ...MOUNTS_AND_DISKS, ...PRIVILEGES];
