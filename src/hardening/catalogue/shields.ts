/** Shields I to X: what makes a weakness of the application, or of the platform, worth less to who found it. */
import type { ReadyRule } from '../../model/hardening.ts';
import { attack, cve, cwe } from './links.ts';
import {
  changing,
  executing,
  inBinaries,
  inTrees,
  nearby,
  ofProcesses,
  operations,
  pathsTo,
  reading,
} from './targets.ts';

/** Names of volumes Kubernetes keeps up to date: `..2026_01_31_10_00_00.123456789`, behind the link `..data`. */
const VERSIONED = '..2*';

/** Where applications and what they serve lie. */
const SITES = [
  '/{app,apps,code,data,opt,srv,sites,src,www,workspace}/**',
  '/{home,usr/share,usr/src,var/www,var/lib}/*/**',
];
const inSites = (...names: readonly string[]): readonly string[] =>
  SITES.flatMap((tree) => names.map((name) => `${tree}/${name}`));

const CREDENTIALS: readonly ReadyRule[] = [
  {
    name: 'no-service-account-token-read',
    title: 'Service-account token unreadable',
    group: 'shield',
    severity: 'high',
    stops: 'Stops reading the token by which the pod speaks to the API server, by any of its paths.',
    breaks: 'May break applications that use the Kubernetes API; let their executable read it and nothing else.',
    links: [attack('T1528'), attack('T1552.007'), cwe(522)],
    targets: [
      reading([
        '/{run,var/run}/secrets/kubernetes.io/serviceaccount/{token,*/token}',
        ...inTrees('var/lib/kubelet/pods/*/volumes/kubernetes.io~{projected,secret}/*/{token,*/token}'),
      ]),
    ],
  },
  {
    name: 'no-projected-token-read',
    title: 'Projected tokens unreadable, wherever they are mounted',
    group: 'shield',
    severity: 'high',
    stops:
      'Stops reading tokens of projected volumes: those of cloud providers, of Vault, and what is called token elsewhere.',
    breaks: 'May break applications that sign in by workload identity; let their executable read it and nothing else.',
    links: [attack('T1528'), attack('T1552.001'), cwe(522)],
    targets: [
      reading([
        ...nearby(`${VERSIONED}/{token,*-token,*_token,*.token,*.jwt}`),
        '/{run,var/run}/secrets/{eks,pods.eks}.amazonaws.com/serviceaccount/{,*/}*token',
        '/{run,var/run}/secrets/{azure/tokens,tokens,vault}/**',
      ]),
    ],
  },
  {
    name: 'no-mounted-secrets-read',
    title: 'Secrets of the platform unreadable',
    group: 'shield',
    severity: 'medium',
    stops: 'Stops reading what is mounted below /run/secrets: secrets of Swarm, compose, builders and Kubernetes.',
    breaks: 'May break the application the secrets are for; use it with executables.',
    links: [attack('T1552.001'), cwe(522)],
    targets: [
      reading(
        ['/run/secrets/**', '/var/run/secrets/**'],
        ['/{run,var/run}/secrets/kubernetes.io/serviceaccount/{,*/}{ca.crt,namespace}'],
      ),
    ],
  },
];

const INFORMATION: readonly ReadyRule[] = [
  {
    name: 'no-mount-table-read',
    title: "The container's paths on the host unreadable",
    group: 'shield',
    severity: 'medium',
    stops: 'Stops reading the tables of mounts, which tell where on the host the files of the container lie.',
    breaks: 'May break df, mount, findmnt, and runtimes of languages that read their memory limit by way of mountinfo.',
    links: [attack('T1082'), attack('T1613'), cwe(200)],
    targets: [reading(ofProcesses('{mounts,mountinfo,mountstats}'))],
  },
  {
    name: 'no-disk-numbers-read',
    title: "Device numbers of the host's disks unreadable",
    group: 'shield',
    severity: 'medium',
    stops: 'Stops reading the numbers of block devices, which are what mknod wants.',
    breaks: 'May break lsblk, and monitoring of disks.',
    links: [attack('T1082'), cwe(200)],
    targets: [
      reading([
        '/proc/{partitions,diskstats,devices}',
        '/sys/{block,dev/block,class/block}/**',
        '/sys/devices/**/block/**',
      ]),
    ],
  },
  {
    name: 'no-arp-read',
    title: 'Neighbours unreadable',
    group: 'shield',
    severity: 'low',
    stops: "Stops reading the ARP table, which tells the host's and neighbours' addresses.",
    breaks: 'May break arp and programs that look for neighbours in procfs.',
    links: [attack('T1016'), attack('T1018'), cwe(200)],
    targets: [reading(ofProcesses('net/{arp,anycast6,igmp,igmp6,mcfilter,mcfilter6}'))],
  },
  {
    name: 'no-routes-read',
    title: 'Routes unreadable',
    group: 'shield',
    severity: 'low',
    stops: "Stops reading routes and local addresses, which tell the host's address and network.",
    breaks: 'May break route, and programs that find the gateway in procfs.',
    links: [attack('T1016'), cwe(200)],
    targets: [reading(ofProcesses('net/{route,ipv6_route,fib_trie,fib_triestat,rt_cache,if_inet6}'))],
  },
  {
    name: 'no-socket-table-read',
    title: 'Tables of sockets unreadable',
    group: 'shield',
    severity: 'low',
    stops:
      'Stops reading which connections and listeners there are; on the network of the host they are those of the host.',
    breaks: 'May break netstat, and monitoring that reads these tables.',
    links: [attack('T1049'), cve('2020-15257'), cwe(200)],
    targets: [
      reading(
        ofProcesses(
          'net/{tcp,tcp6,udp,udp6,udplite,udplite6,raw,raw6,icmp,icmp6,sctp/*,unix,packet,netlink,nf_conntrack}',
        ),
      ),
    ],
  },
];

