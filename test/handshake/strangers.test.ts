import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectPlain, type Socket } from 'node:net';
import { encode } from '../../src/handshake/encode.ts';
import type { Credentials } from '../../src/handshake/index.ts';
import type { Message } from '../../src/handshake/messages.ts';
import { DOMAIN, peer, QUICK, until } from './agents.ts';
import { Authority } from './authority.ts';

import { agent, made, opened, useAgents } from './rig.ts';
import { hello, Stranger } from './stranger.ts';

describe('who is not let in', () => {
  useAgents();

  const rows: readonly [string, () => Promise<Credentials | undefined>][] = [
    ['without a certificate', async () => undefined],
    ['with a certificate of another authority', async () => (await Authority.create(DOMAIN)).issue('node1')],
    ['with one signed by itself', () => made.authority.issue('node1', { selfSigned: true })],
    [
      'with one that has ended',
      () => made.authority.issue('node1', { from: Date.now() - 7_200_000, to: Date.now() - 1_000 }),
    ],
    ['with one that has not begun', () => made.authority.issue('node1', { from: Date.now() + 60_000 })],
    ['of another domain', () => made.authority.issue('node1', { uris: ['spiffe://other.example/agent/node1'] })],
    [
      'of a domain that begins like ours',
      () => made.authority.issue('node1', { uris: [`spiffe://${DOMAIN}.evil/agent/node1`] }),
    ],
    ['that is no agent', () => made.authority.issue('node1', { uris: [`spiffe://${DOMAIN}/console/node1`] })],
    [
      'with something after its name',
      () => made.authority.issue('node1', { uris: [`spiffe://${DOMAIN}/agent/node1/x`] }),
    ],
    ['with an encoded name', () => made.authority.issue('node1', { uris: [`spiffe://${DOMAIN}/agent/node%31`] })],
    [
      'with two names',
      () =>
        made.authority.issue('node1', { uris: [`spiffe://${DOMAIN}/agent/node1`, `spiffe://${DOMAIN}/agent/node3`] }),
    ],
    ['with no name', () => made.authority.issue('node1', { uris: [] })],
    [
      'with the name where a host name goes',
      () => made.authority.issue('node1', { uris: [], dns: [`x, URI:spiffe://${DOMAIN}/agent/node1`] }),
    ],
    ['that is not configured', () => made.authority.issue('node9')],
    ['with our own name', () => made.authority.issue('node2')],
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
    const stranger = new Stranger(await two.port(), made.certificates[1], { maxVersion: 'TLSv1.2' });
    await until('closed', () => stranger.closed);
    assert.deepEqual(stranger.kinds, []);
  });

  it('by a session of before', async () => {
    const two = agent(2, { listen: '127.0.0.1:0', agents: [peer(1, undefined)] });
    const port = await two.port();
    const first = new Stranger(port, made.certificates[1]);
    let session: Buffer | undefined;
    first.socket.on('session', (one: Buffer) => {
      session = one;
    });
    first.socket.once('secureConnect', () => first.say(hello));
    await until('up', () => two.state('node1') === 'connected');
    await until('a session is offered', () => session !== undefined);
    const second = new Stranger(port, made.certificates[1], { session });
    await once(second.socket, 'secureConnect');
    assert.ok(!second.socket.isSessionReused());
  });

  const certified = async () => {
    const two = agent(2, { listen: '127.0.0.1:0', agents: [peer(1, undefined)] });
    const stranger = new Stranger(await two.port(), made.certificates[1]);
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
    const silent = new Stranger(port, made.certificates[1]);
    const slow = new Stranger(port, made.certificates[1]);
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
    opened.push({ close: () => crowd.forEach((one) => void one.destroy()) });
    await until('turned away', () => two.handshake.statistics().turnedAway >= 136);
    const known = new Stranger(port, made.certificates[1]);
    known.socket.once('secureConnect', () => known.say(hello));
    await until('let in', () => two.state('node1') === 'connected');
  });
});

describe('a peer that floods', () => {
  useAgents();

  it('and does not read is cut off, whatever is to be said to it', async () => {
    const limits = { queuedBytes: 1 << 20, messagesPerSecond: 1_000_000, silence: 60_000 };
    const meshTiming = { ...QUICK, connection: { ...QUICK.connection, ...limits } };
    const two = agent(2, { listen: '127.0.0.1:0', agents: [peer(1, undefined)], meshTiming });
    const stranger = new Stranger(await two.port(), made.certificates[1]);
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

  for (const [what, messagesPerSecond, most] of [
    ['messages', 2_000, 8_000],
    ['announcements', 20_000, 4_000],
  ] as const) {
    it(`with ${what} is read no faster than is good for us`, async () => {
      const limits = { messagesPerSecond, silence: 60_000 };
      const meshTiming = { ...QUICK, connection: { ...QUICK.connection, ...limits } };
      const two = agent(2, { listen: '127.0.0.1:0', agents: [peer(1, undefined)], meshTiming });
      const stranger = new Stranger(await two.port(), made.certificates[1]);
      await once(stranger.socket, 'secureConnect');
      const news = { kind: 'announce', complete: true, more: false, workloads: [], withdrawn: [] } as const;
      stranger.say(hello, { ...news, revision: 9 });
      await until('up', () => two.state('node1') === 'connected');
      const old = what === 'messages' ? ({ kind: 'confirm', id: 7n } as const) : { ...news, revision: 1 };
      stranger.socket.write(Buffer.concat(Array(40_000).fill(encode(old))));
      await new Promise((resolve) => setTimeout(resolve, 1_000));
      const read = two.handshake.statistics().ignored.get(what === 'messages' ? 'unknown' : 'announcement') ?? 0;
      assert.ok(read > 0 && read < most, `${read} in a second`);
    });
  }

  it('with connections has at most four', async () => {
    const two = agent(2, { listen: '127.0.0.1:0', agents: [peer(1, undefined)] });
    const port = await two.port();
    const strangers = Array.from({ length: 8 }, () => new Stranger(port, made.certificates[1]));
    for (const one of strangers) one.socket.once('secureConnect', () => one.say(hello));
    await until('four closed', () => strangers.filter(({ closed }) => closed).length === 4);
    assert.equal(two.state('node1'), 'connected');
  });

  it('after a new start has none of its former life', async () => {
    const two = agent(2, { listen: '127.0.0.1:0', agents: [peer(1, undefined)] });
    const port = await two.port();
    const former = new Stranger(port, made.certificates[1]);
    former.socket.once('secureConnect', () => former.say(hello));
    await until('up', () => two.state('node1') === 'connected');
    const next = new Stranger(port, made.certificates[1]);
    next.socket.once('secureConnect', () => next.say({ ...hello, instance: 2n }));
    await until('closed', () => former.closed);
    assert.equal(two.state('node1'), 'connected');
    assert.ok(!next.closed);
  });
});
