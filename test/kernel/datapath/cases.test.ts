import assert from 'node:assert/strict';
import { compile } from '../../../src/compile/compiler.ts';
import { Slot, VerdictName } from '../../../src/datapath/layouts.gen.ts';
import type { VerdictRecord } from '../../../src/datapath/port.ts';
import { addressFamily, formatAddress } from '../../../src/model/address.ts';
import { type Case, type Check, loadCases } from '../../compile/cases.ts';
import { ethernet, ipv4, ipv6, Protocol, raw, type Transport } from '../../rig/packets.ts';
import { icmp, icmpv6, sctp, tcp, udp } from '../../rig/transports.ts';
import { Laboratory } from './laboratory.ts';

/** Addresses of the one that is asked, where its own is of the other family or the peer's. */
const ALSO_MINE = { 4: '10.255.255.5', 6: 'fd5a:cafe::5' } as const;
const HOST = 0;

/** The truth tables of the compiler, asked of the kernel with a packet each. */
describe('truth tables in the kernel', () => {
  let lab: Laboratory;

  before(() => {
    lab = new Laboratory([]);
  });

  after(() => lab.close());

  for (const one of loadCases()) {
    it(`${one.file}: ${one.name}`, async () => {
      const tables = compile({ policies: one.policies, identities: one.identities });
      lab.enforce(tables);
      lab.observe();
      const before = (await lab.records()).length;
      for (const check of one.checks) ask(lab, one, check);
      const records = (await lab.records()).slice(before) as VerdictRecord[];
      assert.equal(records.length, one.checks.length);
      for (const [index, check] of one.checks.entries()) {
        const record = records[index];
        assert.ok(record !== undefined);
        const named = (id: number) => {
          const rule = tables.rules.get(id);
          // Cases name policies without their namespace.
          return rule === undefined ? undefined : { policy: rule.policy.replace(/^.*\//, ''), rule: rule.name };
        };
        assert.deepEqual(
          {
            verdict: VerdictName(record.verdict),
            by: named(record.rule),
            staged: VerdictName(record.stagedVerdict),
            stagedBy: named(record.stagedRule),
          },
          { verdict: check.verdict, by: bare(check.by), staged: check.stagedVerdict, stagedBy: bare(check.stagedBy) },
          check.text,
        );
      }
    });
  }
});

function bare(rule: Check['by']): Check['by'] {
  return rule === undefined ? undefined : { ...rule, policy: rule.policy.replace(/^.*\//, '') };
}

function ask(lab: Laboratory, one: Case, { at, peer, direction, question }: Check): void {
  const { addresses: owners } = lab.programs.tables;
  owners.deleteAll([...owners.keys()]);
  for (const [name, slot] of one.slots) {
    const bytes = one.addresses.get(name);
    if (bytes !== undefined) owners.set({ bytes }, { endpoint: slot, slot, flags: 0 });
  }
  const me = question.subject;
  const family = addressFamily(question.peer.address);
  const own = one.addresses.get(at);
  assert.ok(own !== undefined);
  const theirs = formatAddress(question.peer.address);
  const mine = addressFamily(own) === family && formatAddress(own) !== theirs ? formatAddress(own) : ALSO_MINE[family];
  lab.own(mine, { endpoint: me, slot: me, flags: 0 });
  const { slot } = question.peer;
  // A workload that talks to itself is asked about as two instances of it.
  if (peer !== 'world') lab.own(theirs, { endpoint: slot === Slot.Host ? HOST : slot + 10_000, slot, flags: 0 });
  else owners.delete({ bytes: question.peer.address });
  lab.become(me);
  lab.forget();
  const transport = transportOf(question.protocol, question.port);
  const ends = direction === 'egress' ? { source: mine, destination: theirs } : { source: theirs, destination: mine };
  const frame = ethernet({}, family === 4 ? ipv4(ends, transport) : ipv6(ends, transport));
  if (direction === 'egress') lab.sends(frame);
  else lab.receives(frame);
}

function transportOf(protocol: number, port: number): Transport {
  switch (protocol) {
    case Protocol.TCP:
      return tcp({ sourcePort: 40_000, destinationPort: port, flags: ['SYN'] });
    case Protocol.UDP:
      return udp({ sourcePort: 40_000, destinationPort: port }, Buffer.alloc(8));
    case Protocol.SCTP:
      return sctp({ sourcePort: 40_000, destinationPort: port });
    case Protocol.ICMP:
      return icmp(port, 0, Buffer.alloc(12));
    case Protocol.ICMPv6:
      return icmpv6(port, 0, Buffer.alloc(12));
    case 136: {
      const lite = udp({ sourcePort: 40_000, destinationPort: port }, Buffer.alloc(8));
      return { ...lite, protocol };
    }
    default:
      return raw(protocol, Buffer.alloc(16));
  }
}