const EXECUTABLES: readonly ReadyRule[] = [
  {
    name: 'no-shells',
    title: 'No shells',
    group: 'shield',
    severity: 'high',
    stops: 'Stops running shells, and copying them; programs that hold a shell beside others (busybox, toybox) count.',
    breaks:
      'May break entry points, health checks and hooks that are shell scripts; all of busybox in images made of it.',
    links: [attack('T1059.004'), cwe(78)],
    targets: [
      executing(
        inBinaries(
          '{sh,bash,rbash,dash,ash,zsh,ksh,ksh93,mksh,lksh,yash,posh,tcsh,csh,fish,busybox,busybox.static,toybox}',
        ),
      ),
    ],
  },
  {
    name: 'no-busybox',
    title: 'No programs that are many',
    group: 'shield',
    severity: 'medium',
    stops: 'Stops running busybox, toybox and their like, by whatever name of theirs.',
    breaks: 'May break all of images that are made of busybox.',
    links: [attack('T1059.004'), attack('T1105')],
    targets: [executing(inBinaries('{busybox,busybox.static,toybox,sbase-box,ubase-box}'))],
  },
  {
    name: 'no-downloaders',
    title: 'No downloaders',
    group: 'shield',
    severity: 'medium',
    stops: 'Stops running wget, curl and others by which an attacker fetches the next stage.',
    breaks: 'May break health checks by curl or wget, and scripts that download.',
    links: [attack('T1105'), cwe(494)],
    targets: [
      executing(
        inBinaries(
          '{wget,wget2,curl,wcurl,aria2c,axel,lynx,links,elinks,w3m,http,https,lftp,ftp,tftp,scp,sftp,rsync,rclone}',
        ),
      ),
    ],
  },
];

const CHANGES: readonly ReadyRule[] = [
  {
    name: 'no-permission-change',
    title: 'No changing of permissions',
    group: 'shield',
    severity: 'medium',
    stops: 'Stops changing mode, owner and extended attributes of any file.',
    breaks:
      'May break programs that set modes of the files they create, entry points that chown volumes, and unpacking of archives.',
    links: [attack('T1222.002'), cwe(732)],
    targets: [pathsTo(['attributes'], ['/**'])],
  },
  {
    name: 'no-config-write',
    title: 'Configuration unwritable',
    group: 'shield',
    severity: 'medium',
    stops: 'Stops changing anything in /etc and its like: accounts, resolvers, loaders, services.',
    breaks: 'May break entry points that write their configuration from templates.',
    links: [attack('T1543.002'), attack('T1136.001'), cwe(732)],
    targets: [changing(['/etc/**', '/usr/etc/**', '/usr/local/etc/**'])],
  },
];

const ESCALATION: readonly ReadyRule[] = [
  {
    name: 'no-become-root',
    title: 'No becoming root',
    group: 'shield',
    severity: 'high',
    stops: 'Stops a process that is not root from becoming root, by whatever means.',
    breaks: 'May break su, sudo, ping and mail programs that are setuid.',
    links: [attack('T1548.001'), attack('T1068'), cve('2021-4034'), cve('2021-3156')],
    targets: [operations('become-root')],
  },
  {
    name: 'no-setuid-execution',
    title: 'No running of programs with other privileges',
    group: 'shield',
    severity: 'high',
    stops: 'Stops running files that have the setuid or setgid bit, or capabilities of their own.',
    breaks: 'May break su, sudo, passwd, ping and whatever else is setuid or has file capabilities.',
    links: [attack('T1548.001'), cve('2021-4034'), cve('2021-3156'), cve('2023-0386')],
    targets: [operations('setuid-execute')],
  },
  {
    name: 'no-setuid-bit',
    title: 'No setuid or setgid bits',
    group: 'shield',
    severity: 'high',
    stops: 'Stops giving files the setuid or setgid bit, when they are made or later.',
    breaks: 'May break package managers that install setuid programs, and directories made with the setgid bit.',
    links: [attack('T1548.001'), cwe(732)],
    targets: [operations('setuid-mode')],
  },
];

