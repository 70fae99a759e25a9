import { changing, connecting, read, reading, readingKernel, type Scenario, write } from './scenario.ts';

const TMPFS = 'mount tmpfs none /mnt 0';

const SOCKETS: readonly Scenario[] = [
  connecting('no-docker-socket', '/run/docker.sock', ['unix-connect /host/run/docker.sock']),
  connecting('no-containerd-socket', '/run/containerd/containerd.sock', ['unix-connect @/containerd-shim/deed']),
  connecting('no-crio-socket', '/run/crio/crio.sock', ['usual unix-connect /run/crio/crio.sock']),
  connecting('no-podman-socket', '/run/podman/podman.sock', ['usual unix-connect /run/podman/podman.sock']),
  connecting('no-system-bus', '/run/dbus/system_bus_socket', ['unix-connect /run/systemd/private']),
];

const MOUNTS: readonly Scenario[] = [
  {
    rule: 'no-mount',
    attack: TMPFS,
    around: [
      'mount-new tmpfs /mnt',
      'bind /etc /mnt',
      'open-tree-clone /etc',
      'remount /dev/shm 0',
      'mount-setattr /dev/shm',
      'in-userns mount tmpfs none /mnt 0',
    ],
    neighbours: ['open-tree /etc', 'umount /dev/shm', 'utsns'],
  },
  {
    rule: 'no-unmount',
    attack: 'umount /dev/shm',
    around: ['move /dev/shm /mnt', 'move-new /dev/shm /mnt'],
    neighbours: [TMPFS, 'bind /etc /mnt', 'open-tree /etc'],
  },
  {
    rule: 'no-mount-propagation',
    attack: 'propagate /',
    around: ['propagate /dev/shm', 'in-userns propagate /'],
    neighbours: [TMPFS, 'remount /dev/shm 0', 'bind /etc /mnt'],
  },
  {
    rule: 'no-disk-mount',
    attack: 'mount ext2 {disk} /mnt 1',
    around: ['mount ext4 {disk} /mnt 1', 'mount ext2 {disk} /mnt 0', 'mount ext2 {disk} /mnt 15'],
    neighbours: [TMPFS, read('{disk}')],
  },
  {
    rule: 'no-procfs-mount',
    attack: 'mount proc none /mnt 1',
    around: ['mount-new proc /mnt ro', 'bind /proc /mnt', 'open-tree-clone /proc', 'mount proc none /mnt 0'],
    neighbours: [TMPFS, 'mount sysfs none /mnt 1', read('/proc/self/status')],
  },
  {
    rule: 'no-kernel-filesystem-mount',
    attack: 'mount sysfs none /mnt 0',
    around: ['mount-new debugfs /mnt', 'mount devtmpfs none /mnt 0', 'bind /sys /mnt', 'mount bpf none /mnt 0'],
    neighbours: [TMPFS, 'mount proc none /mnt 0'],
  },
  {
    rule: 'no-overlay-mount',
    attack: 'mount-overlay /mnt',
    around: ['mount-overlay-new', 'in-userns mount-overlay /mnt'],
    neighbours: [TMPFS, 'bind /etc /mnt'],
  },
  changing(
    'no-host-tree-write',
    '/host/etc/app.conf',
    ['create /host/new', 'mount tmpfs none /host/etc 0', write('/host/etc/app.conf', 'changed-root')],
    [write('/hosted'), write('/etc/app.conf')],
  ),
  {
    rule: 'no-chroot',
    attack: 'chroot /etc',
    around: ['chroot /', 'usual chroot /etc', 'in-userns chroot /etc', read('/etc/app.conf', 'changed-root')],
    neighbours: [read('/etc/app.conf'), TMPFS],
  },
  {
    rule: 'no-pivot-root',
    attack: 'pivot-root /mnt',
    around: ['in-userns pivot-root /mnt'],
    neighbours: [TMPFS, 'chroot /etc'],
  },
];

const CREDENTIALS: readonly Scenario[] = [
  reading(
    'no-shadow-read',
    '/etc/shadow',
    [read('/etc/shadow', 'hard-link'), read('/host/etc/shadow'), read('/etc/gshadow')],
    [read('/etc/passwd'), read('/etc/shadowy'), write('/etc/shadow')],
  ),
  reading(
    'no-ssh-keys-read',
    '/root/.ssh/id_ed25519',
    [
      read('/root/.ssh/id_ed25519', 'hard-link'),
      read('/root/.ssh/id_ed25519', 'renamed-parent'),
      read('/home/somebody/.ssh/id_rsa'),
      read('/etc/ssh/ssh_host_rsa_key'),
      read('/host/root/.ssh/id_rsa'),
    ],
    [read('/root/.ssh/id_ed25519.pub'), read('/root/.ssh/known_hosts'), read('/root/.sshrc')],
  ),
  changing(
    'no-ssh-keys-write',
    '/root/.ssh/authorized_keys',
    ['create /root/.ssh/new', 'create /home/somebody/.ssh/new', 'rename /root/.ssh /root/.ssh2'],
    [write('/root/.sshrc')],
  ),
  reading(
    'no-cloud-credentials-read',
    '/root/.aws/credentials',
    [read('/root/.aws/credentials', 'renamed-parent'), read('/home/somebody/.config/gcloud/access_tokens.db')],
    [read('/root/.sshrc'), read('/home/somebody/.config/editor')],
  ),
  reading(
    'no-kubernetes-credentials-read',
    '/root/.kube/config',
    [
      read('/etc/kubernetes/admin.conf'),
      read('/host/var/lib/kubelet/pki/kubelet.key'),
      read('/root/.kube/config', 'hard-link'),
    ],
    [read('/root/.sshrc'), read('/etc/kubernetesish')],
  ),
];

const PROCESSES: readonly Scenario[] = [
  {
    rule: 'no-ptrace',
    attack: 'ptrace-child',
    around: ['ptrace-me', 'ptrace {outside}', 'read-memory {outside}', 'take-descriptor {outside}'],
    neighbours: ['read-status {outside}', 'read-environment self', 'signal-child'],
  },
  {
    rule: 'no-ptrace-outside',
    attack: 'ptrace {outside}',
    around: [
      'read-memory {outside}',
      'take-descriptor {outside}',
      'read-environment {outside}',
      'enter-root {outside}',
    ],
    neighbours: ['ptrace-child', 'ptrace-me', 'read-status {outside}', 'read-environment self'],
  },
  {
    rule: 'no-signal-outside',
    attack: 'signal {outside} 18',
    around: ['signal-descriptor {outside} 18', 'signal-thread {outside} 18'],
    neighbours: ['signal-child', 'signal-orphan', 'own-pipe'],
  },
  readingKernel(
    'no-process-memory',
    '/proc/self/mem',
    ['open rw name /proc/self/mem', write('/proc/thread-self/mem'), write('/proc/{outside}/mem')],
    [read('/proc/self/maps'), 'read-memory {outside}'],
  ),
  readingKernel(
    'no-environ-read',
    '/proc/self/environ',
    [read('/proc/{outside}/environ'), read('/proc/thread-self/environ')],
    [read('/proc/self/cmdline'), read('/proc/self/status')],
  ),
  {
    rule: 'no-foreign-descriptor',
    attack: 'receive @deed-foreign',
    around: ['take-descriptor {outside}'],
    neighbours: ['receive @deed-own', 'unix-pair', 'take-descriptor {inside}'],
  },
];

export const HOST: readonly Scenario[] = [...SOCKETS, ...MOUNTS, ...CREDENTIALS, ...PROCESSES];
