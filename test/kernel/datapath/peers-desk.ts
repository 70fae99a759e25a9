/** A datapath without packets: endpoints behind no interface, and the tables of their peers. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { Compiler } from '../../../src/compile/compiler.ts';
import { diff } from '../../../src/compile/diff.ts';
import { openDatapath } from '../../../src/datapath/index.ts';
import { openTable, type TableName } from '../../../src/datapath/maps.ts';
import type { Between, Datapath, DatapathOptions } from '../../../src/datapath/port.ts';
import { mountBpffs } from '../../../src/libbpf/index.ts';
import type { Endpoint } from '../../../src/model/endpoint.ts';
import { deriveIdentity, type Identity } from '../../../src/model/identity.ts';
import { OBJECTS, SIZES } from './laboratory.ts';

export function service(name: string): Identity {
  const workload = { namespace: 'shop', kind: 'Service', name };
  return deriveIdentity('test', { workload, container: name, labels: {} });
}

/** Behind no interface: nothing is attached anywhere. Its cgroup, which there is not, is how an agent knows it again. */
function endpoint(id: string): Endpoint {
  const identity = service(id);
  const cgroup = { id: 0x5a11_0000n + BigInt(id.charCodeAt(0)), path: id, level: 1 };
  const container = { id, name: id, runtime: 'cgroup' as const, identity, cgroup, pid: 1, startedAt: 0 };
  return {
    id,
    mode: 'interface',
    identity,
    containers: [container],
    netns: 1,
    interfaces: [],
    addresses: [],
    ports: [],
  };
}

export class Desk {
  readonly pins: string;
  readonly #options: DatapathOptions;
  #datapath: Datapath;

  constructor(between?: Between) {
    mountBpffs('/sys/fs/bpf');
    this.pins = mkdtempSync('/sys/fs/bpf/sallyport-test-');
    this.#options = {
      objects: OBJECTS,
      pins: this.pins,
      cgroupRoot: '/',
      sizes: { ...SIZES, verified: 128 },
      events: { ratePerSecond: 1, burst: 1 },
      ...(between === undefined ? {} : { between }),
    };
    try {
      this.#datapath = openDatapath(this.#options);
    } catch (error) {
      rmSync(this.pins, { recursive: true, force: true });
      throw error;
    }
  }

  get datapath(): Datapath {
    return this.#datapath;
  }

  /** The tables of these identities and of no others; returns their slots. */
  plan(names: readonly string[]): ReadonlyMap<bigint, number> {
    const identities = names.map(service);
    const slots = this.#datapath.assignSlots(identities);
    const bySlot = new Map(identities.map((identity) => [slots.get(identity.id) ?? 0, { ...identity, ports: [] }]));
    const desired = new Compiler().compile({ policies: [], identities: bySlot });
    this.#datapath.applyPlan(diff(this.#datapath.currentTables(), desired));
    return slots;
  }

  /** The agent's round: identities, tables, endpoints, tables without those that are gone. */
  async settle(names: readonly string[], known: readonly string[] = names, keepOthers = false): Promise<void> {
    for (const list of [[...new Set([...names, ...known])], names]) {
      this.plan(list);
      await this.#datapath.applyEndpoints(names.map(endpoint), [], { keepOthers });
    }
  }

  /** The agent dies; `meanwhile` happens; the next agent starts. */
  restart(meanwhile: () => void = () => {}): void {
    this.#datapath.close();
    meanwhile();
    this.#datapath = openDatapath(this.#options);
  }

  table<N extends TableName, R>(name: N, use: (open: ReturnType<typeof openTable<N>>) => R): R {
    const open = openTable(this.pins, name);
    try {
      return use(open);
    } finally {
      open.close();
    }
  }

  rows(name: TableName): number {
    return this.table(name, (open) => [...open.keys()].length);
  }

  slot(name: string): number {
    return this.#datapath.slotOf(service(name).id) ?? assert.fail(`${name} has no slot`);
  }

  close(): void {
    this.#datapath.remove();
    rmSync(this.pins, { recursive: true, force: true });
  }
}
