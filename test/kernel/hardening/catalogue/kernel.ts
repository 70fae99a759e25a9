import { read, reading, readingKernel, type Scenario, write, writingKernel } from './scenario.ts';

const OWN = read('/proc/self/status');

const CALLS: readonly Scenario[] = [
  {
    rule: 'no-module-load',
    attack: 'module-file /etc/nonsense',
    around: ['module-memory', 'need 16'],
    neighbours: ['socket 2 1 0', 'kexec-file /etc/nonsense'],
  },
  {
    rule: 'no-kexec',
    attack: 'kexec-file /etc/nonsense',
    around: ['kexec'],
    neighbours: ['module-file /etc/nonsense'],
  },
  { rule: 'no-bpf', attack: 'bpf', around: ['bpf-next', 'need 39'], neighbours: ['old-filter', 'perf'] },
  { rule: 'no-perf', attack: 'perf', around: ['need 38'], neighbours: ['bpf', 'read-time'] },
  {
    rule: 'no-io-uring',
    attack: 'ring',
    around: ['ring-polled', 'ring-socket 2 1 0'],
    neighbours: ['memfd', 'userfault'],
  },
  { rule: 'no-userfaultfd', attack: 'userfault', around: ['userfault-device'], neighbours: ['memfd', 'ring'] },
  {
    rule: 'no-keyring',
    attack: 'add-key',
    // What may not be searched is not found.
    around: ['join-keyring', { act: 'read-keyring', refused: 'ENOKEY' }],
    neighbours: ['memfd', 'setuid 1234'],
  },
  {
    rule: 'no-user-namespace',
    attack: 'userns',
    around: ['userns-clone', 'userns-clone3', 'in-userns utsns', 'as-user userns'],
    neighbours: ['utsns', 'sethostname'],
  },
  { rule: 'no-settime', attack: 'set-time', around: ['adjust-time', 'need 25'], neighbours: ['read-time'] },
];

const INFORMATION: readonly Scenario[] = [
  {
    rule: 'no-kernel-log',
    attack: 'syslog',
    around: ['kmsg', 'kmsg-write', read('/proc/kmsg'), read('/dev/kmsg', 'bind-mount')],
    neighbours: [read('/dev/null'), OWN],
  },
  readingKernel(
    'no-kallsyms-read',
    '/proc/kallsyms',
    [read('/proc/modules'), read('/sys/kernel/btf/vmlinux')],
    [read('/proc/version'), OWN],
  ),
  readingKernel('no-kcore-read', '/proc/kcore', [read('/proc/kcore', 'descriptor')], [read('/proc/meminfo')]),
  {
    rule: 'no-memory-devices',
    attack: read('/dev/mem'),
    around: [read('/dev/port'), read('/dev/mem', 'bind-mount'), 'open-node r c 1 1', 'open rw name /dev/port'],
    neighbours: [read('/dev/null'), read('/dev/zero')],
  },
  readingKernel(
    'no-memory-layout-read',
    '/proc/iomem',
    [read('/proc/buddyinfo'), read('/proc/self/pagemap'), read('/proc/slabinfo')],
    [read('/proc/meminfo'), read('/proc/self/maps')],
  ),
  readingKernel(
    'no-masked-paths-read',
    '/proc/timer_list',
    [read('/proc/keys'), read('/sys/firmware'), read('/proc/interrupts')],
    [read('/proc/meminfo'), read('/proc/stat')],
  ),
  {
    rule: 'no-debugfs',
    attack: read('/sys/kernel/debug'),
    around: [
      read('/sys/kernel/tracing/trace'),
      write('/sys/kernel/tracing/trace_marker'),
      read('/sys/kernel/debug/sleep_time', 'bind-mount'),
    ],
    neighbours: [read('/sys/kernel/uevent_seqnum'), read('/sys/kernel/mm')],
  },
  {
    rule: 'no-securityfs-write',
    attack: write('/sys/kernel/security/lockdown'),
    around: ['descriptor', 'bind-mount', 'process-root'].map((way) => write('/sys/kernel/security/lockdown', way)),
    neighbours: [read('/sys/kernel/security/lsm')],
  },
  readingKernel(
    'no-vmcoreinfo-read',
    '/sys/kernel/vmcoreinfo',
    [read('/sys/kernel/notes')],
    [read('/sys/kernel/uevent_seqnum')],
  ),
  reading(
    'no-boot-access',
    '/boot/System.map-6.1',
    [
      read('/host/boot/vmlinuz-6.1'),
      write('/boot/vmlinuz-6.1'),
      'create /boot/grub/new',
      read('/boot/vmlinuz-6.1', 'hard-link'),
    ],
    [read('/boot/README'), read('/boot/grub/grub.cfg')],
  ),
];

const HARDWARE: readonly Scenario[] = [
  {
    rule: 'no-firmware-write',
    attack: write('/sys/firmware/acpi/interrupts/error'),
    around: [
      write('/sys/firmware/acpi/interrupts/error', 'fresh-mount'),
      write('/sys/firmware/acpi/interrupts/error', 'bind-mount'),
    ],
    neighbours: [read('/sys/firmware/acpi/interrupts/error')],
  },
  writingKernel(
    'no-pci-access',
    '/sys/devices/pci0000:00/0000:00:00.0/config',
    [write('/sys/bus/pci/devices/0000:00:00.0/config'), write('/proc/bus/pci/00/00.0'), write('/sys/bus/pci/rescan')],
    [write('/sys/devices/virtual/mem/null/uevent')],
  ),
  writingKernel(
    'no-power-control',
    '/sys/power/state',
    [write('/sys/devices/system/cpu/cpu0/hotplug/target')],
    [write('/sys/kernel/mm/transparent_hugepage/enabled')],
  ),
];

export const KERNEL: readonly Scenario[] = [...CALLS, ...INFORMATION, ...HARDWARE];
