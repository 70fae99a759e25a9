import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Compiler, compile } from '../../src/compile/compiler.ts';
import type { KnownIdentity } from '../../src/compile/input.ts';
import { lookup } from '../../src/compile/lookup.ts';
import { ENDLESS, exceeds, RowCount, rowsOfClass, type TableRows } from '../../src/compile/rows.ts';
import type { PolicyTables } from '../../src/compile/tables.ts';
import { parseNetwork } from '../../src/model/address.ts';
import { deriveIdentity } from '../../src/model/identity.ts';
import type { Policy, Rule } from '../../src/model/policy.ts';
import { Slot } from '../../src/model/slot.ts';
import { Verdict } from '../../src/model/verdict.ts';
import { plain } from './plain.ts';
import { identities, policies } from './worlds.ts';

function rowsOf({ sets, classes }: PolicyTables): TableRows {
  const sum = new RowCount();
  for (const { peers, networks } of sets.values()) sum.add({ peers: peers.size, networks: networks.length });
  for (const one of classes.values()) sum.add(rowsOfClass(one));
  return sum;
}

const room: fc.Arbitrary<TableRows> = fc
  .tuple(fc.integer({ min: 48, max: 80 }), fc.nat(12), fc.nat(30), fc.nat(40))
  .map(([peers, networks, ports, ranges]) => ({ peers, networks, ports, ranges }));

describe('tables that must keep to a room', function () {
  this.timeout(120_000);

  it('are, after any number of changes, those that would be made from nothing', () => {
    const steps = fc.array(fc.tuple(policies, identities), { minLength: 2, maxLength: 8 });
    let closings = 0;
    fc.assert(
      fc.property(steps, room, (all, most) => {
        const compiler = new Compiler();
        for (const [wanted, present] of all) {
          const input = { policies: wanted, identities: present };
          const tables = compiler.compile({ ...input, room: most });
          assert.ok(!exceeds(rowsOf(tables), most));
          assert.deepEqual(plain(tables), plain(compile({ ...input, room: most })));
          const open = compile(input);
          assert.equal(compiler.closed('share').length > 0, exceeds(rowsOf(open), most));
          if (compiler.closed('share').length > 0) closings += 1;
          else assert.deepEqual(plain(tables), plain(open));
        }
      }),
      { numRuns: Number(process.env.FUZZ_RUNS ?? 300) },
    );
    assert.ok(closings > 50);
  });
});

const workload = (namespace: string, name: string): KnownIdentity => ({
  ...deriveIdentity('test', { workload: { namespace, kind: 'Deployment', name }, container: '', labels: {} }),
  ports: [],
});

/** Allows so many networks, each at a port of its own. */
const policy = (namespace: string, name: string, many: number, first = 0): Policy => ({
  kind: 'WorkloadNetworkPolicy',
  namespace,
  name,
  labels: {},
  annotations: {},
  subject: { workload: { namespace, kind: '*', name }, container: '*', labels: {} },
  priority: 1_000,
  explicitPriority: false,
  mode: 'Enforce',
  egress: {
    default: 'Deny',
    rules: Array.from({ length: many }, (_, i): Rule => {
      const network = parseNetwork(`10.1.${(i + first) >> 8}.${(i + first) & 255}/32`);
      assert.ok('family' in network);
      return { action: 'Allow', peers: [{ type: 'network', network, except: [] }], ports: [{ protocol: 6, port: 80 }] };
    }),
  },
});

