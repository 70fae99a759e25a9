import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectPlain, type Socket } from 'node:net';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import { decode } from '../../src/handshake/decode.ts';
import { encode } from '../../src/handshake/encode.ts';
import { FrameReader } from '../../src/handshake/frames.ts';
import type { Credentials } from '../../src/handshake/index.ts';
import type { Hello, Message } from '../../src/handshake/messages.ts';
import { type AgentOptions, DOMAIN, identity, peer, QUICK, TestAgent, until } from './agents.ts';
import { Authority } from './authority.ts';

let authority: Authority;
let certificates: Credentials[];
const open: { close(): Promise<void> | void }[] = [];

before(async () => {
  authority = await Authority.create(DOMAIN);
  certificates = await Promise.all([0, 1, 2, 3].map((n) => authority.issue(`node${n}`)));
});

afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.close()));
});

function agent(number: number, options: Partial<AgentOptions> = {}): TestAgent {
  const one = new TestAgent(number, { credentials: certificates[number]!, ...options });
  open.push(one.handshake);
  return one;
}

/** Two agents; node1 dials node2, which does not dial. */
async function pair(options: { one?: Partial<AgentOptions>; two?: Partial<AgentOptions> } = {}) {
  const two = agent(2, { listen: '127.0.0.1:0', agents: [peer(1, undefined)], ...options.two });
  const port = await two.port();
  const one = agent(1, { agents: [peer(2, port)], ...options.one });
  return { one, two, port };
}

async function connected(options: Parameters<typeof pair>[0] = {}) {
  const world = await pair(options);
  const { one, two } = world;
  await until('both connected and announced', () => one.changes > 0 && two.changes > 0);
  one.carry = (conversation, token) => two.arrive(conversation, token);
  two.carry = (conversation, token) => one.arrive(conversation, token);
  return world;
}

const conversation = (port = 4_000) => ({
  protocol: 17,
  source: { address: '10.1.0.1', port },
  destination: { address: '10.2.0.1', port: 53 },
});

const hello: Hello = {
  kind: 'hello',
  versionLeast: 1,
  versionMost: 1,
  domain: DOMAIN,
  node: 'node1',
  instance: 1n,
  time: Date.now(),
};

/** Somebody with a certificate, or without, who says what he likes. */
class Stranger {
  readonly socket: TLSSocket;
  readonly messages: Message[] = [];
  closed = false;

  constructor(port: number, credentials: Credentials | undefined, more: ConnectionOptions = {}) {
    const reader = new FrameReader(1 << 20);
    const identity = credentials === undefined ? {} : { cert: credentials.certificate, key: credentials.key };
    this.socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...identity, ...more });
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.closed = true;
    });
    this.socket.on('data', (chunk: Buffer) => {
      for (const frame of reader.push(chunk)) this.messages.push(decode(frame));
    });
    open.push({ close: () => void this.socket.destroy() });
  }

  say(...messages: Message[]): void {
    this.socket.write(Buffer.concat(messages.map(encode)));
  }

  get kinds(): string[] {
    return this.messages.map(({ kind }) => kind);
  }
}

