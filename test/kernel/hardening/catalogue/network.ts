import { refused, type Scenario } from './scenario.ts';

const socket = (family: number, kind: number, protocol = 0): string => `socket ${family} ${kind} ${protocol}`;
const TCP = socket(2, 1);
const ring = (of: string): string => `ring-${of}`;

/** Families and protocols that these kernels do not have, or not in there: they say so, unless it is refused first. */
const absent = (act: string, free: string): { act: string; free: string } => ({ act, free });

export const NETWORK: readonly Scenario[] = [
  {
    rule: 'no-raw-sockets',
    attack: socket(2, 3, 1),
    around: [
      socket(10, 3, 58),
      socket(2, 3, 255),
      ring(socket(2, 3, 1)),
      'in-userns socket 2 3 1',
      'send-raw 127.0.0.1 0 1',
    ],
    neighbours: [TCP, socket(2, 2), socket(16, 3)],
  },
  {
    rule: 'no-alg-sockets',
    attack: socket(38, 5),
    around: [ring(socket(38, 5)), 'as-user socket 38 5 0'],
    neighbours: [TCP, socket(16, 3)],
  },
  { rule: 'no-vsock-sockets', attack: socket(40, 1), around: [socket(40, 2), ring(socket(40, 1))], neighbours: [TCP] },
  {
    rule: 'no-xdp-sockets',
    attack: socket(44, 3),
    around: [ring(socket(44, 3)), 'in-userns socket 44 3 0'],
    neighbours: [TCP],
  },
  {
    rule: 'no-rare-sockets',
    attack: socket(29, 3, 1),
    around: [
      absent(socket(26, 1), 'EAFNOSUPPORT'),
      socket(24, 1),
      socket(35, 2),
      socket(42, 2),
      ring(socket(29, 3, 1)),
    ],
    neighbours: [TCP, socket(17, 3)],
  },
  {
    rule: 'no-sctp-sockets',
    attack: socket(2, 1, 132),
    around: [socket(10, 5, 132), socket(2, 5, 132)],
    neighbours: [TCP, socket(2, 1, 6)],
  },
  {
    rule: 'no-dccp-sockets',
    attack: absent(socket(2, 6, 33), 'ESOCKTNOSUPPORT'),
    around: [absent(socket(10, 6, 33), 'ESOCKTNOSUPPORT')],
    neighbours: [TCP],
  },
  {
    rule: 'no-netlink-sockets',
    attack: socket(16, 3),
    around: [socket(16, 2, 12), ring(socket(16, 3)), 'in-userns socket 16 3 0'],
    neighbours: [TCP, socket(1, 1)],
  },
  {
    rule: 'no-netfilter-sockets',
    attack: socket(16, 3, 12),
    around: [socket(16, 2, 12), 'in-userns socket 16 3 12'],
    neighbours: [socket(16, 3), TCP],
  },
  {
    rule: 'no-xfrm-sockets',
    attack: socket(16, 3, 6),
    around: [socket(15, 3, 2), 'in-userns socket 16 3 6'],
    neighbours: [socket(16, 3), TCP],
  },
  {
    rule: 'no-audit-sockets',
    attack: socket(16, 3, 9),
    around: [socket(16, 2, 9), 'need 37'],
    neighbours: [socket(16, 3), TCP],
  },
  {
    rule: 'no-uevent-sockets',
    attack: socket(16, 3, 15),
    around: [socket(16, 2, 15), socket(16, 3, 11)],
    neighbours: [socket(16, 3), TCP],
  },
  {
    rule: 'no-cloud-metadata',
    attack: 'connect-datagram 169.254.169.254 80',
    around: [
      'send 169.254.169.254 80',
      'connect-datagram ::ffff:169.254.169.254 80',
      'send-four-over-six 169.254.169.254 80',
      'connect-datagram 100.100.100.200 80',
      'connect-datagram 168.63.129.16 80',
      'connect-datagram fd00:ec2::254 80',
      'send-many 169.254.169.254 80',
    ],
    neighbours: ['connect-datagram 169.254.169.253 80', 'send 127.0.0.1 80', 'connect-datagram fd00:ec2::255 80'],
  },
  {
    rule: 'no-task-credentials',
    attack: 'connect-datagram 169.254.170.2 80',
    around: ['send 169.254.170.2 80', 'connect-datagram ::ffff:169.254.170.23 80', 'connect-datagram fd00:ec2::23 80'],
    neighbours: ['connect-datagram 169.254.170.3 80', 'send 127.0.0.1 80'],
  },
  {
    rule: 'no-node-services',
    attack: refused('connect 127.0.0.1 10250'),
    around: [
      refused('connect ::ffff:127.0.0.1 2375'),
      refused('connect ::1 2379'),
      refused('send-fast-open 127.0.0.1 10250'),
    ],
    neighbours: [refused('connect 127.0.0.1 10251'), 'send 127.0.0.1 10250'],
  },
  {
    rule: 'no-mining-pools',
    attack: refused('connect 127.0.0.1 3333'),
    around: [
      refused('connect ::ffff:127.0.0.1 14444'),
      refused('connect ::1 45700'),
      refused('send-fast-open 127.0.0.1 3333'),
    ],
    neighbours: [refused('connect 127.0.0.1 3334'), 'send 127.0.0.1 3333'],
  },
];
