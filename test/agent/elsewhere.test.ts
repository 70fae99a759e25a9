import assert from 'node:assert/strict';
import { Elsewhere, type Known } from '../../src/agent/between/elsewhere.ts';
import { deriveIdentity } from '../../src/model/identity.ts';

const agent = (name: string) => ({ name, address: '', cidrs: [], workloads: ['*/*/*'], direct: false });
const workload = { namespace: 'shop', kind: 'Service', name: 'db' };
const db = { ...deriveIdentity('test', { workload, container: '', labels: {} }), ports: [] };
/** The same object for as long as an agent announces the same. */
const known = new Map([[db.id, db]]);
const announced = (...names: string[]) => new Map(names.map((name) => [name, known]));

describe('who runs elsewhere, as it is stored', () => {
  it('goes with its agent, now or at the next start', () => {
    const one = new Elsewhere('test', [agent('east'), agent('west')], 10, new Map());
    const { saved, gone } = one.takeChanges(announced('east', 'west'));
    assert.deepEqual([saved.length, gone], [2, []]);
    one.setAgents([agent('west')]);
    const ofEast = saved.filter(([, { agent: whose }]) => whose === 'east').map(([key]) => key);
    assert.deepEqual(one.takeChanges(announced('west')), { saved: [], gone: ofEast });
    assert.deepEqual(one.takeChanges(announced('west')), { saved: [], gone: [] });

    const next = new Elsewhere('test', [agent('west')], 10, new Map(saved));
    assert.equal(next.known(new Map()).identities.length, 1);
    assert.deepEqual(next.takeChanges(new Map()), { saved: [], gone: ofEast });
  });

  it('stays while its agent is not heard', () => {
    const { saved } = new Elsewhere('test', [agent('east')], 10, new Map()).takeChanges(announced('east'));
    const next = new Elsewhere('test', [agent('east')], 10, new Map(saved));
    assert.deepEqual(next.takeChanges(new Map()), { saved: [], gone: [] });
    assert.equal(next.known(new Map()).identities.length, 1);
  });
});

describe('who runs elsewhere', () => {
  const identity = (name: string) => {
    const attributes = { workload: { ...workload, name }, container: '', labels: {} };
    return { ...deriveIdentity('test', attributes), ports: [] };
  };
  const running = (...names: string[]) => new Map(names.map(identity).map((one) => [one.id, one]));
  const room = (most: number) => new Elsewhere('test', [agent('east'), agent('west')], most, new Map());
  const namesOf = ({ identities }: Known) => identities.map(({ workload: { name } }) => name);

  it('is known as long as there is room, replicas counted once', () => {
    const known = room(3).known(
      new Map([
        ['east', running('web', 'db', 'cache')],
        ['west', running('db', 'web')],
      ]),
    );
    assert.deepEqual([known.beyond, new Set(namesOf(known))], [0, new Set(['web', 'db', 'cache'])]);
  });

  it('is left out where there is none, and no agent takes the room of another', () => {
    const flood = Array.from({ length: 1_000 }, (_, n) => `flood${n}`);
    const known = room(10).known(
      new Map([
        ['east', running(...flood)],
        ['west', running('web', 'db')],
      ]),
    );
    assert.deepEqual(namesOf(known).sort(), ['db', ...flood.slice(0, 8), 'web'].sort());
    assert.equal(known.beyond, 992);
  });
});