const LOCAL_SOCKETS: readonly ReadyRule[] = [
  {
    name: 'no-abstract-unix-sockets',
    title: 'No abstract UNIX sockets',
    group: 'shield',
    severity: 'high',
    stops: 'Stops binding and reaching abstract UNIX sockets: on the network of the host they are those of the host.',
    breaks: 'May break X11, D-Bus and others that talk by abstract names.',
    links: [cve('2020-15257'), attack('T1559'), attack('T1611')],
    targets: [pathsTo(['connect', 'bind'], ['@*', '@*/**'])],
  },
  {
    name: 'no-unix-sockets',
    title: 'No local services by UNIX sockets',
    group: 'shield',
    severity: 'medium',
    stops: 'Stops binding and reaching UNIX sockets of any name; socket pairs between relatives go on working.',
    breaks: 'May break databases, process managers and proxies that talk by sockets, and logging by /dev/log.',
    links: [attack('T1559'), cve('2020-15257')],
    targets: [pathsTo(['connect', 'bind'], ['/**', '@*', '@*/**'])],
  },
];

/** For rules with executables: what a service must not hand out, however it is tricked. */
const BEHIND_SERVICES: readonly ReadyRule[] = [
  {
    name: 'no-source-control-read',
    title: 'Repositories unreadable',
    group: 'shield',
    severity: 'medium',
    stops:
      'Stops reading .git, .svn and .hg directories of applications, which often hold secrets; for web servers above all.',
    breaks: 'May break git and tools that find out their version by it.',
    links: [cwe(527), cwe(22), attack('T1213.003')],
    targets: [reading(inSites('.{git,svn,hg,bzr}/**', '.{gitconfig,git-credentials}'))],
  },
  {
    name: 'no-environment-files-read',
    title: 'Files of secrets beside the application unreadable',
    group: 'shield',
    severity: 'medium',
    stops:
      'Stops reading .env and its like, password files and configuration that holds secrets; for web servers above all.',
    breaks: 'May break the application the file is for; name the server, not the application, in executables.',
    links: [attack('T1552.001'), cwe(538), cwe(22)],
    targets: [
      reading(
        inSites(
          '{.env,.env.*,.htpasswd,.htaccess,.netrc,.pgpass,.my.cnf,.npmrc,.pypirc,.dockercfg}',
          '{wp-config.php,web.config,secrets.yml,secrets.yaml,credentials.json}',
        ),
      ),
    ],
  },
  {
    name: 'no-private-key-read',
    title: 'Private keys unreadable',
    group: 'shield',
    severity: 'medium',
    stops: 'Stops reading files that are called like private keys and key stores.',
    breaks: 'May break the server the key is for; use it with executables.',
    links: [attack('T1552.004'), cwe(22), cwe(522)],
    targets: [
      reading([
        ...inSites('*.{key,pfx,p12,jks,keystore,ppk}', '{privkey*,*-key}.pem'),
        '/{etc,run,certs,keys,secrets,ssl,tls}/**/{*.{key,pfx,p12,jks,keystore,ppk},privkey*.pem,*-key.pem}',
        '/etc/{ssl,pki/tls}/private/**',
      ]),
    ],
  },
  {
    name: 'no-account-read',
    title: 'Lists of accounts unreadable',
    group: 'shield',
    severity: 'low',
    stops:
      'Stops reading /etc/passwd and its like, the first thing a path traversal asks for; for web servers above all.',
    breaks: 'May break whatever looks up users by name: use it with executables.',
    links: [attack('T1087.001'), cwe(22)],
    targets: [reading(inTrees('etc/{passwd,passwd-,group,group-,subuid,subgid}'))],
  },
];

export const SHIELD_RULES: readonly ReadyRule[] = [
  ...CREDENTIALS,
  ...INFORMATION,
  ...EXECUTABLES,
  ...CHANGES,
  ...ESCALATION,
  ...LOCAL_SOCKETS,
  ...BEHIND_SERVICES,
];