describe('agents over TLS', () => {
  it('know what the other runs, and verify a flow', async () => {
    const { one, two } = await connected();
    assert.deepEqual(
      one.handshake.identities().map(({ id }) => id),
      [identity(2, 1).id],
    );
    one.hold(conversation());
    await until('released', () => one.released.length === 1);
    assert.equal(one.entries.size, 2);
    await until('confirmed', () => two.records.length === 1);
    assert.equal(two.records[0]?.handshake, one.records[0]?.handshake);
    assert.equal(two.records[0]?.source.workload, 'shop/Service/n1-1');
  });

  it('use a connection that the other has dialled, where they cannot dial themselves', async () => {
    const { one, two } = await connected();
    two.hold({
      ...conversation(),
      source: { address: '10.2.0.1', port: 1 },
      destination: { address: '10.1.0.1', port: 2 },
    });
    await until('released', () => two.released.length === 1);
    assert.deepEqual(
      [...one.handshake.agents()].map(({ state, inbound }) => [state, inbound]),
      [['connected', false]],
    );
    assert.deepEqual(
      [...two.handshake.agents()].map(({ state, inbound }) => [state, inbound]),
      [['connected', true]],
    );
  });

  it('tell what changes, and forget what is withdrawn', async () => {
    const { one, two } = await connected();
    two.identities.push(identity(2, 2));
    two.handshake.endpointsChanged();
    await until('told', () => one.handshake.identities().length === 2);
    one.hold(conversation());
    await until('released', () => one.released.length === 1);
    two.identities.shift();
    two.handshake.endpointsChanged();
    await until('withdrawn', () => one.handshake.identities().length === 1);
    await until('revoked', () => one.entries.size === 0);
  });

  it('name an identity only after it has been announced, however new it is', async () => {
    const { one, two } = await connected();
    one.identities.push(identity(1, 2));
    one.hold({ ...conversation(), source: { address: '10.1.0.2', port: 7 } });
    await until('released', () => one.released.length === 1);
    assert.equal(two.handshake.identities().length, 2);
  });

  it('are asked for strangers', async () => {
    const { one, two } = await connected();
    const late = identity(2, 2);
    two.identities.push(late);
    one.handshake.stranger(late.id);
    await until('answered', () => one.handshake.identities().some(({ id }) => id === late.id));
  });

  it('speak only for the workloads they may', async () => {
    const { one, two } = await pair({ two: { agents: [peer(1, undefined, { workloads: ['shop/Service/other*'] })] } });
    await until('announced', () => one.changes > 0 && two.changes > 0);
    assert.deepEqual(two.handshake.identities(), []);
    assert.equal(two.handshake.statistics().ignored.get('foreign'), 1);
    one.hold(conversation());
    await until('refused', () => one.records.length === 1);
    assert.equal(one.records[0]?.reason, 'not-yours');
  });

  it('with a thousand and more workloads are told in parts that take effect together', async () => {
    const { one, two } = await pair({ two: { endpoints: 5_000 } });
    const sizes: number[] = [];
    await until('announced', () => {
      sizes.push(one.handshake.identities().length);
      return one.changes > 0;
    });
    assert.deepEqual(
      [...new Set(sizes)].filter((size) => size !== 0 && size !== 5_000),
      [],
    );
    assert.equal(one.handshake.identities().length, 5_000);
    assert.equal(two.handshake.statistics().notAnnounced, 0);
  });

  it('make two thousand handshakes at once', async () => {
    const { one, two } = await connected();
    const started = performance.now();
    for (let i = 0; i < 900; i++) one.hold(conversation(10_000 + i));
    await until('the first 900', () => one.released.length === 900, 10_000);
    for (let i = 0; i < 900; i++) one.hold(conversation(20_000 + i));
    await until('the next 900', () => one.released.length === 1_800, 10_000);
    for (let i = 0; i < 200; i++) one.hold(conversation(30_000 + i));
    await until('all of them', () => one.released.length === 2_000, 10_000);
    await until('all confirmed', () => two.records.length === 2_000);
    assert.ok(performance.now() - started < 10_000);
    assert.deepEqual([one.handshake.underWay(), two.handshake.underWay()], [[], []]);
    assert.equal(two.claims.size, 0);
  });

  it('find each other again after one has died, with everything it runs now', async () => {
    const { one, two, port } = await connected();
    await two.handshake.close();
    await until('lost', () => one.state('node2') !== 'connected');
    assert.equal(one.handshake.identities().length, 1, 'its containers go on without it');
    const next = agent(2, { listen: `127.0.0.1:${port}`, agents: [peer(1, undefined)], endpoints: 3 });
    await until('found', () => one.handshake.identities().length === 3);
    one.carry = (seen, token) => next.arrive(seen, token);
    one.hold(conversation());
    await until('released', () => one.released.length === 1);
  });

  it('close at once and twice, and leave nothing open', async () => {
    const { one, two } = await connected();
    await Promise.all([one.handshake.close(), one.handshake.close(), two.handshake.close()]);
    await one.handshake.close();
    const controller = new AbortController();
    const third = agent(3, { listen: '127.0.0.1:0', signal: controller.signal });
    const port = await third.port();
    controller.abort();
    await third.handshake.close();
    const [error] = (await once(connectPlain(port, '127.0.0.1'), 'error')) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'ECONNREFUSED');
  });

  it('that cannot listen say so and dial all the same', async () => {
    const { two, port } = await pair();
    const faults: string[] = [];
    const third = agent(3, { listen: `127.0.0.1:${port}`, onFault: (error) => faults.push(error.message) });
    await third.handshake.listening;
    assert.match(faults[0] ?? '', /Cannot listen on 127\.0\.0\.1:\d+ for other agents: .*EADDRINUSE/);
    assert.ok(two);
  });
});

