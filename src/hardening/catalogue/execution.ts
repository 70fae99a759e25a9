/** What may be run: from where, with which memory, and by which name. */
import type { ReadyRule } from '../../model/hardening.ts';
import { attack, cve, cwe } from './links.ts';
import { executing, executingAlone, inBinaries, inHidingPlaces, operations, writing } from './targets.ts';

const MINING = attack('T1496.001');

const WAYS: readonly ReadyRule[] = [
  {
    name: 'no-memfd-execution',
    title: 'No running of what no directory holds',
    group: 'execution',
    severity: 'high',
    stops:
      'Stops running and loading programs from anonymous memory files and from files without a name, where no scanner finds them.',
    breaks:
      'May break runc in containers, which clones itself into memory, some packers, and what starts itself anew after it was replaced.',
    links: [attack('T1620'), attack('T1055')],
    targets: [operations('memfd-execute')],
  },
  {
    name: 'no-temporary-execution',
    title: 'No running from directories for temporary files',
    group: 'execution',
    severity: 'high',
    stops: 'Stops running and loading what lies in /tmp, /var/tmp, /dev/shm and the like, where anybody can write.',
    breaks: 'May break installers that unpack there, and runtimes that load libraries they extract (JNI, PyInstaller).',
    links: [attack('T1105'), attack('T1036.005')],
    targets: [
      executingAlone(['/tmp/**', '/var/tmp/**', '/dev/shm/**', '/dev/mqueue/**', '/run/user/**', '/run/lock/**']),
    ],
  },
  {
    name: 'no-hidden-execution',
    title: 'No running of what hides',
    group: 'execution',
    severity: 'medium',
    stops: 'Stops running what has a name with a dot before it, or lies in such a directory, outside of homes.',
    breaks: 'May break tools that root installed for itself (.local/bin, .cargo, .nvm, virtual environments).',
    links: [attack('T1564.001')],
    targets: [executingAlone(inHidingPlaces('.*/**'))],
  },
  {
    name: 'no-writable-executable-memory',
    title: 'No memory that is written and then run',
    group: 'execution',
    severity: 'medium',
    stops: 'Stops making memory writable and executable at once, or executable after it was written.',
    breaks: 'May break every just-in-time compiler: Java, Node.js, .NET, LuaJIT, PHP with opcache JIT, PCRE.',
    links: [attack('T1620'), attack('T1055'), cwe(94)],
    targets: [operations('writable-execute')],
  },
];

