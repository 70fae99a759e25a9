/** What waits for a handshake: marked, counted, bounded; and what marks are good for otherwise, which is nothing. */
import assert from 'node:assert/strict';
import { BackendFlags, Incident, Slot } from '../../../src/datapath/layouts.gen.ts';
import { parseAddress } from '../../../src/model/address.ts';
import { ethernet, ipv4 } from '../../rig/packets.ts';
import { icmpEcho } from '../../rig/transports.ts';
import {
  ANSWER_MARK,
  datagram,
  HELD,
  HELD_BACK,
  HOLD_MARK,
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
  WORLD,
} from './elsewhere.ts';
import type { Laboratory } from './laboratory.ts';

/** `web` may send there, by address and to whomever of the domain. */
const OPEN = `apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: {name: open, namespace: shop}
spec:
  subject: {workload: Service/web}
  egress:
    - {name: to-there, to: [{cidr: 10.9.0.0/16}, {workload: Service/api}], ports: [{protocol: UDP, port: 77}]}
`;

describe('packets to peers of other nodes', () => {
  let lab: Laboratory;
  let api: bigint;

  before(() => {
    lab = openLaboratory();
    api = lab.identity('api');
  });

  beforeEach(() => {
    lab.policy(POLICY);
    lab.forget();
    settle(lab);
  });
  after(() => lab.close());

  describe('before they are known', () => {
    it('datagrams wait, each of them, and answers before that do not come in', () => {
      assert.deepEqual(lab.sends(datagram()), HELD_BACK);
      assert.deepEqual(lab.sends(datagram()), HELD_BACK);
      assert.equal(lab.flows()[0]?.pending, true);
      const answer = datagram({ from: HELD, to: WEB, fromPort: 53, toPort: 5000 });
      assert.deepEqual(lab.receives(answer), UNVERIFIED);
      lab.verify({ remote: HELD, opened: 'egress', identity: api, protocol: 17, localPort: 5000, remotePort: 53 });
      assert.deepEqual(lab.receives(answer), { passed: true, rule: 'shop/web egress to-api' });
      assert.equal(lab.flows()[0]?.pending, false);
      assert.deepEqual(lab.sends(datagram()), PASSED);
    });

    it('echoes wait too', () => {
      const echo = (from: string, to: string, reply: boolean): Buffer =>
        ethernet({}, ipv4({ source: from, destination: to }, icmpEcho({ id: 7, reply })));
      assert.deepEqual(lab.sends(echo(WEB, HELD, false)), HELD_BACK);
      assert.deepEqual(lab.receives(echo(HELD, WEB, true)), UNVERIFIED);
      lab.verify({ remote: HELD, opened: 'egress', identity: api, protocol: 1, localPort: 7, remotePort: 0 });
      assert.equal(lab.receives(echo(HELD, WEB, true)).rule, 'shop/web egress to-api');
    });

    it('nothing waits that nobody may have', () => {
      assert.equal(lab.sends(datagram({ toPort: 99 })).rule, 'shop/web egress default');
    });

    it('where nobody can be asked they are the world', () => {
      assert.equal(lab.sends(datagram({ to: TAGGED, toPort: 54 })).rule, 'shop/web egress to-far');
      assert.equal(lab.sends(datagram({ to: TAGGED })).reason, 'Policy');
      assert.equal(lab.sends(datagram({ to: WORLD })).reason, 'Policy');
    });

    it('where it may pass unasked and the agent is dead, its address decides, both ways', () => {
      lab.policy(`${POLICY}\n---\n${OPEN}`);
      lab.set({ holdOpen: 1, heartbeat: process.hrtime.bigint() });
      assert.deepEqual(lab.sends(datagram({ toPort: 77 })), HELD_BACK);
      lab.set({ heartbeat: process.hrtime.bigint() - 6_000_000_000n });
      assert.equal(lab.sends(datagram({ toPort: 77 })).rule, 'shop/open egress to-there');
      assert.equal(lab.receives(datagram({ from: HELD, to: WEB, fromPort: 77, toPort: 5000 })).passed, true);
      lab.set({ holdOpen: 0 });
      assert.deepEqual(lab.sends(datagram({ toPort: 77, fromPort: 5001 })), HELD_BACK);
    });

    it('a connection that nobody remembers waits as well', () => {
      assert.equal(lab.sends(segment({ flags: ['ACK'] })).reason, 'Untagged', 'both readings count');
      lab.policy(
        POLICY.replace('port: 8080}', 'port: 8080}, {protocol: TCP, port: 40000}').replace(
          '{workload: Service/api}], ports: [{protocol: TCP, port: 8080}',
          '{cidr: 10.9.0.0/16}], ports: [{protocol: TCP, port: 8080}',
        ),
      );
      assert.deepEqual(lab.sends(segment({ flags: ['ACK'] })), HELD_BACK);
      assert.deepEqual(lab.sends(segment({ flags: ['ACK'] })), UNVERIFIED);
      assert.deepEqual(lab.receives(synAck({ flags: ['ACK'] })), UNVERIFIED);
    });
  });

  describe('behind the address of a Service, of whom nothing restricts', () => {
    const SERVICE = '10.96.0.10';
    const key = (protocol: number) => ({
      address: { bytes: parseAddress(SERVICE) ?? assert.fail() },
      port: 53,
      protocol,
    });
    const lead = (flags: number): void => {
      for (const protocol of [6, 17])
        lab.programs.tables.frontends.set(key(protocol), { slot: Slot.Some, port: 53, flags });
    };

    beforeEach(() => {
      lab.policy('');
      lab.set({ heartbeat: process.hrtime.bigint() });
    });
    after(() => {
      for (const protocol of [6, 17]) lab.programs.tables.frontends.delete(key(protocol));
    });

    it('wait where somebody there may be particular, until it is known who answers', () => {
      lead(BackendFlags.BackendGuarded);
      assert.deepEqual(lab.sends(datagram({ to: SERVICE })), HELD_BACK);
      assert.equal(lab.flows()[0]?.pending, true);
      assert.deepEqual(lab.receives(datagram({ from: SERVICE, to: WEB, fromPort: 53, toPort: 5000 })), UNVERIFIED);
      lab.verify({ remote: SERVICE, opened: 'egress', identity: api, protocol: 17, localPort: 5000, remotePort: 53 });
      assert.deepEqual(lab.sends(datagram({ to: SERVICE })), PASSED);
      assert.equal(lab.flows()[0]?.pending, false);
    });

    it('pass at once where nobody is, where nobody can be asked, and if they are connections', () => {
      lead(0);
      assert.deepEqual(lab.sends(datagram({ to: SERVICE })), PASSED);
      lead(BackendFlags.BackendGuarded);
      assert.deepEqual(lab.sends(segment({ to: SERVICE, toPort: 53 })), PASSED);
      const stale = process.hrtime.bigint() - 6_000_000_000n;
      for (const [index, nobody] of [{ holdMark: 0 }, { heartbeat: stale }].entries()) {
        settle(lab);
        lab.set({ heartbeat: process.hrtime.bigint(), ...nobody });
        assert.deepEqual(lab.sends(datagram({ to: SERVICE, fromPort: 6000 + index })), PASSED);
      }
    });

    it('are as many in a second as an endpoint may ask for: nobody passes for a stranger by asking too much', () => {
      lead(BackendFlags.BackendGuarded);
      const state = lab.programs.tables.endpoint_states.get(1);
      assert.ok(state !== undefined);
      lab.set({ holdRate: 0 });
      lab.programs.tables.endpoint_states.set(1, { ...state, holdRefilled: process.hrtime.bigint(), holdBudget: 0 });
      assert.deepEqual(lab.sends(datagram({ to: SERVICE })), { passed: false, reason: 'HoldRate' });
    });
  });

  describe('that wait', () => {
    const held = (): bigint => lab.incident(Incident.Held);
    const leaked = (): bigint => lab.incident(Incident.HoldLeaked);

    it('are as many in a second as an endpoint may ask for', () => {
      const state = lab.programs.tables.endpoint_states.get(1);
      assert.ok(state !== undefined);
      lab.set({ holdRate: 5 });
      const start = process.hrtime.bigint();
      lab.programs.tables.endpoint_states.set(1, { ...state, holdRefilled: start, holdBudget: 5 });
      const before = held();
      const outcomes = Array.from({ length: 60 }, (_, index) => lab.sends(datagram({ fromPort: 7000 + index })));
      const most = 6 + (5 * Number(process.hrtime.bigint() - start)) / 1e9;
      const refused = outcomes.filter(({ reason }) => reason === 'HoldRate').length;
      assert.ok(60 - refused >= 5 && 60 - refused <= most, `${60 - refused} held, of ${most} allowed`);
      assert.equal(held() - before, BigInt(60 - refused));
      lab.set({ holdRate: 0 });
      lab.programs.tables.endpoint_states.set(1, { ...state, holdRefilled: process.hrtime.bigint(), holdBudget: 0 });
      assert.deepEqual(lab.sends(datagram()), { passed: false, reason: 'HoldRate' });
    });

    it('do not pass where nothing can be held', () => {
      lab.set({ holdMark: 0 });
      assert.deepEqual(lab.sends(datagram()), UNVERIFIED);
    });

    it('keep other marks', () => {
      assert.deepEqual(lab.sendsMarked(datagram(), 0x4000), { passed: true, mark: HOLD_MARK | 0x4000 });
    });

    it('do not leave the node unless somebody has let them go, or they need not wait', () => {
      const before = leaked();
      assert.deepEqual(lab.leaves(datagram(), HOLD_MARK | 0x4000), { passed: false });
      assert.deepEqual(lab.leaves(datagram(), 0x4000), { passed: true, mark: 0x4000 });
      assert.deepEqual(lab.leaves(datagram(), 0), PASSED);
      assert.equal(leaked() - before, 1n);
      lab.set({ holdOpen: 1 });
      assert.equal(lab.leaves(datagram(), HOLD_MARK).passed, true);
      assert.equal(leaked() - before, 2n, 'but that is seen');
      lab.set({ holdMark: 0 });
      assert.equal(lab.leaves(datagram(), HOLD_MARK).passed, true, "somebody else's mark");
    });

    it('do not arrive at an endpoint of this node either', () => {
      lab.policy('');
      assert.deepEqual(lab.receives(datagram({ from: WORLD, to: WEB }), 0, HOLD_MARK), { passed: false });
      assert.equal(lab.receives(datagram({ from: WORLD, to: WEB }), 0, 0x4000).passed, true);
    });
  });

  describe('that come with a mark of ours', () => {
    it('are judged as without it', () => {
      for (const mark of [HOLD_MARK, ANSWER_MARK, HOLD_MARK | ANSWER_MARK]) {
        lab.forget();
        assert.equal(lab.sendsMarked(datagram({ toPort: 99 }), mark).reason, 'Policy');
        assert.equal(lab.sendsMarked(segment({ flags: ['ACK'], toPort: 99, to: WORLD }), mark).reason, 'Policy');
      }
      lab.verify({ remote: HELD, opened: 'egress', identity: api });
      assert.equal(lab.sendsMarked(datagram(), HOLD_MARK).mark, undefined, 'and have lost it');
    });

    it('pass for answers only if they are nothing else', () => {
      const reset = (payload?: Buffer): Buffer =>
        segment({ to: WORLD, flags: ['RST', 'ACK'], ...(payload === undefined ? {} : { payload }) });
      assert.equal(lab.sendsMarked(reset(), 0).passed, false);
      assert.deepEqual(lab.sendsMarked(reset(), ANSWER_MARK), PASSED);
      assert.equal(lab.sendsMarked(reset(Buffer.alloc(1)), ANSWER_MARK).passed, false);
      assert.equal(lab.sendsMarked(reset(), ANSWER_MARK | 0x4000).passed, false);
      const inward = { from: WORLD, to: WEB };
      assert.equal(lab.receives(synIn({ ...inward, flags: ['ACK'] }), 0, ANSWER_MARK).passed, false);
      assert.equal(lab.receives(datagram(inward), 0, ANSWER_MARK).passed, false);
      lab.set({ answerMark: 0 });
      assert.equal(lab.sendsMarked(reset(), 0).passed, false, 'no mark is no mark of ours');
    });
  });
});