describe('who is not let in', () => {
  const rows: readonly [string, () => Promise<Credentials | undefined>][] = [
    ['without a certificate', async () => undefined],
    ['with a certificate of another authority', async () => (await Authority.create(DOMAIN)).issue('node1')],
    ['with one signed by itself', () => authority.issue('node1', { selfSigned: true })],
    [
      'with one that has ended',
      () => authority.issue('node1', { from: Date.now() - 7_200_000, to: Date.now() - 1_000 }),
    ],
    ['with one that has not begun', () => authority.issue('node1', { from: Date.now() + 60_000 })],
    ['of another domain', () => authority.issue('node1', { uris: ['spiffe://other.example/agent/node1'] })],
    [
      'of a domain that begins like ours',
      () => authority.issue('node1', { uris: [`spiffe://${DOMAIN}.evil/agent/node1`] }),
    ],
    ['that is no agent', () => authority.issue('node1', { uris: [`spiffe://${DOMAIN}/console/node1`] })],
    ['with something after its name', () => authority.issue('node1', { uris: [`spiffe://${DOMAIN}/agent/node1/x`] })],
    ['with an encoded name', () => authority.issue('node1', { uris: [`spiffe://${DOMAIN}/agent/node%31`] })],
    [
      'with two names',
      () => authority.issue('node1', { uris: [`spiffe://${DOMAIN}/agent/node1`, `spiffe://${DOMAIN}/agent/node3`] }),
    ],
    ['with no name', () => authority.issue('node1', { uris: [] })],
    [
      'with the name where a host name goes',
      () => authority.issue('node1', { uris: [], dns: [`x, URI:spiffe://${DOMAIN}/agent/node1`] }),
    ],
    ['that is not configured', () => authority.issue('node9')],
    ['with our own name', () => authority.issue('node2')],
  ];
  for (const [who, credentials] of rows) {
    it(who, async () => {
      const two = agent(2, { listen: '127.0.0.1:0', agents: [peer(1, undefined), peer(2, undefined)] });
      const stranger = new Stranger(await two.port(), await credentials());
      stranger.socket.once('secureConnect', () => stranger.say(hello));
      await until('closed', () => stranger.closed);
      assert.deepEqual(stranger.kinds, []);
      assert.notEqual(two.state('node1'), 'connected');
    });
  }

  it('by TLS 1.2', async () => {
    const two = agent(2, { listen: '127.0.0.1:0', agents: [peer(1, undefined)] });
    const stranger = new Stranger(await two.port(), certificates[1], { maxVersion: 'TLSv1.2' });
    await until('closed', () => stranger.closed);
    assert.deepEqual(stranger.kinds, []);
  });

  it('by a session of before', async () => {
    const two = agent(2, { listen: '127.0.0.1:0', agents: [peer(1, undefined)] });
    const port = await two.port();
    const first = new Stranger(port, certificates[1]);
    let session: Buffer | undefined;
    first.socket.on('session', (one: Buffer) => {
      session = one;
    });
    first.socket.once('secureConnect', () => first.say(hello));
    await until('up', () => two.state('node1') === 'connected');
    assert.ok(session !== undefined, 'a session was offered');
    const second = new Stranger(port, certificates[1], { session });
    await once(second.socket, 'secureConnect');
    assert.ok(!second.socket.isSessionReused());
  });

  const certified = async () => {
    const two = agent(2, { listen: '127.0.0.1:0', agents: [peer(1, undefined)] });
    const stranger = new Stranger(await two.port(), certificates[1]);
    await once(stranger.socket, 'secureConnect');
    return { two, stranger };
  };

  const announce = {
    kind: 'announce',
    complete: false,
    more: false,
    revision: 1,
    workloads: [],
    withdrawn: [],
  } as const;
  const beginnings: readonly [string, Message[], string][] = [
    ['with no version in common', [{ ...hello, versionLeast: 2, versionMost: 9 }], 'VERSION'],
    ['with versions the wrong way round', [{ ...hello, versionLeast: 2, versionMost: 0 }], 'VERSION'],
    ['with another domain', [{ ...hello, domain: 'other.example' }], 'DOMAIN'],
    ['with another name than its certificate', [{ ...hello, node: 'node3' }], 'PEER'],
    ['with something before Hello', [{ kind: 'ping', nonce: 1n }], 'UNEXPECTED'],
    ['with Hello twice', [hello, hello], 'UNEXPECTED'],
    ['with changes before the whole', [hello, announce], 'UNEXPECTED'],
    [
      'with a gap in what it announces',
      [hello, { ...announce, complete: true }, { ...announce, revision: 3 }],
      'UNEXPECTED',
    ],
    [
      'with an announcement inside another',
      [hello, { ...announce, complete: true, more: true }, announce],
      'UNEXPECTED',
    ],
  ];
  for (const [who, messages, code] of beginnings) {
    it(who, async () => {
      const { two, stranger } = await certified();
      stranger.say(...messages);
      await until('closed', () => stranger.closed);
      assert.deepEqual([...two.handshake.statistics().protocolErrors], [[code, 1]]);
      assert.deepEqual(two.handshake.identities(), []);
    });
  }

  it('with bytes that are nothing', async () => {
    for (const bytes of [
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      Buffer.alloc(5_000, 0xff),
      Buffer.of(3, 0x0a, 0x01, 0x99),
    ]) {
      const { two, stranger } = await certified();
      stranger.socket.write(bytes);
      await until('closed', () => stranger.closed);
      assert.notEqual(two.state('node1'), 'connected');
      await two.handshake.close();
    }
  });

  it('with a first message that is too long', async () => {
    const { two, stranger } = await certified();
    stranger.socket.write(Buffer.of(0x81, 0x20));
    await until('closed', () => stranger.closed);
    assert.deepEqual([...two.handshake.statistics().protocolErrors], [['FRAME', 1]]);
  });

  it('who takes his time: before TLS, before Hello, within a message', async () => {
    const two = agent(2, { listen: '127.0.0.1:0', agents: [peer(1, undefined)] });
    const port = await two.port();
    const plain = connectPlain(port, '127.0.0.1');
    const trickle = (socket: Socket, bytes: Buffer): NodeJS.Timeout => {
      let at = 0;
      return setInterval(() => socket.writable && socket.write(bytes.subarray(at, ++at)), 20);
    };
    const silent = new Stranger(port, certificates[1]);
    const slow = new Stranger(port, certificates[1]);
    slow.socket.once('secureConnect', () => slow.say(hello));
    await until('up', () => two.state('node1') === 'connected');
    const announcement = encode({ ...announce, complete: true, withdrawn: Array(1_000).fill(1n) });
    const timers = [trickle(slow.socket, announcement), trickle(plain, Buffer.alloc(1_000, 0x16))];
    plain.on('error', () => {});
    const begun = performance.now();
    await Promise.all([once(plain, 'close'), until('no Hello', () => silent.closed), until('slow', () => slow.closed)]);
    for (const timer of timers) clearInterval(timer);
    assert.ok(performance.now() - begun < 3_000);
    const closes = two.handshake.statistics().closes;
    assert.equal(closes.get('silence'), 1);
    await until('forgotten', () => two.state('node1') !== 'connected');
  });

  it('one of a crowd that fills the door, which agents pass all the same', async () => {
    const patient = { ...QUICK, connection: { ...QUICK.connection, hello: 60_000 } };
    const two = agent(2, { listen: '127.0.0.1:0', agents: [peer(1, undefined)], meshTiming: patient });
    const port = await two.port();
    const crowd = Array.from({ length: 200 }, () => connectPlain(port, '127.0.0.1'));
    for (const one of crowd) one.on('error', () => {});
    open.push({ close: () => crowd.forEach((one) => void one.destroy()) });
    await until('turned away', () => two.handshake.statistics().turnedAway >= 136);
    const known = new Stranger(port, certificates[1]);
    known.socket.once('secureConnect', () => known.say(hello));
    await until('let in', () => two.state('node1') === 'connected');
  });
});

