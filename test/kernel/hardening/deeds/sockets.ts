/** Making sockets, whom they reach, and UNIX sockets. */
import { join } from 'node:path';
import { DEED } from '../../../rig/deeds.ts';
import { Background, run } from '../../../rig/process.ts';
import type { Deeds, Stage, Trial } from './deeds.ts';

const refused = (act: string) => ({ act, free: 'ECONNREFUSED' });

async function prepare(directory: string): Promise<Stage> {
  await run(['ip', 'link', 'set', 'lo', 'up']);
  const names = {
    stream: join(directory, 'stream'),
    datagram: join(directory, 'datagram'),
    sequence: join(directory, 'sequence'),
    near: join(directory, 'stream2'),
    fresh: join(directory, 'fresh'),
  };
  const served = ['s', names.stream, 'd', names.datagram, 'q', names.sequence, 's', names.near];
  const abstract = ['s', '@deed/stream', 'd', '@deed/datagram', 'sx', '@deed/padded', 's', '@deeds'];
  const server = new Background([DEED, 'unix-serve', ...served, ...abstract]);
  await server.output(/serving/);
  return { names, close: () => server.close() };
}

const MAKING: readonly Trial[] = [
  {
    title: 'refuse a family, by its older name and in workers of rings too',
    rules: '[{name: packet, sockets: [{family: packet}]}]',
    attack: 'socket 17 3 0',
    around: ['socket 17 2 0', 'socket 2 10 768', 'ring-socket 17 3 0'],
    neighbours: ['socket 2 3 1', 'socket 16 3 0', 'socket 1 1 0', 'ring-socket 2 1 0'],
  },
  {
    title: 'refuse a type and a protocol, said or not',
    rules: '[{name: one, sockets: [{family: inet, type: raw}, {family: inet, protocol: UDP}, {family: alg}]}]',
    attack: 'socket 2 3 1',
    around: ['socket 2 3 255', 'socket 2 2 17', 'socket 2 2 0'],
    neighbours: ['socket 2 1 0', 'socket 10 2 0', 'socket 10 3 58'],
  },
];

const CONNECTIONS: readonly Trial[] = [
  {
    title: 'refuse an address as what it is, however it is written and sent to',
    rules: '[{name: net, network: {cidrs: [127.1.0.0/16]}}]',
    attack: refused('connect 127.1.2.3 7'),
    around: [
      refused('connect ::ffff:127.1.2.3 7'),
      refused('send-fast-open 127.1.2.3 7'),
      'connect-datagram 127.1.2.3 7',
      'connect-datagram ::ffff:127.1.2.3 7',
      'connect-again 127.1.2.3 7',
      'send 127.1.2.3 7',
      'send ::ffff:127.1.2.3 7',
      'send-unspecified 127.1.2.3 7',
      'send-four-over-six 127.1.2.3 7',
      'send-many 127.1.2.3 7',
      'send-raw 127.1.2.3 0 1',
    ],
    neighbours: [
      refused('connect 127.2.2.3 7'),
      'send 127.0.0.1 7',
      'send-many 127.0.0.1 7',
      'send-unspecified 127.0.0.2 7',
      'send ::1 7',
      'connect-datagram ::1 7',
    ],
  },
  {
    title: 'know that nobody is this machine',
    rules: '[{name: self, network: {cidrs: [127.0.0.1/32]}}]',
    attack: 'send 127.0.0.1 7',
    around: ['send 0.0.0.0 7', 'connect-datagram ::ffff:0.0.0.0 7', refused('connect 0.0.0.0 7')],
    neighbours: ['send 127.0.0.2 7', 'send ::1 7', 'send :: 7'],
  },
  {
    title: 'know that nobody is this machine in IPv6 too',
    rules: '[{name: self, network: {cidrs: ["::1/128"]}}]',
    attack: 'send ::1 7',
    around: ['send :: 7', refused('connect :: 7')],
    neighbours: ['send 127.0.0.1 7', 'send ::ffff:127.0.0.1 7'],
  },
  {
    title: 'tell ports and protocols apart, but for who has none',
    rules: '[{name: port, network: {cidrs: [127.1.0.0/16], protocol: UDP, port: 7, endPort: 9}}]',
    attack: 'send 127.1.2.3 8',
    around: ['connect-datagram 127.1.2.3 9', 'send-raw 127.1.2.3 0 17'],
    neighbours: ['send 127.1.2.3 10', 'send 127.1.2.3 6', refused('connect 127.1.2.3 8'), 'send-raw 127.1.2.3 0 1'],
  },
  {
    title: 'can be all that is allowed of connections',
    rules: '[{name: only, action: Allow, network: {cidrs: [127.1.0.0/16], port: 7, protocol: UDP}}]',
    defaults: '{network: Deny}',
    attack: 'send 127.0.0.1 7',
    around: ['send 127.1.2.3 8', 'send ::1 7', refused('connect 127.1.2.3 7')],
    neighbours: ['send 127.1.2.3 7', 'unix-pair'],
  },
];

const LOCAL: readonly Trial[] = [
  {
    title: 'refuse a UNIX socket by whatever name it is reached',
    rules: '[{name: path, unix: {names: ["{stream}", "{datagram}", "{sequence}"], access: [connect]}}]',
    refusal: 'EACCES',
    attack: 'unix-connect {stream}',
    around: [
      'unix-connect-link {stream}',
      'unix-connect-descriptor {stream}',
      'unix-connect-sequence {sequence}',
      'unix-connect-datagram {datagram}',
      'unix-send {datagram}',
    ],
    neighbours: ['unix-connect {near}', 'unix-pair', 'unix-connect @deed/stream', 'unix-send @deed/datagram'],
  },
  {
    title: 'refuse abstract names, with zeros behind them too',
    rules: '[{name: abstract, unix: {names: ["@deed/*"], access: [connect]}}]',
    refusal: 'EACCES',
    attack: 'unix-connect @deed/stream',
    around: ['unix-connect-padded @deed/padded', 'unix-send @deed/datagram', 'unix-connect-datagram @deed/datagram'],
    neighbours: ['unix-connect @deeds', 'unix-connect {near}', 'unix-send {datagram}'],
  },
  {
    title: 'refuse to bind a UNIX socket',
    rules: '[{name: bind, unix: {names: ["@mine/**", "{fresh}"], access: [bind]}}]',
    refusal: 'EACCES',
    attack: 'unix-bind @mine/one',
    around: ['unix-bind {fresh}'],
    neighbours: ['unix-bind @mines', 'unix-connect @deed/stream'],
  },
];

export const SOCKETS: Deeds = { what: 'rules on sockets', prepare, trials: [...MAKING, ...CONNECTIONS, ...LOCAL] };
