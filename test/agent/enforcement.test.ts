import assert from 'node:assert/strict';
import fc from 'fast-check';
import { endpointView } from '../../src/agent/api/views.ts';
import { Enforcement, NOTHING_WANTED, type Wanted } from '../../src/agent/enforcement.ts';
import { AgentError } from '../../src/agent/errors.ts';
import { withSubjectsOf } from '../../src/agent/untold.ts';
import { EMPTY_TABLES, type Plan } from '../../src/compile/diff.ts';
import { isJudgedHere, lookup } from '../../src/compile/lookup.ts';
import { ENDLESS, type TableRows } from '../../src/compile/rows.ts';
import type { PolicyTables } from '../../src/compile/tables.ts';
import type { Datapath, EndpointStatus } from '../../src/datapath/port.ts';
import { cutProblems } from '../../src/model/cut-labels.ts';
import type { Endpoint } from '../../src/model/endpoint.ts';
import { deriveIdentity, type Identity } from '../../src/model/identity.ts';
import type { Policy } from '../../src/model/policy.ts';
import { parsePolicyFile } from '../../src/model/policy-file.ts';
import { Slot } from '../../src/model/slot.ts';
import { verdictName } from '../../src/model/verdict.ts';
import { identityLabels } from '../../src/sources/naming.ts';
import { plain } from '../compile/plain.ts';

/**
 * Keeps tables and endpoints in memory and what was done in order: for the order of enforcement alone. What the
 * kernel does with it is tested with the kernel (test/kernel/agent).
 */