describe('a peer that floods', () => {
  it('and does not read is cut off, whatever is to be said to it', async () => {
    const limits = { queuedBytes: 1 << 20, messagesPerSecond: 1_000_000, silence: 60_000 };
    const meshTiming = { ...QUICK, connection: { ...QUICK.connection, ...limits } };
    const two = agent(2, { listen: '127.0.0.1:0', agents: [peer(1, undefined)], meshTiming });
    const stranger = new Stranger(await two.port(), certificates[1]);
    await once(stranger.socket, 'secureConnect');
    stranger.say(hello);
    await until('up', () => two.state('node1') === 'connected');
    stranger.socket.pause();
    const ping = encode({ kind: 'ping', nonce: 1n });
    const many = Buffer.concat(Array(2_000).fill(ping));
    const feed = setInterval(() => stranger.socket.writable && stranger.socket.write(many), 5);
    await until('cut off', () => (two.handshake.statistics().closes.get('overflow') ?? 0) === 1, 15_000);
    clearInterval(feed);
  });

  it('with connections has at most four', async () => {
    const two = agent(2, { listen: '127.0.0.1:0', agents: [peer(1, undefined)] });
    const port = await two.port();
    const strangers = Array.from({ length: 8 }, () => new Stranger(port, certificates[1]));
    for (const one of strangers) one.socket.once('secureConnect', () => one.say(hello));
    await until('four closed', () => strangers.filter(({ closed }) => closed).length === 4);
    assert.equal(two.state('node1'), 'connected');
  });

  it('after a new start has none of its former life', async () => {
    const two = agent(2, { listen: '127.0.0.1:0', agents: [peer(1, undefined)] });
    const port = await two.port();
    const former = new Stranger(port, certificates[1]);
    former.socket.once('secureConnect', () => former.say(hello));
    await until('up', () => two.state('node1') === 'connected');
    const next = new Stranger(port, certificates[1]);
    next.socket.once('secureConnect', () => next.say({ ...hello, instance: 2n }));
    await until('closed', () => former.closed);
    assert.equal(two.state('node1'), 'connected');
    assert.ok(!next.closed);
  });
});

