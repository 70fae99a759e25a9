/** Peers of other nodes: who is decided about when, what passes before that, and what does not. */
import assert from 'node:assert/strict';
import { Incident } from '../../../src/datapath/layouts.gen.ts';
import { ethernet, ipv4, ipv6 } from '../../rig/packets.ts';
import { icmpError, tcp, udp } from '../../rig/transports.ts';
import {
  BOX,
  datagram,
  HELD,
  HELD_BACK,
  HELD6,
  openLaboratory,
  PASSED,
  POLICY,
  segment,
  settle,
  synAck,
  synIn,
  TAGGED,
  UNVERIFIED,
  WEB,
  WEB6,
  WORLD,
} from './elsewhere.ts';
import type { Laboratory } from './laboratory.ts';
import { WINDOW } from './tag-reader.ts';

describe('peers of other nodes', () => {
  let lab: Laboratory;
  let web: bigint;
  let api: bigint;
  let db: bigint;

  before(() => {
    lab = openLaboratory();
    [web, api, db] = ['web', 'api', 'db'].map((name) => lab.identity(name)) as [bigint, bigint, bigint];
  });

  beforeEach(() => {
    lab.policy(POLICY);
    lab.forget();
    settle(lab);
  });
  after(() => lab.close());

  const open = (): void => {
    assert.deepEqual(lab.sends(segment({ tag: web })), PASSED);
  };

  describe('that are opened to by TCP', () => {
    it('get the SYN with its tag, and nothing else until they have shown theirs', () => {
      open();
      assert.equal(lab.flows()[0]?.pending, true);
      assert.equal(lab.flows()[0]?.current, false);
      assert.deepEqual(lab.sends(segment({ flags: ['ACK'], payload: Buffer.alloc(9) })), UNVERIFIED);
      assert.deepEqual(lab.sends(segment({ flags: ['RST'] })), UNVERIFIED);
      assert.deepEqual(lab.sends(segment({ flags: ['SYN', 'ACK'], tag: web })), UNVERIFIED);
      assert.deepEqual(lab.receives(synAck({ tag: api })), { passed: true, rule: 'shop/web egress to-api' });
      assert.deepEqual(lab.sends(segment({ flags: ['ACK'], payload: Buffer.alloc(9) })), PASSED);
      const [flow] = lab.flows();
      assert.deepEqual(
        { pending: flow?.pending, current: flow?.current, identity: flow?.identity, slot: flow?.remote.slot },
        { pending: false, current: true, identity: api, slot: 17 },
      );
    });

    it('work the same over IPv6', () => {
      const there = { from: WEB6, to: HELD6 };
      assert.deepEqual(lab.sends(segment({ ...there, tag: web })), PASSED);
      assert.deepEqual(lab.sends(segment({ ...there, flags: ['ACK'] })), UNVERIFIED);
      assert.equal(lab.receives(synAck({ from: HELD6, to: WEB6, tag: api })).passed, true);
      assert.deepEqual(lab.sends(segment({ ...there, flags: ['ACK'] })), PASSED);
    });

    it('are refused at once where nobody at all may be there', () => {
      assert.deepEqual(lab.sends(segment({ tag: web, toPort: 90 })), {
        passed: false,
        reason: 'Policy',
        rule: 'shop/web egress default',
      });
      assert.deepEqual(lab.flows(), []);
    });

    it('are refused when their tag says who they are, and it is somebody else', () => {
      open();
      assert.deepEqual(lab.receives(synAck({ tag: db })), {
        passed: false,
        reason: 'Policy',
        rule: 'shop/web egress default',
      });
      assert.deepEqual(lab.sends(segment({ flags: ['ACK'] })), UNVERIFIED);
    });

    for (const [name, wanted, reason] of [
      ['no tag', {}, 'Unverified'],
      ['a spoilt one', { spoilt: true }, 'TagMac'],
      ['one of another time', { window: WINDOW + 5 }, 'TagWindow'],
      ['one under a key that is not in force', { epoch: 2 }, 'TagWindow'],
    ] as const) {
      it(`are not believed with ${name}`, () => {
        open();
        const tag = name === 'no tag' ? {} : { tag: api };
        assert.deepEqual(lab.receives(synAck({ ...tag, ...wanted })), { passed: false, reason });
        assert.deepEqual(lab.receives(synAck({ flags: ['ACK'], payload: Buffer.alloc(5) })), UNVERIFIED);
        assert.deepEqual(lab.sends(segment({ flags: ['ACK'] })), UNVERIFIED);
        assert.equal(lab.receives(synAck({ tag: api })).passed, true, 'but then with a good one');
      });
    }

    it('are not believed with the tag of another connection', () => {
      open();
      assert.equal(lab.receives(synAck({ tag: api })).passed, true);
      lab.sends(segment({ tag: web, fromPort: 40001 }));
      assert.deepEqual(lab.receives(synAck({ tag: api, toPort: 40001 })), { passed: false, reason: 'TagReplay' });
    });

    it('may end it before it has begun, with nothing in it', () => {
      open();
      const end = { from: HELD, to: WEB, fromPort: 80, toPort: 40000, flags: ['RST', 'ACK'] as const };
      assert.deepEqual(lab.receives(segment({ ...end, payload: Buffer.alloc(1) })), UNVERIFIED);
      assert.deepEqual(lab.receives(segment(end)), PASSED);
      assert.deepEqual(lab.sends(segment({ tag: web })), PASSED, 'and be asked again');
    });

    it('may be unreachable; the endpoint has no such message for them', () => {
      open();
      const quote = ipv4(
        { source: WEB, destination: HELD },
        tcp({ sourcePort: 40000, destinationPort: 80, flags: ['SYN'] }),
      );
      const error = icmpError({ type: 3, code: 1, word: 0 }, quote);
      assert.deepEqual(lab.receives(ethernet({}, ipv4({ source: '10.9.0.1', destination: WEB }, error))), PASSED);
      const back = ipv4({ source: HELD, destination: WEB }, tcp({ sourcePort: 80, destinationPort: 40000 }));
      const forged = icmpError({ type: 3, code: 1, word: 0 }, back);
      assert.deepEqual(lab.sends(ethernet({}, ipv4({ source: WEB, destination: HELD }, forged))), {
        passed: false,
        reason: 'Unrelated',
      });
    });

    it('are asked for by a handshake where the SYN is repeated, bears no tag, or something more', () => {
      open();
      assert.deepEqual(lab.sends(segment({ tag: web })), PASSED, 'there is no agent, and the answer may bear a tag');
      lab.set({ heartbeat: process.hrtime.bigint() });
      assert.deepEqual(lab.sends(segment({ tag: web })), HELD_BACK);
      assert.deepEqual(lab.sends(segment({ fromPort: 40001 })), HELD_BACK);
      assert.deepEqual(lab.sends(segment({ fromPort: 40002, tag: web, payload: Buffer.alloc(4) })), HELD_BACK);
      assert.deepEqual(lab.sends(segment({ fromPort: 40003, to: BOX, tag: web })), HELD_BACK, 'where none are written');
      assert.equal(lab.incident(Incident.Held) >= 4n, true);
    });

    it('are, where nobody can be asked, whoever they say or else the world', () => {
      assert.deepEqual(lab.sends(segment({ to: TAGGED, toPort: 81, tag: web })), PASSED);
      assert.deepEqual(lab.sends(segment({ to: TAGGED, toPort: 81, tag: web })), PASSED, 'and again');
      assert.deepEqual(lab.sends(segment({ to: TAGGED, toPort: 81, flags: ['ACK'] })), UNVERIFIED);
      assert.deepEqual(lab.receives(synAck({ from: TAGGED, fromPort: 81 })), {
        passed: true,
        rule: 'shop/web egress to-far',
      });
      assert.deepEqual(lab.sends(segment({ to: TAGGED, toPort: 81, flags: ['ACK'] })), PASSED);
      assert.deepEqual(lab.sends(segment({ to: TAGGED, toPort: 81, fromPort: 40001 })), {
        passed: true,
        rule: 'shop/web egress to-far',
      });
      assert.equal(lab.sends(segment({ to: TAGGED, toPort: 80, fromPort: 40002 })).reason, 'Policy');
      assert.deepEqual(
        lab.sends(segment({ to: TAGGED, toPort: 81, fromPort: 40003, tag: web, payload: Buffer.alloc(1) })),
        UNVERIFIED,
      );
    });

    it('need both directions allowed where they open at the same moment', () => {
      const crossing = (wanted: object) => segment({ from: HELD, to: WEB, fromPort: 80, toPort: 8080, ...wanted });
      lab.sends(segment({ fromPort: 8080, tag: web }));
      assert.deepEqual(lab.receives(crossing({})), UNVERIFIED, 'without a tag');
      assert.deepEqual(lab.receives(crossing({ tag: db })).reason, 'Policy');
      assert.deepEqual(lab.receives(crossing({ tag: api })), { passed: true, rule: 'shop/web ingress from-api' });
      assert.deepEqual(lab.sends(segment({ fromPort: 8080, flags: ['SYN', 'ACK'], tag: web })), PASSED);
      lab.policy(POLICY.replace('{protocol: TCP, port: 80}, ', '{protocol: TCP, port: 90}, '));
      lab.forget();
      lab.sends(segment({ fromPort: 8080, toPort: 90, tag: web }));
      assert.equal(lab.receives(crossing({ fromPort: 90, tag: api })).passed, true);
      lab.policy(POLICY.replace('{protocol: TCP, port: 8080}, ', ''));
      lab.forget();
      lab.sends(segment({ fromPort: 8080, tag: web }));
      assert.equal(lab.receives(crossing({ tag: api })).reason, 'Policy', 'what comes in is not allowed');
    });

    it('are decided anew with a policy, by the identity they have shown, whatever has become of its slot', () => {
      open();
      assert.equal(lab.receives(synAck({ tag: api })).passed, true);
      lab.policy(`${POLICY}    # another revision\n`);
      lab.bump();
      assert.equal(lab.sends(segment({ flags: ['ACK'] })).rule, 'shop/web egress to-api');
      const slot = lab.programs.tables.identities.get(api)!;
      lab.programs.tables.identities.set(api, slot + 1);
      lab.bump();
      assert.equal(lab.sends(segment({ flags: ['ACK'] })).reason, 'Policy', 'its slot is now one that may not');
      lab.programs.tables.identities.delete(api);
      lab.bump();
      assert.equal(lab.sends(segment({ flags: ['ACK'] })).reason, 'TagUnknown');
      lab.programs.tables.identities.set(api, slot);
      assert.equal(lab.sends(segment({ flags: ['ACK'] })).passed, true);
    });

    it('are who they have shown to be also when the connection is half closed and quiet, or somebody has forged its end', () => {
      const back = (flags: readonly ('ACK' | 'RST' | 'FIN')[]) =>
        segment({ from: HELD, to: WEB, fromPort: 80, toPort: 40000, flags });
      for (const end of [['FIN', 'ACK'], ['RST']] as const) {
        lab.forget();
        open();
        assert.equal(lab.receives(synAck({ tag: api })).passed, true);
        assert.deepEqual(lab.receives(back(end)), PASSED);
        const { flows } = lab.programs.tables;
        const [[key, flow] = assert.fail()] = [...flows.entries()];
        // The kernel's clock wraps as this does: a machine may not have run for so long yet.
        flows.set(key, { ...flow, seen: BigInt.asUintN(64, flow.seen - 150_000_000_000n) });
        const sent = lab.sends(segment({ flags: ['ACK'], payload: Buffer.alloc(9) }));
        assert.equal(sent.passed && sent.mark === undefined, true, end.join());
        assert.deepEqual(lab.receives(back(['ACK'])), PASSED, end.join());
        assert.equal(lab.flows()[0]?.identity, api);
      }
    });
  });

  describe('that open', () => {
    it('are who their tag says, for as long as the connection lives', () => {
      assert.deepEqual(lab.receives(synIn({ tag: api })), { passed: true, rule: 'shop/web ingress from-api' });
      const answer = { fromPort: 8080, toPort: 50000 };
      assert.deepEqual(lab.sends(segment({ ...answer, flags: ['SYN', 'ACK'], tag: web })), PASSED);
      assert.deepEqual(lab.receives(synIn({ flags: ['ACK'], payload: Buffer.alloc(7) })), PASSED);
      lab.bump();
      assert.equal(lab.receives(synIn({ flags: ['ACK'] })).rule, 'shop/web ingress from-api');
      assert.equal(lab.receives(synIn({ tag: db, fromPort: 50001 })).reason, 'Policy');
    });

    it('are who their tag says wherever they come from', () => {
      assert.equal(lab.receives(synIn({ from: WORLD, tag: api })).rule, 'shop/web ingress from-api');
    });

    it('show a tag with each SYN', () => {
      assert.equal(lab.receives(synIn({ tag: api })).passed, true);
      assert.equal(lab.receives(synIn({ tag: api })).passed, true, 'it is sent again');
      assert.equal(lab.receives(synIn({ sequence: 5, payload: Buffer.alloc(3) })).reason, 'Untagged');
      assert.deepEqual(lab.receives(synIn({ tag: api, sequence: 6, payload: Buffer.alloc(3) })), UNVERIFIED);
      assert.equal(lab.flows()[0]?.identity, api, 'and the flow is as it was');
    });

    for (const [name, wanted, reason] of [
      ['without a tag', {}, 'Untagged'],
      ['with a spoilt one', { spoilt: true }, 'TagMac'],
      ['with one of another time', { window: WINDOW - 5 }, 'TagWindow'],
      ['with payload', { payload: Buffer.from('early') }, 'Unverified'],
      ['with the tag of a SYN-ACK', { flags: ['SYN', 'ACK'] }, 'Untagged'],
    ] as const) {
      it(`are refused ${name}`, () => {
        const tag = name === 'without a tag' ? {} : { tag: api };
        assert.equal(lab.receives(synIn({ ...tag, ...wanted })).reason, reason);
        assert.deepEqual(lab.flows(), []);
      });
    }

    it('are told of where nobody knows them', async () => {
      const before = (await lab.records()).length;
      assert.equal(lab.receives(synIn({ tag: 0x1234n })).reason, 'TagUnknown');
      const told = (await lab.records()).slice(before).find(({ kind }) => kind === 'stranger');
      assert.ok(told?.kind === 'stranger');
      assert.equal(told.identity, 0x1234n);
    });

    it('are of the world without a tag, which may be allowed', () => {
      assert.equal(lab.receives(synIn({ from: TAGGED, toPort: 8081 })).rule, 'shop/web ingress from-far');
      assert.equal(lab.receives(synIn({ from: TAGGED })).reason, 'Untagged');
      assert.equal(lab.receives(synIn({ from: WORLD })).reason, 'Policy', 'from outside the domain that is policy');
    });

    it('do not become one of this node by a tag', () => {
      lab.own('10.9.0.77', { endpoint: 3, slot: 18, flags: 0 });
      assert.equal(lab.receives(synIn({ from: '10.9.0.77', tag: api })).reason, 'Policy');
      lab.programs.tables.addresses.delete({
        bytes: Uint8Array.from([...new Array<number>(10).fill(0), 255, 255, 10, 9, 0, 77]),
      });
    });
  });

  describe('cannot be deceived by an endpoint', () => {
    for (const [name, wanted] of [
      ['of another, in a SYN', {}],
      ['of another, in a SYN-ACK', { flags: ['SYN', 'ACK'] }],
    ] as const) {
      it(`with a tag ${name}`, async () => {
        const before = (await lab.records()).length;
        assert.deepEqual(lab.sends(segment({ tag: api, ...wanted })), { passed: false, reason: 'TagForged' });
        assert.equal(
          (await lab.records()).slice(before).some(({ kind }) => kind === 'drop'),
          true,
        );
      });
    }

    it('with one that somebody else would read', () => {
      lab.verify({ remote: HELD, opened: 'egress', identity: api });
      assert.equal(lab.sends(segment({ tag: api })).reason, 'TagForged', 'though they are verified');
      assert.equal(lab.sends(segment({ to: WORLD, tag: api })).reason, 'TagForged', 'wherever it goes');
    });
  });

  it('without tags, domains and marks nothing is different', () => {
    lab.set({ tagWindow: 0, holdMark: 0, holdRate: 0 });
    assert.equal(lab.sends(segment({ to: WORLD, tag: api })).reason, 'Policy', 'a tag is an option like others');
    assert.equal(lab.receives(synIn({ from: WORLD, tag: api })).reason, 'Policy');
    assert.equal(lab.receives(synIn({ tag: api })).reason, 'Untagged');
    assert.deepEqual(lab.sends(datagram()), UNVERIFIED, 'what cannot be held');
  });

  it('read only the packet and not what lies behind it in its frame', () => {
    open();
    const reset = segment({ from: HELD, to: WEB, fromPort: 80, toPort: 40000, flags: ['RST'] });
    assert.deepEqual(lab.receives(Buffer.concat([reset, Buffer.alloc(6)])), PASSED);
    assert.equal(ipv6({ source: WEB6, destination: HELD6 }, udp({})).bytes.length, 48);
  });
});
