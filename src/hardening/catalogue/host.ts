/** What of the host must not be reached or changed from a container: sockets, mounts, credentials, other processes. */
import type { ReadyRule } from '../../model/hardening.ts';
import { attack, cve, cwe } from './links.ts';
import {
  changing,
  connecting,
  inHomes,
  inTrees,
  mounting,
  ofProcesses,
  operations,
  reading,
  readingOrWriting,
} from './targets.ts';

const ESCAPE = attack('T1611');
const RUNTIME_ACCESS = [attack('T1610'), ESCAPE, cwe(250)];

const SOCKETS: readonly ReadyRule[] = [
  {
    name: 'no-docker-socket',
    title: "Docker's socket unreachable",
    group: 'host',
    severity: 'critical',
    stops: 'Stops connecting to docker.sock, behind which anybody is root of the host.',
    breaks: 'May break builders, CI runners and dashboards that drive Docker.',
    links: RUNTIME_ACCESS,
    targets: [
      connecting(
        inTrees(
          '{docker,dockerd,dockershim,cri-dockerd}.sock',
          '{run,var/run}/{docker,dockerd,dockershim,cri-dockerd}.sock',
        ),
      ),
    ],
  },
  {
    name: 'no-containerd-socket',
    title: "containerd's sockets unreachable",
    group: 'host',
    severity: 'critical',
    stops: 'Stops connecting to containerd and to the shims of containers, by path and by abstract name.',
    breaks: 'May break builders, monitoring and node agents that ask containerd.',
    links: [cve('2020-15257'), ...RUNTIME_ACCESS],
    targets: [
      connecting([
        ...inTrees(
          '{containerd,containerd-shim}.{sock,sock.ttrpc}',
          '{run,var/run}/{containerd,containerd-shim}.{sock,sock.ttrpc}',
        ),
        ...inTrees('{run,var/run}/{containerd,k3s/containerd,docker/containerd}/**'),
        '@/containerd-shim/*',
        '@/run/containerd/*',
      ]),
    ],
  },
  {
    name: 'no-crio-socket',
    title: "CRI-O's socket unreachable",
    group: 'host',
    severity: 'critical',
    stops: 'Stops connecting to CRI-O and other servers of the runtime interface.',
    breaks: 'May break monitoring and node agents that ask the runtime.',
    links: RUNTIME_ACCESS,
    targets: [
      connecting([
        ...inTrees('{crio,frakti,cri-resmgr,rktlet}.sock', '{run,var/run}/{crio,frakti,cri-resmgr,rktlet}.sock'),
        ...inTrees('{run,var/run}/crio/**'),
      ]),
    ],
  },
  {
    name: 'no-podman-socket',
    title: "Podman's socket unreachable",
    group: 'host',
    severity: 'critical',
    stops: 'Stops connecting to the API of Podman and Buildah.',
    breaks: 'May break builders and CI runners that drive Podman.',
    links: RUNTIME_ACCESS,
    targets: [
      connecting([
        ...inTrees('{podman,buildkitd}.sock', '{run,var/run}/{podman,buildkitd}.sock'),
        ...inTrees('run/{podman,buildkit,user/*/podman}/**'),
      ]),
    ],
  },
  {
    name: 'no-system-bus',
    title: 'System bus and service manager unreachable',
    group: 'host',
    severity: 'high',
    stops: "Stops connecting to the host's D-Bus and systemd, where units can be started and sessions opened.",
    breaks: 'May break node agents that manage services by D-Bus.',
    links: [attack('T1569.002'), attack('T1543.002'), ESCAPE],
    targets: [connecting([...inTrees('run/dbus/system_bus_socket', 'run/systemd/**'), '@/org/freedesktop/systemd1/*'])],
  },
];