const NAMES: readonly ReadyRule[] = [
  {
    name: 'no-package-managers',
    title: 'No package managers',
    group: 'execution',
    severity: 'medium',
    stops: 'Stops running package managers of systems and languages: what runs was in the image.',
    breaks: 'May break entry points that install what they lack.',
    links: [attack('T1072'), attack('T1105')],
    targets: [
      executing(
        inBinaries(
          '{apt,apt-get,aptitude,dpkg,dpkg-deb,apk,yum,dnf,dnf5,microdnf,tdnf,rpm,rpm2cpio,zypper,pacman,emerge,opkg,snap,flatpak,nix,nix-env,brew}',
          '{pip,pip2,pip3,pipx,uv,poetry,conda,mamba,easy_install,npm,npx,yarn,pnpm,gem,bundle,cargo,composer,cpan,cpanm,luarocks}',
        ),
      ),
    ],
  },
  {
    name: 'no-compilers',
    title: 'No compilers',
    group: 'execution',
    severity: 'medium',
    stops: 'Stops running compilers, assemblers and linkers, with which exploits are built on the spot.',
    breaks: 'May break languages that build extensions when they are installed.',
    links: [attack('T1027.004')],
    targets: [
      executing(
        inBinaries(
          '{cc,c89,c99,gcc,g++,c++,cpp,clang,clang++,clang-cpp,tcc,as,ld,ld.bfd,ld.gold,ld.lld,lld,gold,mold,make,gmake,ninja,cmake,go,rustc,javac,ghc,nasm,yasm}',
          '{gcc,g++,cpp,clang,clang++}-[0-9]*',
          '*-linux-{gnu,musl}*-{gcc,g++,cpp,as,ld}*',
          '{cc1,cc1plus,collect2,lto1}',
        ),
      ),
    ],
  },
  {
    name: 'no-interpreters',
    title: 'No interpreters',
    group: 'execution',
    severity: 'medium',
    stops: 'Stops running interpreters of scripting languages.',
    breaks:
      'May break applications written in these languages; use it with executables, or where the application is compiled.',
    links: [attack('T1059.006'), attack('T1059.007'), cwe(94)],
    targets: [
      executing(
        inBinaries(
          '{python,python2,python3,perl,ruby,node,nodejs,deno,bun,php,lua,luajit,tclsh,expect,awk,gawk,mawk,nawk,original-awk,pwsh,Rscript,guile,gjs}',
          '{python[23].*,perl5*,ruby[23]*}',
          '{php[78]*,lua5*,tclsh*}',
        ),
      ),
    ],
  },
  {
    name: 'no-network-tools',
    title: 'No network tools',
    group: 'execution',
    severity: 'medium',
    stops: 'Stops running scanners, sniffers, tunnels and the like, with which an attacker goes further.',
    breaks: 'May break health checks by nc, and troubleshooting from inside.',
    links: [attack('T1046'), attack('T1572'), attack('T1040')],
    targets: [
      executing(
        inBinaries(
          '{nc,ncat,netcat,nc.openbsd,nc.traditional,socat,nmap,zmap,masscan,rustscan,tcpdump,tshark,dumpcap,ngrep,hping3,arpspoof,ettercap,bettercap}',
          '{ssh,sshd,dropbear,telnet,proxychains,proxychains4,chisel,frpc,frps,ngrok,gost,tor,iodine,ligolo,dig,nslookup,host,drill}',
          '{iptables,ip6tables,iptables-*,ip6tables-*,xtables-*,nft,ip,tc,ethtool,brctl}',
        ),
      ),
    ],
  },
  {
    name: 'no-debuggers',
    title: 'No debuggers',
    group: 'execution',
    severity: 'low',
    stops: 'Stops running debuggers and tracers.',
    breaks: 'May break troubleshooting from inside.',
    links: [attack('T1055.008'), attack('T1622')],
    targets: [
      executing(
        inBinaries(
          '{gdb,gdbserver,lldb,lldb-server,strace,ltrace,perf,bpftrace,bpftool,crash,drgn,valgrind,uftrace,sysdig,trace-cmd}',
        ),
      ),
    ],
  },
  {
    name: 'no-container-tools',
    title: 'No tools of containers and clusters',
    group: 'execution',
    severity: 'high',
    stops: 'Stops running clients of runtimes and clusters, and what enters or makes namespaces.',
    breaks: 'May break builders, CI runners and operators that call these tools.',
    links: [attack('T1609'), attack('T1613'), attack('T1611')],
    targets: [
      executing(
        inBinaries(
          '{docker,dockerd,docker-compose,podman,buildah,skopeo,nerdctl,ctr,crictl,containerd,runc,crun,youki,kata-runtime,lxc,machinectl}',
          '{kubectl,oc,helm,kubelet,kubeadm,k3s,etcdctl,nsenter,unshare,amicontained,deepce.sh,cdk,peirates,kubeletctl,botb}',
        ),
      ),
    ],
  },
  {
    name: 'no-privilege-tools',
    title: 'No tools that give privileges',
    group: 'execution',
    severity: 'high',
    stops: 'Stops running su, sudo and the like, and tools that change accounts or capabilities.',
    breaks: 'May break entry points that drop to a user by su or sudo, or add users.',
    links: [attack('T1548.003'), attack('T1136.001'), cve('2021-4034'), cve('2021-3156')],
    targets: [
      executing(
        inBinaries(
          '{su,sudo,sudoedit,doas,pkexec,runuser,newgrp,sg,passwd,chpasswd,chsh,chfn,chage,gpasswd,visudo,newuidmap,newgidmap}',
          '{useradd,usermod,userdel,adduser,deluser,groupadd,groupmod,addgroup,vipw,vigr,setcap,capsh,setpriv}',
        ),
      ),
    ],
  },
];

/** By names alone: whoever brings a program can call it otherwise. */
const miners = (...names: readonly string[]): readonly string[] => [
  ...inBinaries(...names),
  ...inHidingPlaces(...names),
  ...names.flatMap((name) => [`/tmp/*/${name}`, `/home/*/${name}`]),
];

const MINERS: readonly ReadyRule[] = [
  {
    name: 'no-miners',
    title: 'No miners',
    group: 'execution',
    severity: 'medium',
    stops: 'Stops running programs that are called like known miners of currencies.',
    breaks: 'May break nothing that is known.',
    links: [MINING],
    targets: [
      executing([
        ...miners(
          '{xmrig,xmr-stak,xmr-stak-rx,minerd,cpuminer,cpuminer-multi,ccminer,cgminer,bfgminer,ethminer,nbminer,lolMiner}',
          '{t-rex,phoenixminer,gminer,teamredminer,srbminer,nanominer,kinsing,kdevtmpfsi,kthreaddi,sysrv,watchbog}',
          '{xmrig,xmr-stak,cpuminer,ethminer,sysrv}-*',
        ),
      ]),
    ],
  },
  {
    name: 'no-miner-tuning',
    title: 'No tuning as miners do it',
    group: 'execution',
    severity: 'medium',
    stops: 'Stops reserving huge pages and writing processor registers, which miners do first.',
    breaks: 'May break agents that reserve huge pages for databases and virtual machines.',
    links: [MINING],
    targets: [
      writing([
        '/proc/sys/vm/{nr_hugepages,nr_hugepages_mempolicy,nr_overcommit_hugepages}',
        '/sys/kernel/mm/{hugepages,transparent_hugepage}/**',
        '/sys/devices/system/node/*/hugepages/**',
        '/sys/module/msr/parameters/**',
        '/dev/cpu/*/msr',
      ]),
    ],
  },
];

export const EXECUTION_RULES: readonly ReadyRule[] = [...WAYS, ...NAMES, ...MINERS];
