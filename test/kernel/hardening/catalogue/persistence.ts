import { changing, read, type Scenario, write } from './scenario.ts';

export const PERSISTENCE: readonly Scenario[] = [
  changing(
    'no-cron-write',
    '/etc/crontab',
    [
      'create /etc/cron.d/job',
      'create /host/etc/cron.d/job',
      'create /var/spool/cron/root',
      'rename /etc/cron.d /etc/was',
    ],
    ['create /etc/cronies', write('/etc/app.conf')],
  ),
  changing(
    'no-service-write',
    '/etc/systemd/system/web.service',
    [
      'create /usr/lib/systemd/system/new.service',
      'create /host/etc/systemd/system/new.service',
      'create /etc/init.d/new',
    ],
    [write('/etc/app.conf'), 'create /etc/systemd2'],
  ),
  changing(
    'no-shell-profile-write',
    '/etc/profile',
    ['create /etc/profile.d/new.sh', write('/root/.bashrc'), 'create /home/somebody/.profile'],
    [write('/etc/app.conf'), write('/root/.sshrc')],
  ),
  changing(
    'no-binaries-write',
    '/usr/bin/builtin',
    ['create /usr/bin/new', 'create /bin/new', 'create /usr/local/sbin/new', 'mount tmpfs none /usr/bin 0'],
    ['create /usr/binary', 'execute name /usr/bin/basename', write('/var/program')],
  ),
  changing(
    'no-libraries-write',
    '/usr/lib/libdeed.so',
    ['create /usr/lib/new.so', 'create /usr/local/lib/new.so', 'rename /usr/lib/deeds /usr/was'],
    ['create /usr/library', 'execute name /usr/bin/basename'],
  ),
  changing(
    'no-preload-write',
    '/etc/ld.so.preload',
    ['create /host/etc/ld.so.conf', 'create /etc/ld.so.conf.d/new.conf'],
    [write('/etc/app.conf'), 'create /etc/ld.so.other'],
  ),
  changing(
    'no-account-write',
    '/etc/passwd',
    [write('/host/etc/shadow'), 'create /etc/sudoers.d/new', write('/etc/shadow')],
    [write('/etc/app.conf'), write('/etc/passwords')],
  ),
  {
    rule: 'no-log-removal',
    attack: 'remove /var/log/app.log',
    around: [
      'rename /var/log/app.log /var/taken',
      'rename /var/log/app.log /var/log/app.log.1',
      'chmod /var/log/app.log 600',
      'rename /var/log /var/was',
      'mount tmpfs none /var/log 0',
    ],
    neighbours: [write('/var/log/app.log'), 'truncate /var/log/app.log', 'remove /var/logbook'],
  },
  changing(
    'no-login-record-write',
    '/var/log/wtmp',
    [write('/var/log/audit/audit.log'), 'create /run/utmp'],
    [write('/var/log/app.log'), 'remove /var/logbook'],
  ),
  {
    rule: 'no-history-removal',
    attack: 'remove /root/.bash_history',
    around: [
      'rename /root/.bash_history /root/taken',
      'replace /root/.bash_history',
      'chmod /root/.bash_history 0',
      'rename /root /var/root',
    ],
    neighbours: [write('/root/.bash_history'), read('/root/.bash_history'), 'remove /root/.bash_story'],
  },
];
