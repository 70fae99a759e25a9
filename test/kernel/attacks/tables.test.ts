/** What a change of containers could leave open. Each test is an attack, and says that it fails. */
import assert from 'node:assert/strict';
import type { Attachments } from '../../../src/datapath/attachments.ts';
import { Doors } from '../../../src/datapath/doors.ts';
import { Endpoints } from '../../../src/datapath/endpoints.ts';
import { readHostFacts } from '../../../src/datapath/host-facts.ts';
import type { Endpoint } from '../../../src/model/endpoint.ts';
import { deriveIdentity } from '../../../src/model/identity.ts';
import { uniqueInterface } from '../../rig/names.ts';
import { Namespace } from '../../rig/netns.ts';
import { findInterface } from '../../rig/node.ts';
import { Laboratory } from '../datapath/laboratory.ts';

const ADDRESS = '10.0.0.5';

describe('attacks by changes', () => {
  it('whoever gets the address of another does not get its flows while programs are being attached', () => {
    const lab = new Laboratory([]);
    let revision = 0;
    const seen: number[] = [];
    const attachments = {
      ensure: () => seen.push(revision),
      retain: () => {},
      settled: () => false,
      knows: () => false,
    } as unknown as Attachments;
    const endpoints = new Endpoints({
      tables: lab.programs.tables,
      doors: new Doors(attachments, '/'),
      burst: 1,
      slotOf: () => 16,
      bumpRevision: () => {
        revision += 1;
      },
      onGone: () => {},
    });
    const at = (name: string, ifindex: number): Endpoint => ({
      id: name,
      mode: 'interface',
      identity: deriveIdentity('test', { workload: { namespace: 'a', kind: 'b', name }, container: name, labels: {} }),
      containers: [],
      netns: 1,
      interfaces: [{ name: 'eth0', ifindex }],
      addresses: [ADDRESS],
      ports: [],
    });
    const host = { addresses: [], uplinks: [], netns: 0 };
    endpoints.apply([at('first', 901)], [], host, false);
    const before = revision;
    seen.length = 0;
    endpoints.apply([at('second', 902)], [], host, false);
    lab.close();
    assert.ok(seen.length > 0 && seen.every((known) => known > before));
  });

  it("a tunnel without a gateway brings in no packets with a container's address", async () => {
    const here = Namespace.current();
    const [tunnel, inner] = [uniqueInterface(), uniqueInterface()];
    await here.ip([`tuntap add dev ${tunnel} mode tun`, `link add ${inner} type bridge`]);
    try {
      const { uplinks } = readHostFacts(new Set());
      assert.equal(uplinks.includes((await findInterface(here, tunnel)).ifindex), true);
      assert.equal(uplinks.includes((await findInterface(here, inner)).ifindex), false);
    } finally {
      await here.ip([`link del ${tunnel}`, `link del ${inner}`]);
    }
  });
});