describe('a namespace that wants the whole table', () => {
  const names = ['evil/a', 'evil/b', 'evil/c', 'shop/web', 'shop/api', 'bank/vault'];
  const slots = new Map(names.map((name, i) => [name, Slot.First + i]));
  const present = new Map(
    names.map((name) => [slots.get(name) ?? 0, workload(name.split('/')[0] ?? '', name.split('/')[1] ?? '')]),
  );
  const most: TableRows = { ...ENDLESS, networks: 100 };
  const mild = [policy('shop', 'web', 20), policy('shop', 'api', 10), policy('bank', 'vault', 30)];
  const greedy = [policy('evil', 'a', 35), policy('evil', 'b', 40), policy('evil', 'c', 5_000)];
  const modest = [policy('evil', 'a', 1), policy('evil', 'b', 1), policy('evil', 'c', 1)];
  const allows = (tables: PolicyTables, name: string, last = 0): boolean =>
    lookup(tables, {
      subject: slots.get(name) ?? 0,
      direction: 'egress',
      peer: { slot: Slot.World, address: Uint8Array.from([...Array(10).fill(0), 255, 255, 10, 1, 0, last]) },
      protocol: 6,
      port: 80,
    }).verdict === Verdict.Allow;
  const opened = (tables: PolicyTables): string[] => names.filter((name) => allows(tables, name));

  it('has what others leave, and what others change is made at once', () => {
    const compiler = new Compiler();
    const input = (...wanted: Policy[]) => ({ policies: wanted, identities: present, room: most });
    assert.deepEqual(opened(compiler.compile(input(...mild, ...modest))), names);
    const full = compiler.compile(input(...mild, ...greedy));
    assert.deepEqual(opened(full), ['evil/a', 'shop/web', 'shop/api', 'bank/vault']);
    const titles = compiler.closed('share').map((id) => full.rules.get(id)?.policy);
    assert.deepEqual(new Set(titles), new Set(['evil/b', 'evil/c']));
    assert.deepEqual(compiler.closed('size'), []);
    const { verdict, rule } = lookup(full, {
      subject: slots.get('evil/c') ?? 0,
      direction: 'egress',
      peer: { slot: Slot.World },
      protocol: 6,
      port: 80,
    });
    assert.deepEqual([verdict, full.rules.get(rule)?.policy], [Verdict.Deny, 'evil/c']);

    const changed = compiler.compile(input(policy('shop', 'web', 20, 7), ...mild.slice(1), ...greedy));
    assert.deepEqual([allows(changed, 'shop/web', 26), allows(changed, 'shop/web', 0)], [true, false]);
    assert.equal(allows(changed, 'evil/a'), true);

    const again = compiler.compile(input(...mild, ...greedy.slice(0, 2), ...modest.slice(2)));
    assert.deepEqual(opened(again), ['evil/a', 'evil/c', 'shop/web', 'shop/api', 'bank/vault']);
    assert.deepEqual(opened(compiler.compile(input(...mild, ...modest))), names);
    assert.deepEqual(compiler.closed('share'), []);
  });

  it('does not have its closed sets built again for what others do', () => {
    let built = 0;
    const compiler = new Compiler(() => {
      built += 1;
    });
    compiler.compile({ policies: [...mild, ...greedy], identities: present, room: most });
    built = 0;
    compiler.compile({ policies: [...mild.slice(1), ...greedy], identities: present, room: most });
    assert.equal(built, 0);
    compiler.compile({ policies: [...mild, ...greedy], identities: present, room: most });
    assert.equal(built, 1);
  });

  it('shares the room with who comes to have one of its sets, too', () => {
    const all = (namespace: string): Policy => ({
      ...policy('', 'all', 60),
      kind: 'ClusterWorkloadNetworkPolicy',
      subject: { workload: { namespace, kind: '*', name: 'd' }, container: '*', labels: {} },
    });
    const wanted = [policy('evil', 'a', 30), policy('evil', 'b', 50), all('*')];
    const few = new Map([...present, [100, workload('evil', 'd')]]);
    const compiler = new Compiler();
    const closed = (identities: ReadonlyMap<number, KnownIdentity>) => {
      const { rules } = compiler.compile({ policies: wanted, identities, room: most });
      return new Set(compiler.closed('share').map((id) => rules.get(id)?.policy));
    };
    assert.deepEqual(closed(few), new Set(['all']));
    assert.deepEqual(closed(new Map([...few, [101, workload('shop', 'd')]])), new Set(['all', 'evil/b']));
    assert.deepEqual(closed(few), new Set(['all']));
  });

  it('cannot hide behind policies for the whole cluster: sets only its ports make are its own', () => {
    const cluster: Policy = {
      ...policy('', 'all', 0),
      kind: 'ClusterWorkloadNetworkPolicy',
      subject: { workload: { namespace: '*', kind: '*', name: '*' }, container: '*', labels: {} },
      ingress: {
        default: 'Deny',
        rules: [
          ...(policy('', 'all', 10).egress?.rules ?? []),
          { action: 'Allow', ports: [{ protocol: 6, port: 'http' }] },
        ],
      },
    };
    const { egress: _, ...ingressOnly } = cluster;
    const pods = Array.from(
      { length: 30 },
      (_, i): KnownIdentity => ({
        ...workload(i < 20 ? 'evil' : `shop${i % 2}`, `pod${i}`),
        ports: [{ name: 'http', protocol: 'TCP', port: i < 20 ? 1_000 + i : 80 }],
      }),
    );
    const crowd = new Map(pods.map((pod, i) => [Slot.First + i, pod]));
    const tables = compile({ policies: [ingressOnly], identities: crowd, room: most });
    const open = [...crowd.keys()].filter(
      (subject) =>
        lookup(tables, {
          subject,
          direction: 'ingress',
          peer: { slot: Slot.World },
          protocol: 6,
          port: crowd.get(subject)?.ports[0]?.port ?? 0,
        }).verdict === Verdict.Allow,
    );
    assert.equal(open.filter((slot) => slot >= Slot.First + 20).length, 10);
    assert.equal(open.length, 10 + 9);
  });
});