class RecordingDatapath
  implements Pick<Datapath, 'assignSlots' | 'slotOf' | 'currentTables' | 'applyPlan' | 'applyEndpoints' | 'heartbeat'>
{
  readonly done: string[] = [];
  tables: PolicyTables = EMPTY_TABLES;
  attached: readonly Endpoint[] = [];
  refusePlans = false;
  /** Beyond it nobody of elsewhere gets a slot, and one more has who runs here. */
  slotsEnd = Number.POSITIVE_INFINITY;
  refuse = new Set<string>();
  readonly #slots: Map<bigint, number>;
  #next: number;

  /** @param other one whose slots it has too */
  constructor(other?: RecordingDatapath) {
    this.#slots = new Map(other === undefined ? [] : other.#slots);
    this.#next = other === undefined ? Slot.First : other.#next;
  }

  assignSlots(identities: Iterable<Identity>, here: ReadonlySet<bigint>): ReadonlyMap<bigint, number> {
    for (const { id } of identities) {
      const end = this.slotsEnd + (here.has(id) ? 1 : 0);
      if (!this.#slots.has(id) && this.#next < end) this.#slots.set(id, this.#next++);
    }
    return this.#slots;
  }

  slotOf(identity: bigint): number | undefined {
    return this.#slots.get(identity);
  }

  currentTables(): PolicyTables {
    return this.tables;
  }

  room: TableRows = ENDLESS;

  heartbeat(): void {}

  applyPlan(plan: Plan): void {
    if (this.refusePlans) throw new Error('the map is full');
    this.tables = plan.desired;
    for (const [id, slot] of [...this.#slots]) if (!plan.desired.subjects.has(slot)) this.#slots.delete(id);
    // Of every attached endpoint the packets are judged: it must have tables at any time.
    for (const { id, identity } of this.attached) this.#requireTables(id, identity);
    this.done.push(`tables ${plan.desired.subjects.size}`);
  }

  async applyEndpoints(endpoints: readonly Endpoint[]): Promise<readonly EndpointStatus[]> {
    for (const { id, identity } of endpoints) this.#requireTables(id, identity);
    this.attached = endpoints;
    this.done.push(`endpoints ${endpoints.map(({ id }) => id).join()}`);
    return endpoints.map(({ id }, number) => {
      const denied = { packets: 0n, bytes: 0n };
      const enforced = !this.refuse.has(id);
      return { id, number, enforced, denied, ...(enforced ? {} : { error: 'no such device' }) };
    });
  }

  #requireTables(id: string, identity: Identity): void {
    const slot = this.#slots.get(identity.id);
    if (slot === undefined || !isJudgedHere(this.tables, slot)) throw new Error(`${id} is attached without tables`);
  }
}

function service(name: string): Identity {
  return deriveIdentity('test', { workload: { namespace: 'shop', kind: 'Service', name }, container: '', labels: {} });
}

function endpoint(id: string, name: string): Endpoint {
  const identity = service(name);
  return { id, mode: 'interface', identity, containers: [], netns: 1, interfaces: [], addresses: [], ports: [] };
}

function policies(port = 80): Policy[] {
  const text = `apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: {namespace: shop, name: api}
spec:
  subject: {workload: Service/api}
  ingress: [{action: Allow, from: [{workload: Service/web}], ports: [{protocol: TCP, port: ${port}}]}]
`;
  return parsePolicyFile('x', Buffer.from(text)).policies.map((located) => located.policy);
}

const wanted = (endpoints: readonly Endpoint[], more: Partial<Wanted> = {}): Wanted => ({
  ...NOTHING_WANTED,
  complete: true,
  endpoints,
  policies: policies(),
  ...more,
});

/** Hardens nothing, and tells when it was asked to. */
function enforce(datapath: RecordingDatapath, harden: () => Promise<void> = async () => {}): Enforcement {
  return new Enforcement(datapath as unknown as Datapath, { apply: harden });
}

function make(): { datapath: RecordingDatapath; enforcement: Enforcement } {
  const datapath = new RecordingDatapath();
  return { datapath, enforcement: enforce(datapath) };
}

describe('the order of enforcement', () => {
  const [web, api, db] = [endpoint('e1', 'web'), endpoint('e2', 'api'), endpoint('e3', 'db')];

  it('has the tables of a new endpoint in the kernel before the endpoint', async () => {
    const { datapath, enforcement } = make();
    await enforcement.apply(wanted([web, api]));
    assert.deepEqual(datapath.done, ['tables 2', 'endpoints e1,e2']);
  });

  it('takes the tables of a gone endpoint away only after it was detached', async () => {
    const { datapath, enforcement } = make();
    await enforcement.apply(wanted([web, api]));
    datapath.done.length = 0;
    await enforcement.apply(wanted([api, db]));
    assert.deepEqual(datapath.done, ['tables 3', 'endpoints e2,e3', 'tables 2']);
    assert.deepEqual([...enforcement.identities.values()].map(({ workload }) => workload.name).sort(), ['api', 'db']);
  });

  it('keeps the former state when the tables are refused, and needs no endpoint for it', async () => {
    const { datapath, enforcement } = make();
    await enforcement.apply(wanted([web]));
    datapath.refusePlans = true;
    await assert.rejects(enforcement.apply(wanted([web, api])), /map is full/);
    assert.deepEqual(datapath.attached, [web]);
    assert.deepEqual(enforcement.applied.endpoints, [web]);
    datapath.refusePlans = false;
    await enforcement.apply(wanted([web, api]));
    assert.deepEqual(datapath.attached, [web, api]);
  });

  it('leaves identities of elsewhere out where there are more than slots, until there is room or they run here', async () => {
    const { datapath, enforcement } = make();
    datapath.slotsEnd = Slot.First + 2;
    const elsewhere = ['cache', 'api', 'db'].map((name) => ({ ...service(name), ports: [] }));
    await enforcement.apply(wanted([web], { elsewhere }));
    assert.equal(enforcement.slotless, 2);
    await enforcement.apply(wanted([web, db], { elsewhere }));
    assert.deepEqual(datapath.attached, [web, db]);
    assert.equal(enforcement.slotless, 1);
    datapath.slotsEnd = Number.POSITIVE_INFINITY;
    await enforcement.apply(wanted([web, db], { elsewhere }), true);
    assert.equal(enforcement.slotless, 0);
  });

  it('keeps nothing of a round in which one of here has no slot, and goes on when there are fewer', async () => {
    const { datapath, enforcement } = make();
    datapath.slotsEnd = Slot.First;
    await enforcement.apply(wanted([web]));
    await assert.rejects(enforcement.apply(wanted([web, db])), /No slot is left/);
    assert.deepEqual([...enforcement.identities.keys()], [web.identity.id]);
    datapath.slotsEnd += 1;
    await enforcement.apply(wanted([web, db]));
    assert.deepEqual([...enforcement.identities.keys()], [web.identity.id, db.identity.id]);
    assert.deepEqual(datapath.attached, [web, db]);
  });

  it('enforces the others when one endpoint cannot be attached, and says which', async () => {
    const { datapath, enforcement } = make();
    datapath.refuse.add('e2');
    await assert.rejects(enforcement.apply(wanted([web, api])), (error) => {
      assert.ok(error instanceof AgentError);
      assert.match(error.message, /Cannot enforce 1 endpoints; e2: no such device/);
      return true;
    });
    assert.deepEqual(enforcement.applied.endpoints, [web, api]);
  });

  it('hardens containers after the tables are in and before their endpoints', async () => {
    const { datapath } = make();
    const enforcement = enforce(datapath, async () => void datapath.done.push('hardened'));
    await enforcement.apply(wanted([web]));
    assert.deepEqual(datapath.done, ['tables 1', 'hardened', 'endpoints e1']);
  });

  it('judges the packets of all where a container cannot be hardened, and says so', async () => {
    const { datapath } = make();
    const failure = new AgentError('KERNEL', 'Cannot harden 1 containers');
    const enforcement = enforce(datapath, () => Promise.reject(failure));
    await assert.rejects(enforcement.apply(wanted([web])), failure);
    assert.deepEqual(datapath.attached, [web]);
    assert.deepEqual(enforcement.applied.endpoints, [web]);
  });

  it('does not count endpoints that are not to be protected as failed', async () => {
    const { datapath, enforcement } = make();
    datapath.refuse.add('e2');
    await enforcement.apply(wanted([web, { ...api, mode: 'unprotected', reason: 'macvlan' }]));
  });

  it('shows what policies would change, and changes nothing', async () => {
    const { datapath, enforcement } = make();
    await enforcement.apply(wanted([web, api]));
    const before = datapath.tables;
    const plan = enforcement.preview(policies(81));
    assert.ok(plan.steps.some((step) => step.op === 'switch-subjects'));
    assert.equal(datapath.tables, before);
    assert.deepEqual(enforcement.preview(policies()).steps, []);
  });

  it('gives a name of a port to every container of the endpoint that has it', async () => {
    const { enforcement } = make();
    const port = { name: 'http', protocol: 'TCP', port: 8080 } as const;
    await enforcement.apply(
      wanted([
        { ...web, ports: [port] },
        { ...web, id: 'e4', ports: [{ ...port, port: 8081 }] },
      ]),
    );
    assert.deepEqual(
      enforcement.identities.get(web.identity.id)?.ports.map((one) => one.port),
      [8080, 8081],
    );
  });
});

describe('a workload with more labels than are looked at', () => {
  const labels = identityLabels(Object.fromEntries(Array.from({ length: 257 }, (_, i) => [`a${i}`, 'v'])));
  const cut: Endpoint = {
    ...endpoint('e9', 'api'),
    identity: deriveIdentity('test', { ...service('api'), labels }),
  };
  const [web, api] = [endpoint('e1', 'web'), endpoint('e2', 'api')];
  const ask = (datapath: RecordingDatapath, subject: Endpoint, peer: Endpoint, direction: 'egress' | 'ingress') => {
    const [slot, other] = [subject, peer].map(({ identity }) => datapath.slotOf(identity.id) ?? assert.fail());
    const { verdict, rule } = lookup(datapath.tables, {
      subject: slot!,
      direction,
      peer: { slot: other! },
      protocol: 6,
      port: 80,
    });
    return `${verdictName(verdict)} ${datapath.tables.rules.get(rule)?.policy ?? ''}`;
  };

  it('is denied everything here, and nobody else is denied more', async () => {
    const { datapath, enforcement } = make();
    await enforcement.apply(wanted([web, api, cut]));
    assert.equal(ask(datapath, api, web, 'ingress'), 'Allow shop/api');
    assert.equal(ask(datapath, web, api, 'egress'), 'Allow ');
    assert.equal(ask(datapath, cut, web, 'ingress'), 'Deny AdminNetworkPolicy sallyport:too-many-labels');
    assert.equal(ask(datapath, cut, web, 'egress'), 'Deny AdminNetworkPolicy sallyport:too-many-labels');
    assert.equal(enforcement.meant.length, 2);
    assert.deepEqual(enforcement.preview(policies()).steps, []);
  });

  it('is one to whom nothing is left of it once it has fewer', async () => {
    const { datapath, enforcement } = make();
    await enforcement.apply(wanted([web, cut]));
    await enforcement.apply(wanted([web, api], { elsewhere: [{ ...cut.identity, ports: [] }] }));
    assert.equal(ask(datapath, api, web, 'ingress'), 'Allow shop/api');
    assert.equal(enforcement.meant.length, 1);
    assert.ok([...datapath.tables.rules.values()].every(({ policy }) => policy === 'shop/api'));
  });

  it('is told of as one that failed', () => {
    const status = { id: cut.id, number: 1, enforced: true, denied: { packets: 0n, bytes: 0n } };
    assert.match(endpointView(cut, status, { policies: [], hardening: [] }).error ?? '', /more labels/);
    const { error } = endpointView(api, { ...status, id: api.id }, { policies: [], hardening: [] });
    assert.equal(error, undefined);
    const { id, name } = { id: 'c', name: 'main' };
    const inside = { ...web, containers: [{ id, name, identity: cut.identity } as Endpoint['containers'][number]] };
    assert.deepEqual(
      cutProblems([web, cut, api, { ...cut, id: 'e8' }, inside]).map((problem) => problem.split(':')[0]),
      ['shop/Service/api', 'shop/Service/web'],
    );
  });
});

describe('who is judged on another node', () => {
  const [web, api] = [endpoint('e1', 'web'), endpoint('e2', 'api')];
  const known = { elsewhere: [api, web].map(({ identity }) => ({ ...identity, ports: [] })) };

  it('is known as a peer, and has no rules here, until he is here too', async () => {
    const { datapath, enforcement } = make();
    await enforcement.apply(wanted([web], known));
    const slotOf = ({ identity }: Endpoint): number => datapath.slotOf(identity.id) ?? assert.fail();
    assert.equal(isJudgedHere(datapath.tables, slotOf(web)), true);
    assert.equal(isJudgedHere(datapath.tables, slotOf(api)), false);
    assert.equal(datapath.tables.sets.size, 0);
    await enforcement.apply(wanted([api], known));
    assert.equal(isJudgedHere(datapath.tables, slotOf(web)), false);
    const { ingress } = datapath.tables.subjects.get(slotOf(api)) ?? assert.fail();
    assert.equal(datapath.tables.sets.get(ingress)?.peers.has(slotOf(web)), true);
  });

  it('keeps his rules where he may still be here: his source has not told', async () => {
    const { datapath, enforcement } = make();
    await enforcement.apply(wanted([web, api], known));
    const before = plain(datapath.tables);
    const again = enforce(datapath);
    await again.apply(wanted([web], { ...known, complete: false }));
    assert.deepEqual(plain(datapath.tables), before);
    await again.apply(wanted([web], known));
    assert.equal(isJudgedHere(datapath.tables, datapath.slotOf(api.identity.id) ?? 0), false);
  });
});

describe('a round after many others', () => {
  const names = ['web', 'api', 'db', 'job'];
  const lists = new Map<string, readonly Endpoint[]>();
  /** The same object for the same endpoints, as sources give them, or another one. */
  const endpointsOf = (present: readonly string[], again: boolean): readonly Endpoint[] => {
    const key = present.join();
    const known = again ? undefined : lists.get(key);
    const made = known ?? present.map((name) => endpoint(name, name));
    lists.set(key, made);
    return made;
  };
  const round = fc.record({
    present: fc.subarray(names),
    again: fc.boolean(),
    port: fc.constantFrom(80, 81, 82),
    elsewhere: fc.subarray(['x', 'web']),
    refused: fc.constantFrom(false, false, false, true),
    anew: fc.constantFrom(false, false, true),
  });

  it('has made the tables that a first one makes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(round, { minLength: 2, maxLength: 12 }), async (rounds) => {
        const { datapath, enforcement } = make();
        for (const { present, again, port, elsewhere, refused, anew } of rounds) {
          const now = wanted(endpointsOf(present, again), {
            policies: policies(port),
            elsewhere: elsewhere.map((name) => ({ ...service(name), ports: [] })),
          });
          datapath.refusePlans = refused;
          const failed = await enforcement.apply(now, anew).then(
            () => false,
            () => true,
          );
          assert.equal(failed, refused);
          if (refused) continue;
          const first = new RecordingDatapath(datapath);
          await enforce(first).apply(now);
          assert.deepEqual(plain(datapath.tables), plain(first.tables));
          for (const { identity } of now.endpoints) assert.notEqual(datapath.slotOf(identity.id), undefined);
          assert.equal(enforcement.identities.size, new Set([...present, ...elsewhere]).size);
        }
      }),
      { numRuns: 200 },
    );
  });
});

