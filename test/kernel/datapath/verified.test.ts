/** Peers of other nodes that a handshake has verified, and what a tag says of them against that. */
import assert from 'node:assert/strict';
import { VerifiedFlags } from '../../../src/datapath/layouts.gen.ts';
import {
  datagram,
  HELD,
  HELD_BACK,
  openLaboratory,
  PASSED,
  POLICY,
  segment,
  settle,
  synIn,
  TAGGED,
  UNVERIFIED,
  WEB,
} from './elsewhere.ts';
import type { Laboratory } from './laboratory.ts';
import { WINDOW } from './tag-reader.ts';

describe('verified peers', () => {
  let lab: Laboratory;
  let api: bigint;
  let db: bigint;

  before(() => {
    lab = openLaboratory();
    [api, db] = ['api', 'db'].map((name) => lab.identity(name)) as [bigint, bigint];
  });

  beforeEach(() => {
    lab.policy(POLICY);
    lab.forget();
    settle(lab);
  });
  after(() => lab.close());

  const spoken = { remote: HELD, opened: 'egress' } as const;

  it('are decided about at once, by any protocol, and the entry is marked', () => {
    lab.verify({ ...spoken, identity: api });
    assert.deepEqual(lab.sends(datagram()), { passed: true, rule: 'shop/web egress to-api' });
    assert.deepEqual(lab.sends(segment()), { passed: true, rule: 'shop/web egress to-api' });
    assert.equal(lab.sends(datagram({ toPort: 99 })).reason, 'Policy');
    assert.ok((lab.usedAt({ ...spoken }) ?? 0) > 0);
    assert.equal(lab.flows()[0]?.identity, api);
  });

  it('answer, and open where that is verified too', () => {
    lab.verify({ ...spoken, identity: api });
    lab.sends(datagram());
    assert.deepEqual(lab.receives(datagram({ from: HELD, to: WEB, fromPort: 53, toPort: 5000 })), PASSED);
    const opening = datagram({ from: HELD, to: WEB, fromPort: 6000, toPort: 5353 });
    assert.equal(lab.receives(opening).reason, 'Untagged');
    lab.verify({ remote: HELD, opened: 'ingress', identity: api });
    assert.equal(lab.receives(opening).rule, 'shop/web ingress from-api');
    assert.equal(lab.receives(synIn({ fromPort: 50009, payload: Buffer.alloc(5) })).passed, true, 'payload and all');
  });

  it('in one conversation are so in that one', () => {
    lab.verify({ ...spoken, identity: api, protocol: 17, localPort: 5000, remotePort: 53 });
    assert.equal(lab.sends(datagram()).rule, 'shop/web egress to-api');
    assert.deepEqual(lab.sends(datagram({ fromPort: 5001 })), HELD_BACK);
    lab.verify({ ...spoken, identity: db });
    assert.equal(lab.sends(datagram({ fromPort: 5002 })).reason, 'Policy');
    lab.bump();
    assert.equal(lab.sends(datagram()).rule, 'shop/web egress to-api', 'the narrower counts');
  });

  it('end with their entry, the flow within a minute', () => {
    lab.verify({ ...spoken, identity: api, lifetime: 0 });
    assert.deepEqual(lab.sends(datagram()), HELD_BACK);
    lab.verify({ ...spoken, identity: api });
    assert.equal(lab.sends(datagram()).passed, true);
    const { flows } = lab.programs.tables;
    const [[key, flow] = assert.fail()] = [...flows.entries()];
    const now = Number(process.hrtime.bigint() / 1_000_000_000n);
    assert.ok(flow.expires > now + 55 && flow.expires <= now + 61, `${flow.expires - now} s`);
    flows.set(key, { ...flow, expires: now - 1 });
    assert.equal(lab.sends(datagram()).rule, 'shop/web egress to-api', 'asked again');
    const [[, again] = assert.fail()] = [...flows.entries()];
    flows.set(key, { ...again, expires: now - 1 });
    lab.verify({ ...spoken, identity: api, lifetime: 0 });
    assert.deepEqual(lab.receives(datagram({ from: HELD, to: WEB, fromPort: 53, toPort: 5000 })), UNVERIFIED);
    assert.deepEqual(lab.sends(datagram()), HELD_BACK);
  });

  it('as refused get nothing', () => {
    lab.verify({ ...spoken, identity: api, flags: VerifiedFlags.Refused });
    for (const packet of [datagram(), segment({ tag: lab.identity('web') })]) {
      assert.deepEqual(lab.sends(packet), { passed: false, reason: 'Refused' });
    }
  });

  it('as nobody are of the world', () => {
    lab.verify({ remote: TAGGED, opened: 'egress', identity: 0n, flags: VerifiedFlags.World });
    assert.equal(lab.sends(datagram({ to: TAGGED, toPort: 54 })).rule, 'shop/web egress to-far');
    assert.equal(lab.sends(datagram({ to: TAGGED })).reason, 'Policy');
    lab.verify({ ...spoken, identity: 0n, flags: VerifiedFlags.World });
    assert.equal(lab.sends(datagram()).reason, 'Policy');
  });

  it('are whom a good tag names, where that is another by now', () => {
    const heard = { remote: HELD, opened: 'ingress' } as const;
    lab.verify({ ...heard, identity: api });
    assert.equal(lab.receives(synIn({ tag: db })).reason, 'Policy');
    assert.equal(lab.receives(synIn({ tag: 0x1234n, fromPort: 50001 })).reason, 'TagUnknown');
    assert.equal(
      lab.receives(synIn({ tag: db, fromPort: 50002, window: WINDOW + 5 })).rule,
      'shop/web ingress from-api',
    );
    const early = { fromPort: 50003, sequence: 5, payload: Buffer.from('early') };
    assert.deepEqual(lab.receives(synIn({ ...early, tag: db })), UNVERIFIED);
    assert.equal(lab.receives(synIn({ ...early, tag: api, sequence: 6 })).rule, 'shop/web ingress from-api');
    lab.verify({ ...heard, identity: api, flags: VerifiedFlags.Refused });
    assert.equal(lab.receives(synIn({ fromPort: 50004 })).reason, 'Refused');
    assert.equal(lab.receives(synIn({ tag: api, fromPort: 50005, sequence: 7 })).rule, 'shop/web ingress from-api');
  });

  it('but whom nobody knows any more are refused', () => {
    lab.verify({ ...spoken, identity: 0x77n });
    assert.deepEqual(lab.sends(datagram()), { passed: false, reason: 'NoTable' });
  });
});
