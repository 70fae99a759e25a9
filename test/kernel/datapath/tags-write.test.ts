import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { Incident } from '../../../src/datapath/layouts.gen.ts';
import { enableStatistics } from '../../../src/libbpf/index.ts';
import { Cgroup } from '../../rig/cgroup.ts';
import { uniqueName } from '../../rig/names.ts';
import { Place } from '../../rig/netns.ts';
import { ethernet, ipv4 } from '../../rig/packets.ts';
import type { Background } from '../../rig/process.ts';
import { type TcpPacket, tagOption } from '../../rig/tag.ts';
import { buildTraffic, connect, rr, sendRaw, serve } from '../../rig/traffic.ts';
import { type TcpFields, tcp } from '../../rig/transports.ts';
import { assertTagged, assertUntagged, hex, LEFT, of, RIGHT, wanted } from './tag-heard.ts';
import { clockOffsetOf, KEYS, WINDOW } from './tag-reader.ts';
import { CAN_ADOPT, type Heard, TagStreet } from './tag-street.ts';

const PORT = 8080;
describe('the sockets of a container', () => {
  let street: TagStreet;
  let server: Background;

  before(async function () {
    this.timeout(120_000);
    await buildTraffic();
    street = await TagStreet.create();
    server = await serve(street.right.place, { tcp: String(PORT) });
  });
  beforeEach(() => street.reset());
  after(() => {
    server?.close();
    street?.close();
  });

  const talk = async (address: string, port = PORT): Promise<Heard> =>
    street.hear(async () => {
      const { result } = await connect(street.left.place, { address, port }, { exchange: true, timeoutMs: 5000 });
      assert.equal(result, 'ok', address);
    });

  /** Runs Python in a container: for sockets that no traffic tool has. */
  const python = (where: Place, script: string): Promise<string> => where.run(['python3', '-c', script]);

  it('write a tag on SYN and SYN-ACK, and on nothing else', async () => {
    const before = [Incident.TagWritten, Incident.TagNoRoom].map((number) => street.tables.incident(number));
    for (const address of [street.right.ipv4, street.right.ipv6]) assertTagged(await talk(address));
    const after = [Incident.TagWritten, Incident.TagNoRoom].map((number) => street.tables.incident(number));
    assert.deepEqual(after, [before[0]! + 4, before[1]]);
  });

  it('write it also from an IPv6 socket to an IPv4 address', async () => {
    const script = `import socket
s = socket.socket(socket.AF_INET6); s.settimeout(5); s.connect(("::ffff:${street.right.ipv4}", ${PORT})); s.send(b"x"); s.recv(1)`;
    assertTagged(await street.hear(() => python(street.left.place, script)));
  });

  it('leave everything else of the options as it was', async () => {
    const kinds = (packets: readonly TcpPacket[]): number[] => packets[0]!.options.map(([kind]) => kind!);
    const tagged = await talk(street.right.ipv4);
    const untagged = await talk(street.right.foreign);
    assert.deepEqual(kinds(tagged.left).slice(0, -1), kinds(untagged.left));
    assert.deepEqual(kinds(tagged.right).slice(0, -1), kinds(untagged.right));
  });

  it('write none outside the domain, nor where the domain wants none', async () => {
    for (const address of [street.right.foreign, street.right.foreign6]) assertUntagged(await talk(address));
    street.domain('10.77.0.2', 128, 0);
    assertUntagged(await talk(street.right.ipv4));
    assertTagged(await talk(street.right.ipv6));
  });

  it('write none on the answer to a SYN without one', async () => {
    street.own(street.left.place.cgroup!, 0n);
    assertUntagged(await talk(street.right.ipv4));
  });

  it('write none while there is no key, no window or no owner', async () => {
    street.tables.revoke(1);
    assertUntagged(await talk(street.right.ipv4));
    street.tables.accept(1);
    street.tables.set({ tagEpoch: 5 }); // its place is taken by epoch 1
    assertUntagged(await talk(street.right.ipv4));
    street.tables.set({ tagEpoch: 1, tagWindow: 0 });
    assertUntagged(await talk(street.right.ipv4));
    street.reset();
    for (const house of [street.left, street.right]) street.own(house.place.cgroup!, 0n);
    assertUntagged(await talk(street.right.ipv4));
  });

  it('write with the key that signs and in the window that is now', async () => {
    street.tables.accept(2);
    street.tables.set({ tagEpoch: 2, clockOffset: clockOffsetOf(WINDOW + 17) });
    const { left, right } = await talk(street.right.ipv4);
    const [syn, answer] = [of(left, 'SYN')[0]!, of(right, 'SYN-ACK')[0]!];
    assert.deepEqual(hex(syn.tags), wanted(syn, LEFT, 2, WINDOW + 17));
    assert.deepEqual(hex(answer.tags), wanted(answer, RIGHT, 2, WINDOW + 17));
  });

  it('write it again on a SYN that is sent again', async () => {
    await street.left.place.namespace.ip([
      `neigh replace 10.77.0.99 lladdr ${street.right.mac} nud permanent dev eth0`,
    ]);
    const { left } = await street.hear(() =>
      connect(street.left.place, { address: '10.77.0.99', port: PORT }, { timeoutMs: 1500 }),
    );
    const syns = of(left, 'SYN');
    assert.equal(syns.length, 2);
    for (const syn of syns) assert.deepEqual(hex(syn.tags), wanted(syn, LEFT));
    assert.equal(syns[0]!.sequence, syns[1]!.sequence);
  });

  /** A SYN of a host that does not answer, so that what it is sent is sent again. */
  const knock = (sourcePort: number, options: Buffer): Promise<Heard> =>
    street.hear(async () => {
      const { left, right } = street;
      await right.place.namespace.ip([`neigh replace 10.77.0.98 lladdr ${left.mac} nud permanent dev eth0`]);
      const send = (fields: TcpFields): Promise<unknown> => {
        const segment = tcp({ sourcePort, destinationPort: PORT, sequence: 1000, ...fields });
        const addresses = { source: '10.77.0.98', destination: right.ipv4 };
        const frame = ethernet({ source: left.mac, destination: right.mac }, ipv4(addresses, segment));
        return sendRaw(left.place.namespace, [frame], { interface: 'eth0' });
      };
      await send({ flags: ['SYN'], options });
      await sleep(1300);
      await send({ flags: ['RST'], sequence: 1001 });
    });

  it('write it again on a SYN-ACK that is sent again, where the SYN had one', async () => {
    const tag = tagOption({ key: KEYS[1]!, epoch: 1, identity: LEFT, window: WINDOW, sequence: 1000 });
    const answers = of((await knock(1001, tag)).right, 'SYN-ACK');
    assert.equal(answers.length, 2);
    for (const answer of answers) assert.deepEqual(hex(answer.tags), wanted(answer, RIGHT));
    const plain = of((await knock(1002, Buffer.from('020405b4', 'hex'))).right, 'SYN-ACK');
    assert.equal(plain.length, 2);
    for (const answer of plain) assert.deepEqual(hex(answer.tags), []);
  });

  it('take no other experimental option for a tag', async () => {
    const other = tagOption({ key: KEYS[1]!, epoch: 1, identity: LEFT, window: WINDOW, sequence: 1000 });
    other[3] = 0x12;
    for (const options of [other, Buffer.from('fe045a1101010101', 'hex'), Buffer.from('fe085a1100000000', 'hex')]) {
      const { right } = await knock(1003 + options.length, options);
      for (const answer of of(right, 'SYN-ACK')) assert.deepEqual(hex(answer.tags), [], options.toString('hex'));
      assert.ok(of(right, 'SYN-ACK').length > 0);
    }
  });

  it('write it into SYN cookies', async () => {
    await street.right.place.namespace.sysctl({ 'net.ipv4.tcp_syncookies': 2 });
    try {
      for (const address of [street.right.ipv4, street.right.ipv6]) assertTagged(await talk(address));
    } finally {
      await street.right.place.namespace.sysctl({ 'net.ipv4.tcp_syncookies': 1 });
    }
  });

  it('write it when both open at once, and both ends answer', async () => {
    const { left, right } = street;
    const script = (own: string, other: string): string => `import select, socket
s = socket.socket(); s.setblocking(False); s.bind(("${own}", 7777)); s.connect_ex(("${other}", 7777)); print("asked", flush=True)
select.select([], [s], [], 30); s.settimeout(30); s.send(b"x"); s.recv(1)`;
    // The first SYNs get lost, so that the second ones cross.
    const point = (mac: (own: string) => string) =>
      Promise.all([
        left.place.namespace.ip([`neigh replace ${right.ipv4} lladdr ${mac(right.mac)} nud permanent dev eth0`]),
        right.place.namespace.ip([`neigh replace ${left.ipv4} lladdr ${mac(left.mac)} nud permanent dev eth0`]),
      ]);
    await point(() => '02:00:00:00:77:77');
    const heard = await street.hear(async () => {
      const start = (where: Place, own: string, other: string): Background =>
        where.start(['python3', '-c', script(own, other)]);
      const both = [start(left.place, left.ipv4, right.ipv4), start(right.place, right.ipv4, left.ipv4)];
      await Promise.all(both.map((one) => one.output(/asked/)));
      await point((own) => own);
      for (const one of both) assert.equal((await one.exited).status, 0);
    });
    for (const [packets, identity] of [
      [heard.left, LEFT],
      [heard.right, RIGHT],
    ] as const) {
      assert.ok(of(packets, 'SYN').length > 0, 'both asked');
      for (const packet of packets) {
        const opens = packet.kind === 'SYN' || packet.kind === 'SYN-ACK';
        assert.deepEqual(hex(packet.tags), opens ? wanted(packet, identity) : [], packet.kind);
      }
    }
    assert.ok(of([...heard.left, ...heard.right], 'SYN-ACK').length > 0, 'one answered the other’s SYN');
  });

  describe('with Fast Open', () => {
    const client = (port: number): string => `import signal, socket
signal.alarm(5); s = socket.socket(); s.sendto(b"early", socket.MSG_FASTOPEN, ("${street.right.ipv4}", ${port})); print(s.recv(9)); s.send(b"more"); s.recv(9)`;
    const listener = `import socket
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("", 8090)); s.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16); s.listen(); print("ready", flush=True)
while True:
  c, _ = s.accept()
  for _ in range(2): c.send(c.recv(9))
  c.close()`;
    let fast: Background;
    const onBoth = async (settings: Readonly<Record<string, number>>): Promise<void> => {
      for (const { place } of [street.left, street.right]) await place.namespace.sysctl(settings);
    };

    beforeEach(async () => {
      await onBoth({ 'net.ipv4.tcp_fastopen': 3 });
      fast = street.right.place.start(['python3', '-c', listener]);
      await fast.output(/ready/);
    });
    afterEach(async () => {
      fast.close();
      await onBoth({ 'net.ipv4.tcp_timestamps': 1, 'net.ipv4.tcp_sack': 1 });
    });

    it('have no room beside a cookie, and say so', async () => {
      await python(street.left.place, client(8090)); // asks for the cookie
      const before = street.tables.incident(Incident.TagNoRoom);
      const heard = await street.hear(() => python(street.left.place, client(8090)));
      assertUntagged(heard);
      assert.equal(of(heard.left, 'SYN')[0]!.payload.toString(), 'early');
      assert.ok(street.tables.incident(Incident.TagNoRoom) > before);
    });

    it('write one where there is room, and none on data', async () => {
      await onBoth({ 'net.ipv4.tcp_timestamps': 0, 'net.ipv4.tcp_sack': 0 });
      await python(street.left.place, client(8090));
      const heard = await street.hear(() => python(street.left.place, client(8090)));
      assertTagged(heard);
      assert.equal(of(heard.left, 'SYN')[0]!.payload.toString(), 'early');
    });
  });

  it('write none outside the domain from a socket that has listened before', async () => {
    const from = (address: string): Promise<Heard> =>
      street.hear(() =>
        python(
          street.left.place,
          `import socket
s = socket.create_server(("", 8093)); s.shutdown(socket.SHUT_RD); s.settimeout(5); s.connect(("${address}", ${PORT})); s.send(b"x"); s.recv(1)`,
        ),
      );
    assertUntagged(await from(street.right.foreign));
    assertTagged(await from(street.right.ipv4));
  });

  it('have no room beside MPTCP, and say so', async function () {
    const enabled = await street.left.place.attempt(['cat', '/proc/sys/net/mptcp/enabled']);
    if (enabled.status !== 0) this.skip(); // built without
    const script = (more: string): string => `import socket
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262); s.settimeout(5); ${more}`;
    const listener = street.right.place.start([
      'python3',
      '-c',
      script('s.bind(("", 8091)); s.listen(); print("ready", flush=True); c, _ = s.accept(); c.send(c.recv(9))'),
    ]);
    await listener.output(/ready/);
    const before = street.tables.incident(Incident.TagNoRoom);
    const heard = await street.hear(() =>
      python(street.left.place, script(`s.connect(("${street.right.ipv4}", 8091)); s.send(b"x"); print(s.recv(1))`)),
    );
    listener.close();
    assertUntagged(heard);
    assert.ok(
      of(heard.left, 'SYN')[0]!.options.some(([kind]) => kind === 30),
      'it was MPTCP',
    );
    assert.ok(street.tables.incident(Incident.TagNoRoom) > before);
  });

  it('write it with many options, as long as there is room', async () => {
    await street.left.place.namespace.sysctl({ 'net.ipv4.tcp_sack': 0 });
    try {
      assertTagged(await talk(street.right.ipv4));
    } finally {
      await street.left.place.namespace.sysctl({ 'net.ipv4.tcp_sack': 1 });
    }
  });

  it('in a cgroup below count as the container’s; a container within it comes before it', async () => {
    const inner = new Cgroup(`${street.left.place.cgroup!.name}/inner`);
    const place = new Place(street.left.place.namespace, inner);
    const speak = (): Promise<Heard> =>
      street.hear(() =>
        connect(place, { address: street.right.ipv4, port: PORT }, { exchange: true, timeoutMs: 5000 }),
      );
    try {
      assertTagged(await speak());
      await street.left.place.namespace.sysctl({ 'net.ipv4.tcp_timestamps': 0 }); // room for two
      street.attach(inner, 77n);
      const [syn] = of((await speak()).left, 'SYN');
      assert.deepEqual(hex(syn!.tags), wanted(syn!, 77n));
    } finally {
      street.detach(inner);
      inner.close();
      await street.left.place.namespace.sysctl({ 'net.ipv4.tcp_timestamps': 1 });
    }
  });

  it('keep what is open when the program goes, and have no tags then', async () => {
    const cgroup = street.right.place.cgroup!;
    street.detach(cgroup);
    try {
      const { left, right } = await talk(street.right.ipv4);
      const [syn] = of(left, 'SYN');
      assert.deepEqual(hex(syn!.tags), wanted(syn!, LEFT));
      for (const packet of right) assert.deepEqual(hex(packet.tags), []);
    } finally {
      street.attach(cgroup, RIGHT);
    }
    assertTagged(await talk(street.right.ipv4));
  });

  it('pay for opening a connection, and nothing for its data', async () => {
    const statistics = enableStatistics();
    const runsOf = async (count: number): Promise<number> => {
      const before = street.runs;
      await rr(street.left.place, { address: street.right.ipv4, port: PORT }, { count, durationMs: 20_000 });
      return street.runs - before;
    };
    try {
      const few = await runsOf(1);
      assert.ok(few > 0);
      assert.ok((await runsOf(500)) <= few + 2);
    } finally {
      statistics.close();
    }
  });

  it('keep their owners when a new program takes the old one’s place', async () => {
    const renewed = street.renew();
    try {
      assertTagged(await talk(street.right.ipv4));
      street.own(street.left.place.cgroup!, 5n);
      const [syn] = of((await talk(street.right.ipv4)).left, 'SYN');
      assert.deepEqual(hex(syn!.tags), wanted(syn!, 5n));
    } finally {
      renewed.close();
    }
  });

  it('that listened before write no answer until they are adopted, and then only their own container’s', async function () {
    const { left, right } = street;
    const cgroup = right.place.cgroup!;
    const stranger = new Place(right.place.namespace, new Cgroup(uniqueName('stranger')));
    street.detach(cgroup);
    const early = await serve(right.place, { tcp: '8101' });
    const inner = new Place(right.place.namespace, new Cgroup(`${cgroup.name}/inner/deep`));
    const deep = await serve(inner, { tcp: '8102' });
    const other = await serve(stranger, { tcp: '8103' });
    street.attach(cgroup, RIGHT);
    street.attach(stranger.cgroup!, 99n);
    const answer = async (port: number): Promise<string[]> => {
      const [packet] = of((await talk(right.ipv4, port)).right, 'SYN-ACK');
      const known = [RIGHT, 99n].find((identity) => packet!.tags[0]?.readBigUInt64BE(4) === identity);
      if (known !== undefined) assert.deepEqual(hex(packet!.tags), wanted(packet!, known));
      return hex(packet!.tags);
    };
    try {
      for (const port of [8101, 8102, 8103]) assert.deepEqual(await answer(port), [], `${port} before`);
      if (!CAN_ADOPT) this.skip(); // Linux 6.12
      const adopted = await street.adopt(right, [cgroup]);
      const ports = new Map(adopted);
      for (const port of [8101, 8102]) assert.equal(ports.get(port), 0, `${port}`);
      assert.ok(!ports.has(8103), 'of another container');
      for (const address of [right.ipv4, right.ipv6]) assertTagged(await talk(address, 8101));
      assertTagged(await talk(right.ipv4, 8102));
      assert.deepEqual(await answer(8103), [], 'of another container');
      assert.deepEqual(await street.adopt(left, [cgroup]), [], 'in another namespace');
    } finally {
      for (const one of [early, deep, other]) one.close();
      street.detach(stranger.cgroup!);
      stranger.cgroup!.close();
      inner.cgroup!.close();
    }
  });
});
