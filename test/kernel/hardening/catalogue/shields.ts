import { changing, executing, read, reading, readingKernel, type Scenario, write } from './scenario.ts';

const TOKEN = '/run/secrets/kubernetes.io/serviceaccount';
const PROJECTED = '/var/tokens/..2026_02_02_02_02_02.2';

const CREDENTIALS: readonly Scenario[] = [
  reading(
    'no-service-account-token-read',
    `${TOKEN}/token`,
    [
      read(`${TOKEN}/..data/token`),
      read(`${TOKEN}/..2026_01_01_01_01_01.1/token`),
      read(`${TOKEN}/..2026_01_01_01_01_01.1/token`, 'hard-link'),
      read(`${TOKEN}/..2026_01_01_01_01_01.1/token`, 'renamed-parent'),
    ],
    [read(`${TOKEN}/ca.crt`), read(`${TOKEN}/namespace`)],
  ),
  reading(
    'no-projected-token-read',
    `${PROJECTED}/vault-token`,
    [read('/var/tokens/..data/vault-token'), read(`${PROJECTED}/vault-token`, 'hard-link')],
    [read(`${PROJECTED}/settings`)],
  ),
  reading(
    'no-mounted-secrets-read',
    '/run/secrets/db_password',
    [read('/run/secrets/db_password', 'hard-link'), read('/run/secrets/db_password', 'renamed-parent')],
    [read('/run/plain'), read(`${TOKEN}/ca.crt`)],
  ),
];

const INFORMATION: readonly Scenario[] = [
  readingKernel(
    'no-mount-table-read',
    '/proc/self/mountinfo',
    [read('/proc/mounts'), read('/proc/1/mountinfo'), read('/proc/thread-self/mounts'), read('/proc/self/mountstats')],
    [read('/proc/self/status'), read('/proc/filesystems')],
  ),
  readingKernel(
    'no-disk-numbers-read',
    '/proc/partitions',
    [read('/proc/diskstats'), read('/sys/class/block'), read('/sys/block/{diskname}/dev'), read('/sys/dev/block')],
    [read('/proc/cpuinfo'), read('/sys/class/mem/null/dev')],
  ),
  readingKernel(
    'no-arp-read',
    '/proc/self/net/arp',
    [read('/proc/net/arp'), read('/proc/1/net/arp'), read('/proc/thread-self/net/arp')],
    [read('/proc/net/dev'), read('/proc/net/route')],
  ),
  readingKernel(
    'no-routes-read',
    '/proc/self/net/route',
    [read('/proc/net/fib_trie'), read('/proc/1/net/route')],
    [read('/proc/net/dev'), read('/proc/net/arp')],
  ),
  readingKernel(
    'no-socket-table-read',
    '/proc/self/net/unix',
    [read('/proc/net/tcp'), read('/proc/1/net/udp'), read('/proc/thread-self/net/tcp6'), read('/proc/net/icmp')],
    [read('/proc/net/dev'), read('/proc/net/sockstat')],
  ),
];

const EXECUTABLES: readonly Scenario[] = [
  executing('no-shells', '/usr/bin/bash', ['/bin/sh', '/bin/dash'], ['/usr/bin/basename', '/usr/bin/bashful']),
  executing('no-busybox', '/usr/bin/busybox', ['/usr/bin/vi'], ['/usr/bin/basename', '/usr/bin/busyboxed']),
  executing('no-downloaders', '/usr/bin/curl', ['/usr/local/bin/wget'], ['/usr/bin/basename', '/usr/bin/curlew']),
];

const CHANGES: readonly Scenario[] = [
  {
    rule: 'no-permission-change',
    attack: 'chmod /var/file 640',
    around: ['fchmod /var/file 600', 'lchown /var/file 1', 'setxattr /var/file trusted.deed', 'chmod /tmp 1777'],
    neighbours: ['create /var/new', write('/var/file'), 'rename /var/file /var/renamed'],
  },
  changing(
    'no-config-write',
    '/etc/app.conf',
    ['create /etc/new', 'mkdir /etc/new.d', 'mount tmpfs none /etc 0', 'rename /etc /etcetera'],
    [write('/var/file'), 'create /var/etc', 'mount tmpfs none /mnt 0'],
  ),
];

const ESCALATION: readonly Scenario[] = [
  {
    rule: 'no-become-root',
    attack: 'become-root',
    around: ['become-root-fs', 'as-user execute name /usr/bin/setuid'],
    neighbours: ['setuid 1234', 'as-user execute name /usr/bin/basename'],
  },
  {
    rule: 'no-setuid-execution',
    attack: 'as-user execute name /usr/bin/setuid',
    around: [
      'as-user execute descriptor /usr/bin/setuid',
      'as-user execute symbolic-link /usr/bin/setuid',
      'as-user execute name /usr/bin/setgid',
      'as-user execute name /usr/bin/filecap',
    ],
    neighbours: ['as-user execute name /usr/bin/basename', 'become-root'],
  },
  {
    rule: 'no-setuid-bit',
    attack: 'chmod /var/program 4755',
    around: ['fchmod /var/program 4755', 'chmod /var/program 2755', 'usual chmod /var/program 6755'],
    neighbours: ['chmod /var/program 755', 'chmod /var/program 1755', 'lchown /var/program 0'],
  },
];

const LOCAL_SOCKETS: readonly Scenario[] = [
  {
    rule: 'no-abstract-unix-sockets',
    attack: 'unix-connect @deed-served',
    around: ['unix-bind @deed-new', 'unix-connect @/containerd-shim/deed', 'unix-bind @/deed/new'],
    neighbours: ['unix-connect /run/served.sock', 'unix-pair', 'socket 1 1 0'],
  },
  {
    rule: 'no-unix-sockets',
    attack: 'unix-connect /run/served.sock',
    around: [
      'unix-connect-descriptor /run/served.sock',
      'unix-connect-link /run/served.sock',
      'unix-connect @deed-served',
      'unix-bind @deed-new',
    ],
    neighbours: ['unix-pair', 'socket 1 1 0', 'create /run/file'],
  },
];

const BEHIND_SERVICES: readonly Scenario[] = [
  reading(
    'no-source-control-read',
    '/var/www/html/.git/config',
    [
      read('/var/www/html/.git/config', 'renamed-parent'),
      read('/var/www/html/.git/config', 'hard-link'),
      read('/srv/shop/a/b/c/.git/config'),
    ],
    [read('/var/www/html/.github/config'), read('/var/www/html/index')],
  ),
  reading(
    'no-environment-files-read',
    '/srv/shop/.env',
    [read('/srv/shop/.env', 'hard-link')],
    [read('/srv/shop/.envoy'), read('/srv/shop/environment'), write('/srv/shop/.env')],
  ),
  reading(
    'no-private-key-read',
    '/etc/ssl/private/server.pem',
    [read('/srv/shop/tls.key'), read('/srv/shop/tls.key', 'hard-link')],
    [read('/srv/shop/tls.crt'), read('/srv/shop/keyboard')],
  ),
  reading(
    'no-account-read',
    '/etc/passwd',
    [read('/host/etc/passwd'), read('/etc/passwd', 'hard-link'), read('/etc/passwd', 'symbolic-link')],
    [read('/etc/passwords'), read('/etc/hosts')],
  ),
];

export const SHIELDS: readonly Scenario[] = [
  ...CREDENTIALS,
  ...INFORMATION,
  ...EXECUTABLES,
  ...CHANGES,
  ...ESCALATION,
  ...LOCAL_SOCKETS,
  ...BEHIND_SERVICES,
];
