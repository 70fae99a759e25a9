/** How an intruder stays, on the host too where its tree is mounted, and how traces are removed. */
import type { ReadyRule } from '../../model/hardening.ts';
import { attack, cwe } from './links.ts';
import { changing, inHomes, inTrees, pathsTo } from './targets.ts';

const ESCAPE = attack('T1611');

const PERSISTENCE: readonly ReadyRule[] = [
  {
    name: 'no-cron-write',
    title: 'No jobs for cron',
    group: 'host',
    severity: 'high',
    stops: 'Stops changing tables of cron and at, those of a mounted host too.',
    breaks: 'May break installing packages that bring jobs, and crontab.',
    links: [attack('T1053.003'), ESCAPE],
    targets: [
      changing(
        inTrees(
          'etc/cron.{d,hourly,daily,weekly,monthly,yearly}/**',
          'etc/{crontab,anacrontab,cron.allow,cron.deny,at.allow,at.deny}',
          'var/spool/{cron,at,anacron}/**',
        ),
      ),
    ],
  },
  {
    name: 'no-service-write',
    title: 'No new services',
    group: 'host',
    severity: 'high',
    stops: 'Stops changing units of systemd and scripts of init, those of a mounted host too.',
    breaks: 'May break installing packages that bring services.',
    links: [attack('T1543.002'), attack('T1053.006'), attack('T1037.004')],
    targets: [
      changing([
        ...inTrees(
          '{etc,lib,usr/lib,run}/systemd/**',
          'etc/{init.d,rc.d,rc?.d,init,udev}/**',
          'etc/{rc.local,inittab}',
          'etc/{xdg/autostart,update-motd.d,NetworkManager/dispatcher.d}/**',
        ),
        ...inHomes('.config/systemd/**'),
      ]),
    ],
  },
  {
    name: 'no-shell-profile-write',
    title: 'No changes of what shells run at start',
    group: 'host',
    severity: 'medium',
    stops: 'Stops changing profiles of shells, of the system and of users.',
    breaks: 'May break installers that extend the search path.',
    links: [attack('T1546.004')],
    targets: [
      changing([
        ...inTrees(
          'etc/{profile,bash.bashrc,bashrc,environment,zshenv,zshrc,zprofile,csh.login,csh.cshrc}',
          'etc/{profile.d,zsh,fish}/**',
        ),
        ...inHomes(
          '.{bashrc,bash_profile,bash_login,bash_logout,profile,zshrc,zshenv,zprofile,zlogin,kshrc,cshrc,tcshrc,login}',
        ),
      ]),
    ],
  },
  {
    name: 'no-binaries-write',
    title: 'Directories of binaries unwritable',
    group: 'host',
    severity: 'high',
    stops: 'Stops changing programs of the system: replaced ones are how an intruder stays.',
    breaks: 'May break installing packages and programs that update themselves.',
    links: [attack('T1554'), attack('T1036.005'), cwe(732)],
    targets: [changing(['/{bin,sbin}/**', '/usr/{bin,sbin}/**', '/usr/local/{bin,sbin}/**'])],
  },
  {
    name: 'no-libraries-write',
    title: 'Directories of libraries unwritable',
    group: 'host',
    severity: 'high',
    stops: 'Stops changing libraries of the system.',
    breaks: 'May break installing packages, and languages that compile modules where they lie.',
    links: [attack('T1554'), attack('T1574.006'), cwe(732)],
    targets: [
      changing([
        '/{lib,lib32,lib64,libx32}/**',
        '/usr/{lib,lib32,lib64,libx32,libexec}/**',
        '/usr/local/{lib,libexec}/**',
      ]),
    ],
  },
  {
    name: 'no-preload-write',
    title: 'No libraries loaded into every program',
    group: 'host',
    severity: 'critical',
    stops: 'Stops changing ld.so.preload and the search path of the loader, those of a mounted host too.',
    breaks: 'May break installing libraries (ldconfig).',
    links: [attack('T1574.006'), attack('T1014')],
    targets: [changing(inTrees('etc/ld.so.{preload,cache,conf}', 'etc/ld.so.conf.d/**', 'etc/ld-musl-*.path'))],
  },
  {
    name: 'no-account-write',
    title: 'No new accounts and rights',
    group: 'host',
    severity: 'high',
    stops: 'Stops changing accounts, groups, sudoers and PAM, those of a mounted host too.',
    breaks: 'May break entry points that add a user, and installing packages that do.',
    links: [attack('T1136.001'), attack('T1098'), attack('T1548.003')],
    targets: [
      changing(
        inTrees(
          'etc/{passwd,passwd-,group,group-,shadow,shadow-,gshadow,gshadow-,subuid,subgid,sudoers,nsswitch.conf,doas.conf}',
          'etc/{sudoers.d,pam.d,security,polkit-1}/**',
        ),
      ),
    ],
  },
];

const TRACES: readonly ReadyRule[] = [
  {
    name: 'no-log-removal',
    title: 'No removal of logs',
    group: 'host',
    severity: 'medium',
    stops: 'Stops deleting, renaming and re-owning what lies in /var/log; writing goes on.',
    breaks: 'May break rotation of logs inside the container.',
    links: [attack('T1070.002')],
    targets: [pathsTo(['delete', 'attributes', 'mount'], inTrees('var/log/**'))],
  },
  {
    name: 'no-login-record-write',
    title: 'Records of logins unwritable',
    group: 'host',
    severity: 'medium',
    stops: 'Stops changing wtmp, btmp, utmp, lastlog, and the logs of audit and journal.',
    breaks: 'May break login, sshd and audit daemons in containers.',
    links: [attack('T1070.002')],
    targets: [
      changing(inTrees('var/log/{wtmp,btmp,lastlog,faillog,tallylog}', 'run/utmp', 'var/log/{audit,journal}/**')),
    ],
  },
  {
    name: 'no-history-removal',
    title: 'Histories of shells unremovable',
    group: 'host',
    severity: 'low',
    stops: 'Stops deleting histories of shells, renaming them, and replacing them by links.',
    breaks: 'May break shells that rewrite their history by way of a new file.',
    links: [attack('T1070.003')],
    targets: [
      pathsTo(['delete', 'attributes', 'mount'], inHomes('.{bash,zsh,ash,sh,mysql,psql,python,node_repl}_history')),
    ],
  },
];

export const PERSISTENCE_RULES: readonly ReadyRule[] = [...PERSISTENCE, ...TRACES];
