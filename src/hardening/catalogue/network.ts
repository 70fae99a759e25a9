/** Sockets and addresses: families with exploits behind them, and services that hand out credentials. */
import type { ReadyRule } from '../../model/hardening.ts';
import { SOCKET_FAMILIES, SOCKET_TYPES } from '../../model/sockets.ts';
import { attack, cve, cwe } from './links.ts';
import { addresses, socket, tcpPort } from './targets.ts';

const AF = SOCKET_FAMILIES;
const IPPROTO = { dccp: 33, sctp: 132 } as const;
const NETLINK = { xfrm: 6, audit: 9, connector: 11, netfilter: 12, uevent: 15 } as const;

const RARE = [
  ...[AF.ax25, AF.ipx, AF.appletalk, AF.netrom, AF.x25, AF.rose, AF.rds, AF.irda, AF.pppox, AF.llc, AF.ib, AF.mpls],
  ...[AF.can, AF.tipc, AF.bluetooth, AF.iucv, AF.rxrpc, AF.isdn, AF.phonet, AF.ieee802154, AF.caif, AF.nfc, AF.kcm],
  ...[AF.qipcrtr, AF.smc, AF.mctp],
];

const EXPLOIT = attack('T1068');

const FAMILIES: readonly ReadyRule[] = [
  {
    name: 'no-raw-sockets',
    title: 'No raw sockets',
    group: 'network',
    severity: 'high',
    stops: 'Stops raw IP sockets, with which packets, router advertisements and ICMP tunnels are forged.',
    breaks: 'May break ping where it is not granted by group, traceroute, VRRP and OSPF daemons.',
    links: [attack('T1095'), attack('T1557'), cve('2020-10749')],
    targets: [
      socket(AF.inet, SOCKET_TYPES.raw),
      socket(AF.inet6, SOCKET_TYPES.raw),
      socket(AF.inet, SOCKET_TYPES.packet),
    ],
  },
  {
    name: 'no-alg-sockets',
    title: "No sockets to the kernel's cryptography",
    group: 'network',
    severity: 'high',
    stops: 'Stops AF_ALG sockets, through which any user loads modules and reaches rarely tested code.',
    breaks: 'May break programs built to encrypt by the kernel (cryptsetup benchmark, some OpenSSL engines).',
    links: [cve('2019-8912'), cve('2013-7421'), EXPLOIT],
    targets: [socket(AF.alg)],
  },
  {
    name: 'no-vsock-sockets',
    title: 'No sockets to the hypervisor',
    group: 'network',
    severity: 'high',
    stops: 'Stops AF_VSOCK sockets, which pass every network policy on their way to the hypervisor.',
    breaks: 'May break agents of virtual machines, and Kata.',
    links: [cve('2021-26708'), attack('T1095')],
    targets: [socket(AF.vsock)],
  },
  {
    name: 'no-xdp-sockets',
    title: 'No sockets past the network stack',
    group: 'network',
    severity: 'high',
    stops: 'Stops AF_XDP sockets, which take packets before any filter sees them.',
    breaks: 'May break packet processors (DPDK, some CNI plug-ins).',
    links: [attack('T1040'), EXPLOIT],
    targets: [socket(AF.xdp)],
  },
  {
    name: 'no-rare-sockets',
    title: 'No families of sockets that nobody uses',
    group: 'network',
    severity: 'medium',
    stops:
      'Stops sockets of old and rare protocols (AX.25, AppleTalk, X.25, RDS, LLC, CAN, TIPC, Bluetooth, NFC, SMC …).',
    breaks: 'May break programs for these networks: CAN in cars and plants, SMC and RDS in clusters, Bluetooth.',
    links: [EXPLOIT, cve('2010-3904'), cve('2010-2959'), cve('2021-43267'), cve('2020-12351')],
    targets: RARE.map((family) => socket(family)),
  },
  {
    name: 'no-sctp-sockets',
    title: 'No SCTP',
    group: 'network',
    severity: 'low',
    stops: 'Stops SCTP sockets.',
    breaks: 'May break telephony (5G, SIGTRAN) and clusters that use SCTP.',
    links: [EXPLOIT, cve('2019-8956')],
    targets: [socket(AF.inet, undefined, IPPROTO.sctp), socket(AF.inet6, undefined, IPPROTO.sctp)],
  },
  {
    name: 'no-dccp-sockets',
    title: 'No DCCP',
    group: 'network',
    severity: 'medium',
    stops: 'Stops DCCP sockets, which hardly anything but exploits uses.',
    breaks: 'May break nothing that is known.',
    links: [EXPLOIT, cve('2017-6074'), cve('2020-16119')],
    targets: [socket(AF.inet, undefined, IPPROTO.dccp), socket(AF.inet6, undefined, IPPROTO.dccp)],
  },
];

