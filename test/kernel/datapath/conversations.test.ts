import assert from 'node:assert/strict';
import { Slot, Verdict } from '../../../src/datapath/layouts.gen.ts';
import type { VerdictRecord } from '../../../src/datapath/port.ts';
import { ethernet, ipv4 } from '../../rig/packets.ts';
import { icmpEcho, type TcpFlag, tcp, udp } from '../../rig/transports.ts';
import { Laboratory } from './laboratory.ts';

const WEB = '10.0.0.5';
const API = '10.0.0.6';
const HOST = '10.0.0.1';
const WORLD = '192.0.2.7';
const UPLINK = 77;

const policy = (spec: string, name = 'web'): string => `---
apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: {name: ${name}, namespace: shop}
spec:
  subject: {workload: Service/web}
${spec}
`;
const TO_API = policy(
  '  egress: [{name: to-api, to: [{workload: Service/api}], ports: [{protocol: TCP, port: 80}, {protocol: UDP, port: 53}]}]',
);
const FROM_API = policy(
  '  ingress: [{name: from-api, from: [{workload: Service/api}], ports: [{protocol: TCP, port: 8080}]}]',
);
const NOTHING = policy('  egress: []\n  ingress: []');

const between = (source: string, destination: string, transport: Parameters<typeof ipv4>[1]): Buffer =>
  ethernet({}, ipv4({ source, destination }, transport));
const tcpPacket = (from: string, fromPort: number, to: string, toPort: number, ...flags: TcpFlag[]): Buffer =>
  between(from, to, tcp({ sourcePort: fromPort, destinationPort: toPort, flags }));
const udpPacket = (from: string, fromPort: number, to: string, toPort: number): Buffer =>
  between(from, to, udp({ sourcePort: fromPort, destinationPort: toPort }, Buffer.alloc(16)));