const MOUNTS: readonly ReadyRule[] = [
  {
    name: 'no-mount',
    title: 'No mounts',
    group: 'host',
    severity: 'high',
    stops: 'Stops every mount, by the old call and by the new ones, in whatever mount namespace.',
    breaks: 'May break containers in containers, storage plug-ins, sandboxes and FUSE.',
    links: [ESCAPE, cve('2022-0185')],
    targets: [mounting({})],
  },
  {
    name: 'no-unmount',
    title: 'No unmounting',
    group: 'host',
    severity: 'high',
    stops: 'Stops taking mounts away, with which runtimes mask parts of procfs and sysfs.',
    breaks: 'May break containers in containers and storage plug-ins.',
    links: [ESCAPE, cwe(693)],
    targets: [mounting({ operations: ['unmount', 'move'] })],
  },
  {
    name: 'no-mount-propagation',
    title: 'No change of how mounts spread',
    group: 'host',
    severity: 'medium',
    stops: 'Stops making mounts shared or slave, by which they reach other namespaces.',
    breaks: 'May break containers in containers, storage plug-ins and unshare, which makes mounts private.',
    links: [ESCAPE],
    targets: [mounting({ operations: ['propagation'] })],
  },
  {
    name: 'no-disk-mount',
    title: 'No mounts of disks, not even to read',
    group: 'host',
    severity: 'critical',
    stops: 'Stops mounting any block device, read-only too: the files of the host lie there.',
    breaks: 'May break storage plug-ins, and mounting of images by loop devices.',
    links: [ESCAPE, attack('T1006')],
    targets: [mounting({ devices: true, operations: ['new', 'remount'] })],
  },
  {
    name: 'no-procfs-mount',
    title: 'No mounts of procfs',
    group: 'host',
    severity: 'high',
    stops: 'Stops mounting procfs, read-only too: a new one has nothing masked.',
    breaks: 'May break containers in containers and sandboxes.',
    links: [ESCAPE, cwe(200)],
    targets: [mounting({ fileSystems: ['proc'] })],
  },
  {
    name: 'no-kernel-filesystem-mount',
    title: 'No mounts of file systems that are interfaces of the kernel',
    group: 'host',
    severity: 'high',
    stops: 'Stops mounting sysfs, devtmpfs, debugfs, tracefs, securityfs, configfs, bpf, efivarfs and pstore.',
    breaks: 'May break containers in containers and tracers.',
    links: [ESCAPE, cwe(250)],
    targets: [
      mounting({
        fileSystems: ['sysfs', 'devtmpfs', 'debugfs', 'tracefs', 'securityfs', 'configfs', 'bpf', 'efivarfs', 'pstore'],
      }),
    ],
  },
  {
    name: 'no-overlay-mount',
    title: 'No mounts of overlays and FUSE',
    group: 'host',
    severity: 'medium',
    stops: 'Stops mounting overlay and FUSE file systems, with which setuid files were smuggled past the kernel.',
    breaks: 'May break builders, rootless containers, and FUSE programs such as sshfs.',
    links: [cve('2023-0386'), cve('2021-3493'), attack('T1068')],
    // The root of most containers is an overlay: what is bound from there is none that is new.
    targets: [mounting({ fileSystems: ['overlay', 'fuse', 'fuseblk'], operations: ['new'] })],
  },
  {
    name: 'no-host-tree-write',
    title: 'The tree of the host unwritable',
    group: 'host',
    severity: 'high',
    stops: 'Stops changing anything below the places where the root of the host is usually mounted.',
    breaks: 'May break node agents that install files on the host.',
    links: [ESCAPE, cwe(668)],
    targets: [changing(['/{host,hostfs,host-root,hostroot,rootfs,node-root}/**', '/mnt/{host,root,hostfs}/**'])],
  },
  {
    name: 'no-chroot',
    title: 'No changing of the root',
    group: 'host',
    severity: 'medium',
    stops: 'Stops chroot, the second step of most ways out through a mounted disk.',
    breaks: 'May break servers that confine themselves by chroot (sshd, named, postfix), and builders.',
    links: [ESCAPE, cwe(243)],
    targets: [operations('chroot')],
  },
  {
    name: 'no-pivot-root',
    title: 'No exchange of the root mount',
    group: 'host',
    severity: 'medium',
    stops: 'Stops pivot_root, by which containers in containers are made.',
    breaks: 'May break containers in containers and sandboxes.',
    links: [ESCAPE, attack('T1610')],
    targets: [operations('pivot-root')],
  },
];

