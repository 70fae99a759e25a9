import assert from 'node:assert/strict';
import { Elsewhere } from '../../src/agent/between/elsewhere.ts';
import { deriveIdentity } from '../../src/model/identity.ts';

const agent = (name: string) => ({ name, address: '', cidrs: [], workloads: ['*/*/*'], direct: false });
const workload = { namespace: 'shop', kind: 'Service', name: 'db' };
const db = { ...deriveIdentity('test', { workload, container: '', labels: {} }), ports: [] };
/** The same object for as long as an agent announces the same. */
const known = new Map([[db.id, db]]);
const announced = (...names: string[]) => new Map(names.map((name) => [name, known]));

describe('who runs elsewhere, as it is stored', () => {
  it('goes with its agent, now or at the next start', () => {
    const one = new Elsewhere('test', [agent('east'), agent('west')], new Map());
    const { saved, gone } = one.takeChanges(announced('east', 'west'));
    assert.deepEqual([saved.length, gone], [2, []]);
    one.setAgents([agent('west')]);
    const ofEast = saved.filter(([, { agent: whose }]) => whose === 'east').map(([key]) => key);
    assert.deepEqual(one.takeChanges(announced('west')), { saved: [], gone: ofEast });
    assert.deepEqual(one.takeChanges(announced('west')), { saved: [], gone: [] });

    const next = new Elsewhere('test', [agent('west')], new Map(saved));
    assert.equal(next.identities(new Map()).length, 1);
    assert.deepEqual(next.takeChanges(new Map()), { saved: [], gone: ofEast });
  });

  it('stays while its agent is not heard', () => {
    const { saved } = new Elsewhere('test', [agent('east')], new Map()).takeChanges(announced('east'));
    const next = new Elsewhere('test', [agent('east')], new Map(saved));
    assert.deepEqual(next.takeChanges(new Map()), { saved: [], gone: [] });
    assert.equal(next.identities(new Map()).length, 1);
  });
});