describe('conversations of an endpoint', () => {
  let lab: Laboratory;

  before(() => {
    lab = new Laboratory([
      { workload: 'shop/Service/web', addresses: [WEB] },
      { workload: 'shop/Service/api', addresses: [API] },
    ]);
    lab.own(HOST, { endpoint: 0, slot: Slot.Host, flags: 0 });
    lab.uplink(UPLINK);
  });

  beforeEach(() => {
    lab.policy('');
    lab.forget();
  });
  after(() => lab.close());

  it('without a policy everything passes and is booked', () => {
    assert.equal(lab.sends(udpPacket(WEB, 1000, WORLD, 53)).passed, true);
    const [flow] = lab.flows();
    assert.ok(flow !== undefined);
    assert.equal(flow.remote.slot, Slot.World);
    assert.equal(flow.local.slot, Slot.First);
    assert.equal(flow.rule, 0);
    assert.equal(flow.packets.egress, 1n);
  });

  it('answers of an allowed conversation pass though nothing allows them by itself', () => {
    lab.policy(
      policy('  ingress: []\n  egress: [{to: [{workload: Service/api}], ports: [{protocol: TCP, port: 80}]}]'),
    );
    assert.equal(lab.sends(tcpPacket(WEB, 40000, API, 80, 'SYN')).passed, true);
    assert.equal(lab.receives(tcpPacket(API, 80, WEB, 40000, 'SYN', 'ACK')).passed, true);
    assert.equal(lab.sends(tcpPacket(WEB, 40000, API, 80, 'ACK')).passed, true);
    const [flow] = lab.flows();
    assert.equal(flow?.state, 'established');
    assert.deepEqual(flow?.packets, { egress: 2n, ingress: 1n });
  });

  it('a connection in the other direction over the same ports is judged for itself', () => {
    lab.policy(
      policy('  ingress: []\n  egress: [{to: [{workload: Service/api}], ports: [{protocol: TCP, port: 80}]}]'),
    );
    assert.equal(lab.sends(tcpPacket(WEB, 40000, API, 80, 'SYN')).passed, true);
    assert.equal(lab.receives(tcpPacket(API, 80, WEB, 40000, 'SYN', 'ACK')).passed, true);
    assert.deepEqual(lab.receives(tcpPacket(API, 80, WEB, 40000, 'SYN')), {
      passed: false,
      reason: 'Policy',
      rule: 'shop/web ingress default',
    });
  });

  it('a policy change binds the very next packet of an established flow, and its way back too', () => {
    lab.policy(TO_API);
    assert.equal(lab.sends(tcpPacket(WEB, 40000, API, 80, 'SYN')).passed, true);
    assert.equal(lab.receives(tcpPacket(API, 80, WEB, 40000, 'SYN', 'ACK')).passed, true);
    lab.policy(policy('  egress: []'));
    assert.equal(lab.sends(tcpPacket(WEB, 40000, API, 80, 'ACK', 'PSH')).passed, false);
    assert.equal(lab.receives(tcpPacket(API, 80, WEB, 40000, 'ACK', 'PSH')).passed, false);
    assert.equal(lab.flows()[0]?.verdict, Verdict.Deny);
    lab.policy(TO_API);
    assert.equal(lab.sends(tcpPacket(WEB, 40000, API, 80, 'ACK', 'PSH')).passed, true);
  });

  it('denied packets leave no flow behind', () => {
    lab.policy(NOTHING);
    for (let port = 1; port <= 50; port++) assert.equal(lab.sends(udpPacket(WEB, port, WORLD, 53)).passed, false);
    assert.equal(lab.flows().length, 0);
  });

  it('mid-stream TCP that nobody knows must be allowed in both readings', () => {
    const data = tcpPacket(WEB, 40000, API, 80, 'ACK', 'PSH');
    lab.policy(TO_API);
    assert.equal(lab.sends(data).passed, true, 'egress allowed, ingress open');
    assert.equal(lab.flows()[0]?.adopted, true);
    lab.forget();
    lab.policy(policy('  egress: []'));
    assert.equal(lab.sends(data).passed, false, 'egress denied, ingress open');
    lab.policy(policy('  ingress: []\n  egress: [{to: [{workload: Service/api}]}]'));
    assert.equal(lab.sends(data).passed, false, 'egress allowed, ingress denied');
  });

  it('a revoked connection is not taken up again by flushing the flow table', () => {
    lab.policy(TO_API);
    assert.equal(lab.sends(tcpPacket(WEB, 79, API, 80, 'SYN')).passed, true);
    lab.policy(policy('  egress: []'));
    lab.forget();
    assert.equal(lab.sends(tcpPacket(WEB, 79, API, 80, 'ACK', 'PSH')).passed, false);
    assert.equal(lab.receives(tcpPacket(API, 80, WEB, 79, 'ACK', 'PSH')).passed, false);
  });

  it('a local address that comes in from outside the node is refused', () => {
    lab.policy(FROM_API);
    assert.equal(lab.receives(tcpPacket(API, 40000, WEB, 8080, 'SYN')).passed, true);
    lab.forget();
    assert.deepEqual(lab.receives(tcpPacket(API, 40000, WEB, 8080, 'SYN'), UPLINK), {
      passed: false,
      reason: 'Spoofed',
    });
    lab.policy('');
    assert.equal(lab.receives(tcpPacket(WORLD, 40000, WEB, 8080, 'SYN'), UPLINK).passed, true);
  });

  it('a name allows the named one only, not the host and not the world', () => {
    lab.policy(FROM_API);
    assert.equal(lab.receives(tcpPacket(API, 40000, WEB, 8080, 'SYN')).passed, true);
    assert.equal(lab.receives(tcpPacket(HOST, 40000, WEB, 8080, 'SYN')).passed, false);
    assert.equal(lab.receives(tcpPacket(WORLD, 40000, WEB, 8080, 'SYN')).passed, false);
  });

  it('an endpoint always reaches itself', () => {
    lab.policy(NOTHING);
    assert.equal(lab.receives(tcpPacket(WEB, 40000, WEB, 8080, 'SYN')).passed, true);
  });

  it("a service's address stands for the workload and port behind it", () => {
    const frontends = lab.programs.tables.frontends;
    const key = { address: { bytes: Buffer.from('00000000000000000000ffff0a000001', 'hex') }, port: 8000, protocol: 6 };
    frontends.set(key, { slot: Slot.First + 1, port: 80, flags: 0 });
    lab.policy(TO_API);
    assert.deepEqual(lab.sends(tcpPacket(WEB, 40000, HOST, 8000, 'SYN')), {
      passed: true,
      rule: 'shop/web egress to-api',
    });
    assert.equal(lab.sends(tcpPacket(WEB, 40000, HOST, 8001, 'SYN')).passed, false);
    frontends.delete(key);
  });

  it('an echo is one conversation with its reply, and a reply alone is none', () => {
    lab.policy(policy('  ingress: []\n  egress: [{ports: [{protocol: ICMP, type: 8}]}]'));
    const echo = (from: string, to: string, reply: boolean) => between(from, to, icmpEcho({ id: 7, reply }));
    assert.equal(lab.receives(echo(API, WEB, true)).passed, false);
    assert.equal(lab.sends(echo(WEB, API, false)).passed, true);
    assert.equal(lab.receives(echo(API, WEB, true)).passed, true);
    lab.bump();
    assert.equal(lab.receives(echo(API, WEB, true)).passed, true, 'decided again by the request it answers');
  });

  it('alert passes and tells, staged policies tell what they would do', async () => {
    lab.policy(
      policy(
        '  defaults: {egress: Allow}\n  egress: [{name: watched, action: Alert, ports: [{protocol: TCP, port: 80}]}]',
      ) + policy('  mode: Stage\n  egress: [{name: only-80, ports: [{protocol: TCP, port: 80}]}]', 'staged'),
    );
    const before = (await lab.records()).length;
    assert.equal(lab.sends(tcpPacket(WEB, 1, API, 80, 'SYN')).passed, true);
    assert.equal(lab.sends(udpPacket(WEB, 2, API, 99)).passed, true);
    const records = (await lab.records())
      .slice(before)
      .filter((record): record is VerdictRecord => record.kind === 'verdict');
    assert.deepEqual(
      records.map(({ verdict, stagedVerdict }) => ({ verdict, stagedVerdict })),
      [
        { verdict: Verdict.Alert, stagedVerdict: Verdict.Alert },
        { verdict: Verdict.Allow, stagedVerdict: Verdict.Deny },
      ],
    );
    assert.equal(lab.rule(records[1]?.stagedRule ?? 0)?.policy, 'shop/staged');
  });

  it('a flood of refused packets is counted to the last one and told within the budget', async () => {
    lab.policy(NOTHING);
    const { tables } = lab.programs;
    const before = (await lab.records()).length;
    const denied = tables.endpoint_states.get(1)?.deniedPackets ?? 0n;
    const settings = tables.settings.get(0);
    assert.ok(settings !== undefined);
    tables.settings.set(0, { ...settings, eventRate: 1, eventBurst: 5 });
    for (let i = 0; i < 500; i++) lab.sends(udpPacket(WEB, 1000 + i, WORLD, 53));
    const told = (await lab.records()).length - before;
    assert.ok(told >= 1 && told < 50, `${told} events`);
    assert.equal((tables.endpoint_states.get(1)?.deniedPackets ?? 0n) - denied, 500n);
    tables.settings.set(0, { ...settings });
  });
});
