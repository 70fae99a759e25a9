/** Claim tokens: told to the agent, never to a container. */
import assert from 'node:assert/strict';
import { ethernet, ipv4, ipv6 } from '../../rig/packets.ts';
import { icmpEcho, icmpv6Echo, udp } from '../../rig/transports.ts';
import {
  CLAIM_MAGIC,
  datagram,
  HELD,
  HELD6,
  openLaboratory,
  POLICY,
  segment,
  settle,
  WEB,
  WEB6,
  WORLD,
} from './elsewhere.ts';
import type { Laboratory } from './laboratory.ts';

const TOKEN = Buffer.from('00112233445566778899aabbccddeeff', 'hex');
const SILENT = { passed: false };
const REFUSED = { passed: false, reason: 'Claim' };

const payload = (token = TOKEN): Buffer => {
  const magic = Buffer.alloc(8);
  magic.writeBigUInt64BE(CLAIM_MAGIC);
  return Buffer.concat([magic, token]);
};
const INWARD = { from: HELD, to: WEB, fromPort: 6000, toPort: 5353 };

describe('claim tokens', () => {
  let lab: Laboratory;
  let api: bigint;
  let told: number;

  before(() => {
    lab = openLaboratory();
    api = lab.identity('api');
  });
  beforeEach(async () => {
    lab.policy(POLICY);
    lab.forget();
    settle(lab);
    told = (await lab.records()).length;
  });
  after(() => lab.close());

  const promise = (some: { protocol?: number; endpoint?: number; seconds?: number } = {}): void => {
    const expires = process.hrtime.bigint() + BigInt(some.seconds ?? 10) * 1_000_000_000n;
    lab.programs.tables.claims.set(
      { token: TOKEN },
      { identity: api, expires, endpoint: some.endpoint ?? 1, protocol: some.protocol ?? 17, used: 0 },
    );
  };
  const records = async () => (await lab.records()).slice(told);

  it('are told once, with the way they came, and leave no other trace', async () => {
    promise();
    assert.deepEqual(lab.receives(datagram(INWARD, payload())), SILENT);
    assert.deepEqual(lab.receives(datagram(INWARD, payload())), SILENT, 'a copy');
    const all = await records();
    assert.equal(all.length, 1);
    const [claim] = all;
    assert.ok(claim?.kind === 'claim');
    assert.equal(Buffer.from(claim.token).toString('hex'), TOKEN.toString('hex'));
    assert.deepEqual(
      [claim.identity, claim.endpoint, claim.conversation],
      [api, '#1', { protocol: 17, source: { address: HELD, port: 6000 }, destination: { address: WEB, port: 5353 } }],
    );
    assert.deepEqual(lab.flows(), []);
  });

  for (const [name, protocol, frame] of [
    ['a datagram over IPv6', 17, datagram({ from: HELD6, to: WEB6 }, payload())],
    ['a SYN', 6, segment({ from: HELD, to: WEB, payload: payload() })],
    ['a SYN with a tag', 6, segment({ from: HELD, to: WEB, tag: 5n, payload: payload() })],
    ['an echo request', 1, ethernet({}, ipv4({ source: HELD, destination: WEB }, icmpEcho({ id: 3 }, payload())))],
    ['one over IPv6', 58, ethernet({}, ipv6({ source: HELD6, destination: WEB6 }, icmpv6Echo({ id: 3 }, payload())))],
    ['UDP-Lite', 136, ethernet({}, ipv4({ source: HELD, destination: WEB, protocol: 136 }, udp({}, payload())))],
    ['a frame that is longer', 17, Buffer.concat([datagram(INWARD, payload()), Buffer.alloc(10)])],
    [
      'a datagram that is shorter than its packet',
      17,
      ethernet(
        {},
        ipv4({ source: HELD, destination: WEB }, udp({ length: 32 }, Buffer.concat([payload(), Buffer.alloc(6)]))),
      ),
    ],
  ] as const) {
    it(`are known in ${name}`, async () => {
      promise({ protocol });
      assert.deepEqual(lab.receives(frame), SILENT);
      assert.deepEqual(
        (await records()).map(({ kind }) => kind),
        ['claim'],
      );
      lab.policy('');
      lab.forget();
      assert.deepEqual(lab.receives(frame), REFUSED, 'and not delivered where nobody waits for them');
    });
  }

  for (const [name, wanted] of [
    ['of another endpoint', { endpoint: 2 }],
    ['of another protocol', { protocol: 6 }],
    ['of another time', { seconds: -1 }],
  ] as const) {
    it(`${name} are refused, and may still be used where they belong`, async () => {
      promise(wanted);
      assert.deepEqual(lab.receives(datagram(INWARD, payload())), REFUSED);
      assert.deepEqual(
        (await records()).map(({ kind }) => kind),
        ['drop'],
      );
      assert.equal(lab.programs.tables.claims.get({ token: TOKEN })?.used, 0);
    });
  }

  it('may lead to whomever their way leads to', async () => {
    promise({ endpoint: 0 });
    assert.deepEqual(lab.receives(datagram(INWARD, payload())), SILENT);
    assert.equal((await records())[0]?.kind, 'claim');
  });

  it('are caught in a conversation that is allowed already', async () => {
    lab.policy('');
    assert.equal(lab.receives(datagram({ ...INWARD, from: WORLD })).passed, true);
    assert.deepEqual(lab.receives(datagram({ ...INWARD, from: WORLD }, payload())), REFUSED, 'guessed');
    promise();
    assert.deepEqual(lab.receives(datagram({ ...INWARD, from: WORLD }, payload())), SILENT);
    assert.equal(lab.receives(datagram({ ...INWARD, from: WORLD }, Buffer.alloc(24))).passed, true);
    const [flow] = lab.flows();
    assert.equal(flow?.current, true, 'which goes on');
    const syn = segment({ from: WORLD, to: WEB });
    assert.equal(lab.receives(syn).passed, true);
    assert.deepEqual(lab.receives(segment({ from: WORLD, to: WEB, payload: payload() })), REFUSED);
  });

  it('are nothing in packets that are longer or say something else', () => {
    lab.policy('');
    assert.equal(lab.receives(datagram(INWARD, Buffer.concat([payload(), Buffer.alloc(1)]))).passed, true);
    assert.equal(lab.receives(datagram(INWARD, Buffer.alloc(24))).passed, true);
    assert.equal(lab.sends(datagram({}, payload())).passed, true, 'what leaves is for the other end to see');
  });

  it('do not go round what may not be there at all', () => {
    promise();
    lab.uplink(77);
    lab.own('10.0.0.44', { endpoint: 9, slot: 30, flags: 0 });
    assert.equal(lab.receives(datagram({ ...INWARD, from: '10.0.0.44' }, payload()), 77).reason, 'Spoofed');
    assert.equal(lab.receives(datagram({ ...INWARD, to: '10.0.0.44' }, payload())).reason, 'Stray');
  });
});