describe('a restarted agent whose sources have not told all', () => {
  const [web, api] = [endpoint('e1', 'web'), endpoint('e2', 'api')];

  it('leaves the tables of what it does not know yet as they are, as subjects and as peers', async () => {
    const { datapath, enforcement } = make();
    await enforcement.apply(wanted([web, api]));
    const before = datapath.tables;
    const again = enforce(datapath);
    datapath.attached = [];
    await again.apply(wanted([api], { complete: false }));
    assert.deepEqual(new Set(datapath.tables.subjects.keys()), new Set(before.subjects.keys()));
    const webSlot = datapath.slotOf(web.identity.id) ?? assert.fail();
    const apiSlot = datapath.slotOf(api.identity.id) ?? assert.fail();
    const peersOfApi = (tables: PolicyTables) => tables.sets.get(tables.subjects.get(apiSlot)?.ingress ?? 0n)?.peers;
    assert.ok(peersOfApi(before)?.has(webSlot));
    assert.deepEqual(peersOfApi(datapath.tables), peersOfApi(before));
    await again.apply(wanted([api]));
    assert.equal(datapath.tables.subjects.has(webSlot), false);
  });

  it('keeps nothing that the new tables have themselves', async () => {
    const { datapath, enforcement } = make();
    await enforcement.apply(wanted([web, api]));
    assert.deepEqual(plain(withSubjectsOf(datapath.tables, datapath.tables, ENDLESS)), plain(datapath.tables));
    assert.deepEqual(plain(withSubjectsOf(EMPTY_TABLES, datapath.tables, ENDLESS)), plain(datapath.tables));
  });
});