const CREDENTIALS: readonly ReadyRule[] = [
  {
    name: 'no-shadow-read',
    title: 'Password hashes unreadable',
    group: 'host',
    severity: 'high',
    stops: 'Stops reading /etc/shadow and its like, those of a mounted host too.',
    breaks: 'May break su, sudo, login and sshd with passwords.',
    links: [attack('T1003.008'), cwe(522)],
    targets: [reading(inTrees('etc/{shadow,shadow-,gshadow,gshadow-,security/opasswd}'))],
  },
  {
    name: 'no-ssh-keys-read',
    title: 'SSH keys unreadable',
    group: 'host',
    severity: 'high',
    stops: 'Stops reading private keys of users and of the SSH server, those of a mounted host too.',
    breaks: 'May break ssh, git over ssh, and sshd.',
    links: [attack('T1552.004'), attack('T1021.004')],
    targets: [
      reading(
        [...inHomes('.ssh/**'), ...inTrees('etc/ssh/ssh_host_*_key')],
        inHomes('.ssh', '.ssh/{*.pub,known_hosts,config,authorized_keys}'),
      ),
    ],
  },
  {
    name: 'no-ssh-keys-write',
    title: 'SSH keys unwritable',
    group: 'host',
    severity: 'high',
    stops: 'Stops changing .ssh directories: keys that are added there let the attacker in again.',
    breaks: 'May break ssh-keygen, and ssh that notes new hosts.',
    links: [attack('T1098.004'), attack('T1021.004')],
    targets: [changing(inHomes('.ssh/**'))],
  },
  {
    name: 'no-cloud-credentials-read',
    title: 'Credentials of clouds and registries unreadable',
    group: 'host',
    severity: 'high',
    stops: 'Stops reading the files where command lines of clouds, registries and Vault keep their credentials.',
    breaks: 'May break those command lines, and applications that sign in by such files.',
    links: [attack('T1552.001'), cwe(522)],
    targets: [
      reading(
        inHomes(
          '.{aws,azure,oci,aliyun,bluemix,digitalocean}/**',
          '.config/{gcloud,gh,doctl,containers}/**',
          '.docker/config.json',
          '{.vault-token,.boto,.s3cfg,.terraformrc,.git-credentials}',
        ),
      ),
    ],
  },
  {
    name: 'no-kubernetes-credentials-read',
    title: 'Credentials of the cluster unreadable',
    group: 'host',
    severity: 'critical',
    stops: 'Stops reading kubeconfigs, keys of the control plane, and what the kubelet keeps for other pods.',
    breaks: 'May break kubectl, operators that use a kubeconfig, and node agents that read volumes of pods.',
    links: [attack('T1552.007'), attack('T1528'), cwe(522)],
    targets: [
      reading([
        ...inHomes('.kube/**'),
        ...inTrees(
          'etc/{kubernetes,rancher}/**',
          'var/lib/kubelet/{pki,pods,config.yaml,kubeconfig}/**',
          'var/lib/{etcd,rancher,k0s}/**',
        ),
      ]),
    ],
  },
];

const PROCESSES: readonly ReadyRule[] = [
  {
    name: 'no-ptrace',
    title: 'No tracing of processes',
    group: 'host',
    severity: 'high',
    stops: 'Stops ptrace and reading the memory of other processes, those of the container too.',
    breaks: 'May break debuggers, strace, and crash reporters.',
    links: [attack('T1055.008'), cve('2019-13272')],
    targets: [operations('ptrace')],
  },
  {
    name: 'no-ptrace-outside',
    title: 'No tracing of processes outside',
    group: 'host',
    severity: 'critical',
    stops: 'Stops tracing processes of the host and of other containers, and reaching into them through procfs.',
    breaks:
      'May break debuggers and profilers that look at other containers, and monitoring that reads their procfs files.',
    links: [attack('T1055.008'), ESCAPE],
    targets: [operations('ptrace-outside')],
  },
  {
    name: 'no-signal-outside',
    title: 'No signals to processes outside',
    group: 'host',
    severity: 'high',
    stops: 'Stops signalling processes of the host and of other containers.',
    breaks: 'May break sidecars in a shared process namespace that reload others by signal.',
    links: [attack('T1489'), attack('T1562.001')],
    targets: [operations('signal-outside')],
  },
  {
    name: 'no-process-memory',
    title: 'Memory of processes unreachable through procfs',
    group: 'host',
    severity: 'high',
    stops: 'Stops opening /proc/*/mem, with which code is injected and read-only mappings were overwritten.',
    breaks: 'May break debuggers, and sanitizers that read their own memory so.',
    links: [attack('T1055.009'), cve('2016-5195')],
    targets: [readingOrWriting(ofProcesses('mem'))],
  },
  {
    name: 'no-environ-read',
    title: 'Environments of processes unreadable',
    group: 'host',
    severity: 'high',
    stops: 'Stops reading /proc/*/environ, where secrets that were handed over as variables lie open.',
    breaks: 'May break monitoring that shows environments; a process knows its own without.',
    links: [attack('T1552.001'), attack('T1057'), cwe(526)],
    targets: [reading(ofProcesses('environ'))],
  },
  {
    name: 'no-foreign-descriptor',
    title: 'No descriptors of files outside',
    group: 'host',
    severity: 'high',
    stops: 'Stops receiving descriptors of files that lie outside the mounts of the container.',
    breaks: 'May break programs that are handed files of the host by a helper.',
    links: [cve('2024-21626'), ESCAPE, cwe(403)],
    targets: [operations('foreign-descriptor')],
  },
];

export const HOST_RULES: readonly ReadyRule[] = [...SOCKETS, ...MOUNTS, ...CREDENTIALS, ...PROCESSES];
