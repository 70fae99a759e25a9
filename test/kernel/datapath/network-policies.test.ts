import assert from 'node:assert/strict';
import { Compiler } from '../../../src/compile/compiler.ts';
import { lookup } from '../../../src/compile/lookup.ts';
import { addressFamily, parseAddress } from '../../../src/model/address.ts';
import { Verdict } from '../../../src/model/verdict.ts';
import { ethernet, ipv4, ipv6, type Transport } from '../../rig/packets.ts';
import { icmp, icmpv6, sctp, tcp, udp } from '../../rig/transports.ts';
import { type Case, expectedTable, formatProbe, loadCases } from '../../semantics/cases.ts';
import { isPod, type Outsider, type Pod } from '../../semantics/cluster.ts';
import { Scene } from '../../semantics/scene.ts';
import type { Direction, Probe } from '../../semantics/upstream.ts';
import { Laboratory } from './laboratory.ts';

/** Of the pod at which is asked, where its own is of the other family. */
const ALSO_MINE = { 4: '10.255.255.5', 6: 'fd5a:cafe::5' } as const;
const DROP = 2;

/** The cases of Kubernetes' policies, asked of the kernel with a packet for each end of each conversation. */
describe('Kubernetes’ policies in the kernel', function () {
  this.timeout(120_000);
  let lab: Laboratory;

  before(() => {
    lab = new Laboratory([]);
  });

  after(() => lab.close());

  for (const one of loadCases()) {
    it(`${one.file.replace('.yaml', '')}: ${one.name}`, () => {
      const scene = new Scene(one);
      const compiler = new Compiler();
      for (const [i, step] of one.steps.entries()) {
        scene.take(step);
        const tables = compiler.compile(scene.input());
        lab.enforce(tables);
        const wrong: string[] = [];
        const answers = new Map<string, boolean>();
        for (const pod of scene.cluster.pods.values()) {
          for (const { direction, other, probe, passed } of askAll(lab, one, scene, pod)) {
            const { verdict } = lookup(tables, scene.question(direction, pod, other, probe));
            const text = `${direction} of ${pod.key}, peer ${other.key}, ${formatProbe(probe)}`;
            if (passed !== (verdict !== Verdict.Deny)) wrong.push(`${text}: ${passed ? 'passed' : 'dropped'}`);
            const [from, to] = direction === 'egress' ? [pod, other] : [other, pod];
            const conversation = `${from.key} -> ${to.key} ${formatProbe(probe)}`;
            answers.set(conversation, passed && (answers.get(conversation) ?? true));
          }
        }
        assert.deepEqual(wrong, [], `step ${i}`);
        assert.deepEqual(sorted(answers), sorted(expectedTable(scene.cluster, one.probes, step.expect)), `step ${i}`);
      }
    });
  }
});

interface Answer {
  readonly direction: Direction;
  readonly other: Pod | Outsider;
  readonly probe: Probe;
  readonly passed: boolean;
}

/** Everything there is to ask at one pod, which is behind the interface that test packets pass. */
function* askAll(lab: Laboratory, one: Case, { cluster }: Scene, pod: Pod): Generator<Answer> {
  const slot = cluster.slotOf(pod);
  const { addresses, flows } = lab.programs.tables;
  addresses.deleteAll([...addresses.keys()]);
  let endpoint = slot;
  for (const other of cluster.everybody) {
    // Replicas have one slot, and an endpoint each.
    if (other === pod) continue;
    endpoint++;
    if (isPod(other)) lab.own(other.address, { endpoint: endpoint + 10_000, slot: cluster.slotOf(other), flags: 0 });
    else if (other.node) lab.own(other.address, { endpoint: 0, slot: cluster.slotOf(other), flags: 0 });
  }
  for (const mine of [pod.address, ALSO_MINE[4], ALSO_MINE[6]]) lab.own(mine, { endpoint: slot, slot, flags: 0 });
  lab.become(slot);
  flows.deleteAll([...flows.keys()]);
  for (const other of cluster.everybody) {
    if (other === pod) continue;
    const family = familyOf(other.address);
    const mine = familyOf(pod.address) === family ? pod.address : ALSO_MINE[family];
    for (const probe of one.probes) {
      for (const direction of ['egress', 'ingress'] as const) {
        const ends =
          direction === 'egress'
            ? { source: mine, destination: other.address }
            : { source: other.address, destination: mine };
        const transport = transportOf(probe, family, direction);
        const frame = ethernet({}, family === 4 ? ipv4(ends, transport) : ipv6(ends, transport));
        yield { direction, other, probe, passed: passes(lab, direction, frame) };
      }
    }
  }
}

function passes(lab: Laboratory, direction: Direction, frame: Buffer): boolean {
  const name = direction === 'egress' ? 'from_endpoint' : 'to_endpoint';
  const program = lab.programs.program(name);
  assert.ok(program !== undefined);
  return program.testRun({ data: frame, context: Buffer.alloc(192) }).retval !== DROP;
}

function familyOf(address: string): 4 | 6 {
  const bytes = parseAddress(address);
  assert.ok(bytes !== undefined);
  return addressFamily(bytes);
}

/** The two directions are two conversations: of echoes too, by the identifier in their first bytes. */
function transportOf({ protocol, port }: Probe, family: 4 | 6, direction: Direction): Transport {
  const sourcePort = direction === 'egress' ? 40_000 : 41_000;
  switch (protocol) {
    case 'TCP':
      return tcp({ sourcePort, destinationPort: port, flags: ['SYN'] });
    case 'UDP':
      return udp({ sourcePort, destinationPort: port }, Buffer.alloc(8));
    case 'SCTP':
      return sctp({ sourcePort, destinationPort: port });
    case 'ICMP': {
      const body = Buffer.alloc(12);
      body.writeUInt16BE(sourcePort, 0);
      return family === 4 ? icmp(8, 0, body) : icmpv6(128, 0, body);
    }
  }
}

function sorted(table: ReadonlyMap<string, boolean>): [string, boolean][] {
  return [...table].sort(([a], [b]) => (a < b ? -1 : 1));
}
