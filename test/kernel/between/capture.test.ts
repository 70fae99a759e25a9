import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '../../rig/cleanup.ts';
import { createLink, type Faults, type Link } from '../../rig/link.ts';
import type { Endpoint } from '../../rig/node.ts';
import { ipv4, ipv6, Protocol } from '../../rig/packets.ts';
import type { Background } from '../../rig/process.ts';
import { connect, sendRaw } from '../../rig/traffic.ts';
import { icmpEcho, icmpv6Echo, tcp } from '../../rig/transports.ts';
import { HANDSHAKE_PORT, Region, servicePolicy } from './region.ts';
import { Ear, forgetAll, records, standsAt, underWay } from './watch.ts';

/** `web` may open to `db`; `api` may by its own node, not by db's; `shy` may by db's node, not by its own. */
const POLICIES = [
  servicePolicy(
    'db',
    'db',
    `  ingress:
    - name: known
      action: Allow
      from: [{workload: Service/web}, {workload: Service/shy}]`,
  ),
  servicePolicy(
    'shy',
    'shy',
    `  egress:
    - name: to-another
      action: Allow
      to: [{workload: Service/other}]`,
  ),
].join('---\n');

type Family = 'ipv4' | 'ipv6';

/** A way for bytes to get from one container to another. */
interface Carrier {
  readonly name: string;
  /** Sends the text and waits for nothing. */
  readonly send: (from: Endpoint, to: Endpoint, family: Family, text: string) => Promise<Background | undefined>;
  /** The kernel decides by tags alone: no agent need be asked. */
  readonly tagged?: boolean;
}

const PORT = 80;
/** Of the server that takes Fast Open. */
const FAST_PORT = 8090;
let lastPort = 30_000;

function shell(from: Endpoint, script: string): Background {
  return from.start(['timeout', '12', 'bash', '-c', script]);
}

function python(from: Endpoint, script: string): Background {
  return from.start(['timeout', '12', 'python3', '-c', `import signal, socket; signal.alarm(12)\n${script}`]);
}

function packet(from: Endpoint, to: Endpoint, family: Family, transport: Parameters<typeof ipv4>[1]): Buffer {
  const ends = { source: from[family], destination: to[family] };
  return (family === 'ipv4' ? ipv4(ends, transport) : ipv6(ends, transport)).bytes;
}

const CARRIERS: readonly Carrier[] = [
  {
    name: 'a datagram',
    send: async (from, to, family, text) => shell(from, `printf %s ${text} > /dev/udp/${to[family]}/${PORT}`),
  },
  {
    name: 'an echo request',
    async send(from, to, family, text) {
      const echo = family === 'ipv4' ? icmpEcho : icmpv6Echo;
      lastPort += 1;
      // The checksum of ICMPv6 covers addresses: a raw socket sends what is written.
      await sendRaw(from, [packet(from, to, family, echo({ id: lastPort }, Buffer.from(text)))]);
      return undefined;
    },
  },
  {
    name: 'a TCP connection',
    tagged: true,
    send: async (from, to, family, text) =>
      shell(from, `exec 3<>/dev/tcp/${to[family]}/${PORT} && printf %s ${text} >&3 && sleep 1`),
  },
  {
    name: 'a SYN with payload',
    async send(from, to, family, text) {
      lastPort += 1;
      const syn = tcp({ sourcePort: lastPort, destinationPort: PORT, flags: ['SYN'] }, Buffer.from(text));
      await sendRaw(from, [packet(from, to, family, syn)]);
      return undefined;
    },
  },
  {
    name: 'Fast Open with a cookie',
    send: async (from, to, family, text) =>
      python(
        from,
        `s = socket.socket(socket.AF_INET${family === 'ipv4' ? '' : '6'})
s.sendto(b"${text}", socket.MSG_FASTOPEN, ("${to[family]}", ${FAST_PORT})); s.recv(99)`,
      ),
  },
  {
    name: 'MPTCP',
    send: async (from, to, family, text) =>
      python(
        from,
        `s = socket.socket(socket.AF_INET${family === 'ipv4' ? '' : '6'}, socket.SOCK_STREAM, 262)
s.connect(("${to[family]}", ${PORT})); s.send(b"${text}"); s.recv(99)`,
      ),
  },
];

/** Nothing agents say arrives. What they are told is acknowledged: else nothing is sent behind what was said before. */
const AGENTS_SILENT: Faults = { loss: 1, only: { protocol: Protocol.TCP, port: HANDSHAKE_PORT, payload: true } };
/** Longer than what got lost takes until it is sent again. */
const PATIENT = { handshake: { deadline: '8s' }, hold: { deadline: '10s' } };