const NETLINK_RULES: readonly ReadyRule[] = [
  {
    name: 'no-netlink-sockets',
    title: 'No netlink',
    group: 'network',
    severity: 'medium',
    stops: 'Stops netlink sockets of every kind.',
    breaks: 'May break ip, and name resolution and runtimes of languages that list interfaces.',
    links: [EXPLOIT, cve('2022-2588'), attack('T1016')],
    targets: [socket(AF.netlink)],
  },
  {
    name: 'no-netfilter-sockets',
    title: 'No configuration of firewalls by netlink',
    group: 'network',
    severity: 'high',
    stops: 'Stops netlink sockets to netfilter, where nf_tables and its many exploits are.',
    breaks: 'May break nft, iptables by nftables, conntrack and meshes that redirect traffic.',
    links: [cve('2024-1086'), cve('2023-32233'), cve('2022-32250'), attack('T1562.004')],
    targets: [socket(AF.netlink, undefined, NETLINK.netfilter)],
  },
  {
    name: 'no-xfrm-sockets',
    title: 'No configuration of IPsec',
    group: 'network',
    severity: 'medium',
    stops: 'Stops netlink and PF_KEY sockets to IPsec.',
    breaks: 'May break IPsec daemons (strongSwan, Libreswan).',
    links: [EXPLOIT, cve('2022-27666')],
    targets: [socket(AF.netlink, undefined, NETLINK.xfrm), socket(AF.key)],
  },
  {
    name: 'no-audit-sockets',
    title: 'No audit by netlink',
    group: 'network',
    severity: 'medium',
    stops: 'Stops netlink sockets to auditing, with which it is read, forged and switched off.',
    breaks: 'May break audit daemons, and sshd and login, which write records.',
    links: [attack('T1562.001'), attack('T1070')],
    targets: [socket(AF.netlink, undefined, NETLINK.audit)],
  },
  {
    name: 'no-uevent-sockets',
    title: 'No events of devices by netlink',
    group: 'network',
    severity: 'medium',
    stops: 'Stops netlink sockets for events of devices and for the process connector, which watch the host.',
    breaks: 'May break udev and libusb in containers.',
    links: [attack('T1082'), attack('T1057')],
    targets: [socket(AF.netlink, undefined, NETLINK.uevent), socket(AF.netlink, undefined, NETLINK.connector)],
  },
];

const SERVICES: readonly ReadyRule[] = [
  {
    name: 'no-cloud-metadata',
    title: 'Metadata of the cloud unreachable',
    group: 'network',
    severity: 'high',
    stops:
      'Stops connections and datagrams to the metadata services of clouds, which hand out the credentials of the node.',
    breaks: 'May break applications that find region, instance or credentials there.',
    links: [attack('T1552.005'), cwe(918)],
    targets: [
      // AWS, Azure, Google Cloud, DigitalOcean, OpenStack and others, then their IPv6 addresses.
      addresses('169.254.169.254/32', 'fd00:ec2::254/128', 'fd20:ce::254/128', 'fe80::a9fe:a9fe/128'),
      // Azure's wire server, Alibaba Cloud, Oracle Cloud, Tencent Cloud; AWS' time and name services are not meant.
      addresses('168.63.129.16/32', '100.100.100.200/32', '192.0.0.192/32', '169.254.0.23/32'),
    ],
  },
  {
    name: 'no-task-credentials',
    title: "Credentials of the cloud's tasks unreachable",
    group: 'network',
    severity: 'high',
    stops: 'Stops reaching the services that hand credentials to tasks of ECS and pods of EKS.',
    breaks: 'May break applications that sign in by task roles or pod identity.',
    links: [attack('T1552.005'), cwe(918)],
    targets: [addresses('169.254.170.2/32', '169.254.170.23/32', 'fd00:ec2::23/128')],
  },
  {
    name: 'no-node-services',
    title: 'Interfaces of nodes unreachable',
    group: 'network',
    severity: 'high',
    stops: 'Stops TCP connections to ports of kubelets, of Docker, and of etcd.',
    breaks: 'May break metrics collectors that ask kubelets, and applications that use etcd of their own.',
    links: [attack('T1613'), attack('T1609'), attack('T1610')],
    targets: [2375, 2376, 2379, 2380, 10250, 10255].map(tcpPort),
  },
  {
    name: 'no-mining-pools',
    title: 'Ports of mining pools unreachable',
    group: 'network',
    severity: 'medium',
    stops: 'Stops TCP connections to ports that pools of miners use and hardly anybody else.',
    breaks: 'May break services that happen to listen on 3333, 4444, 5555, 7777, 14433, 14444 or 45700.',
    links: [attack('T1496.001')],
    targets: [3333, 4444, 5555, 7777, 14433, 14444, 45700].map(tcpPort),
  },
];

export const NETWORK_RULES: readonly ReadyRule[] = [...FAMILIES, ...NETLINK_RULES, ...SERVICES];