describe('credentials', () => {
  it('that cannot be used are refused when they are read, with what is wrong', async () => {
    const other = await authority.issue('node3');
    const good = certificates[1]!;
    const rows: readonly [Credentials, RegExp][] = [
      [{ ...good, key: other.key }, /Cannot use the credentials/],
      [{ ...good, certificate: 'x' }, /Cannot use the credentials/],
      [{ ...good, authority: '' }, /Cannot find a certificate in the authority/],
      [other, /names URI:spiffe:\/\/test\.example\/agent\/node3/],
    ];
    for (const [credentials, wanted] of rows) {
      assert.throws(() => new TestAgent(1, { credentials }), { code: 'CREDENTIALS', message: wanted });
    }
  });

  it('are read again without losing a connection', async () => {
    let current = certificates[1]!;
    const { one, two } = await connected({ one: { credentials: () => current } });
    const before = one.handshake.statistics().closes.size;
    current = await authority.issue('node1');
    one.handshake.reload();
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(one.handshake.statistics().closes.size, before);
    assert.equal(two.state('node1'), 'connected');
  });

  it('that are bad do not take the place of good ones', async () => {
    let current = certificates[1]!;
    const { one } = await connected({ one: { credentials: () => current } });
    current = { ...current, key: 'nonsense' };
    assert.throws(() => one.handshake.reload(), { code: 'CREDENTIALS' });
    assert.equal(one.state('node2'), 'connected');
  });

  it('of an authority that is no longer accepted end the connections they opened', async () => {
    const next = await Authority.create(DOMAIN, 'CN=next authority');
    let current = certificates[2]!;
    const { one, two } = await connected({ two: { credentials: () => current } });
    // First both are accepted, then only the next one.
    current = { ...current, authority: `${authority.certificate}\n${next.certificate}` };
    two.handshake.reload();
    await new Promise((resolve) => setTimeout(resolve, 150));
    assert.equal(two.state('node1'), 'connected');
    current = { ...(await next.issue('node2')), authority: next.certificate };
    two.handshake.reload();
    await until('closed', () => two.state('node1') !== 'connected');
    assert.equal(two.handshake.statistics().closes.get('certificate'), 1);
    await until('refused', () => one.state('node2') === 'refused');
  });

  it('that end while a connection stands end it, and the next ones open another', async () => {
    let current = await authority.issue('node1', { to: Date.now() + 3_000 });
    const { one, two } = await connected({ one: { credentials: () => current } });
    current = certificates[1]!;
    one.handshake.reload();
    await until(
      'ended',
      () =>
        (one.handshake.statistics().closes.get('certificate') ?? 0) +
          (two.handshake.statistics().closes.get('certificate') ?? 0) >=
        1,
    );
    await until('again', () => one.state('node2') === 'connected' && two.state('node1') === 'connected');
    one.hold(conversation());
    await until('released', () => one.released.length === 1);
  });

  it('of the one that is dialled are looked at as closely', async () => {
    const impostor = agent(3, { listen: '127.0.0.1:0', agents: [peer(1, undefined)] });
    const one = agent(1, { agents: [peer(2, await impostor.port()), peer(3, undefined)] });
    await until('refused', () => one.state('node2') === 'refused');
    assert.match(one.troubles[0] ?? '', /node2: The agent of node3, wanted node2/);
    assert.equal(one.handshake.identities().length, 0);
  });
});