describe('what reaches a container before both ends agree', function () {
  this.timeout(120_000);
  let region: Region;
  let link: Link;
  let ear: Ear;
  let server: Background;
  let texts = 0;

  const source = (name: string) => region.endpoint(`west/${name}`);
  const db = () => region.endpoint('east/db');
  const stations = () => [region.station('west'), region.station('east')];
  const newText = () => {
    texts += 1;
    return `payload-${texts}-of-this-test`;
  };

  before(async () => {
    region = await Region.create({
      nodes: { west: ['web', 'api', 'shy'], east: ['db', 'other'] },
      settings: () => PATIENT,
    });
    link = await createLink(region.segment, region.member('west').uplink);
    await region.start();
    await region.apply(POLICIES);
    for (const endpoint of [...['web', 'api', 'shy'].map(source), db()]) {
      await endpoint.namespace.sysctl({ 'net.ipv4.tcp_fastopen': 3 });
    }
    server = db().start([
      'python3',
      '-c',
      `import socket, threading
s = socket.create_server(("::", ${FAST_PORT}), family=socket.AF_INET6, dualstack_ipv6=True)
s.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16); print("ready", flush=True)
def echo(c):
  while d := c.recv(99): c.send(d)
while True: threading.Thread(target=echo, args=(s.accept()[0],), daemon=True).start()`,
    ]);
    await server.output(/ready/);
    ear = await Ear.at(db());
    // All have a cookie before anything is forbidden: of a server everybody may open to.
    await region.apply(servicePolicy('db', 'db', '  ingress: [{name: all, action: Allow}]'));
    await region.apply(servicePolicy('shy', 'shy', '  egress: [{name: all, action: Allow}]'));
    for (const family of ['ipv4', 'ipv6'] as const) {
      for (const name of ['web', 'api', 'shy']) {
        const asks = await CARRIERS[4]!.send(source(name), db(), family, 'for-a-cookie');
        const { status, stderr } = await asks!.exited;
        assert.equal(status, 0, `${name} over ${family}: ${stderr}`);
      }
    }
    await region.apply(POLICIES);
  });
  after(() => {
    ear?.close();
    server?.close();
    link?.close();
    region?.close();
  });
  beforeEach(() => forgetAll(...stations()));
  afterEach(() => assert.deepEqual(ear.tokens(), [], 'no token ever reaches a container'));

  for (const family of ['ipv4', 'ipv6'] as const) {
    for (const carrier of CARRIERS) {
      for (const [name, why] of [
        ['api', 'the destination'],
        ['shy', 'the source'],
      ] as const) {
        it(`is no byte of ${carrier.name} that ${why} refuses (${family})`, async () => {
          const text = newText();
          const refusals = async () => (await records(region.station('west'), '&result=refused')).length;
          const before = await refusals();
          const process = await carrier.send(source(name), db(), family, text);
          await waitFor('it is refused', async () => (await refusals()) > before);
          await sleep(150);
          assert.equal(ear.hears(text), false);
          process?.close();
        });
      }

      if (carrier.tagged) continue; // nobody is asked
      it(`is no byte of ${carrier.name} while one has not answered, and all of it after that (${family})`, async () => {
        const text = newText();
        const west = region.station('west');
        await link.set(AGENTS_SILENT);
        const process = await carrier.send(source('web'), db(), family, text);
        try {
          await waitFor('it is held', async () => (await underWay(west)).length > 0);
          await sleep(400);
          assert.equal(ear.hears(text), false, 'nobody has agreed');
          await link.set(AGENTS_SILENT, 'in');
          await link.set({}, 'out');
          const [own] = await underWay(west);
          assert.ok(own, 'it is under way');
          await standsAt(region.station('east'), 'destination', 'promised', own.destination.port);
          await sleep(200);
          assert.equal(ear.hears(text), false, 'only the destination has agreed');
        } finally {
          await link.set({});
        }
        await waitFor('it arrives', () => ear.hears(text));
        process?.close();
      });
    }
  }

  it('is a connection’s own bytes as soon as its tags have told', async () => {
    for (const family of ['ipv4', 'ipv6'] as const) {
      const text = newText();
      const process = await CARRIERS[2]!.send(source('web'), db(), family, text);
      await waitFor('it arrives', () => ear.hears(text));
      process?.close();
      const outcome = await connect(source('web'), { address: db()[family], port: PORT });
      assert.equal(outcome.result, 'ok');
    }
  });
});
