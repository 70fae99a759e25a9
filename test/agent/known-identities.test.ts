import assert from 'node:assert/strict';
import { KnownIdentities } from '../../src/agent/known-identities.ts';
import type { KnownIdentity } from '../../src/compile/input.ts';
import { changedKeys } from '../../src/compile/patched-map.ts';
import type { Endpoint, NamedPort } from '../../src/model/endpoint.ts';
import { deriveIdentity } from '../../src/model/identity.ts';

const HTTP: NamedPort = { name: 'http', protocol: 'TCP', port: 80 };
const DNS: NamedPort = { name: 'dns', protocol: 'UDP', port: 53 };

function known(name: string, ports: readonly NamedPort[] = []): KnownIdentity {
  const workload = { namespace: 'shop', kind: 'Service', name };
  return { ...deriveIdentity('test', { workload, container: '', labels: {} }), ports };
}

function endpoint(name: string, ports: readonly NamedPort[] = []): Endpoint {
  const identity = known(name);
  return { id: name, mode: 'interface', identity, containers: [], netns: 1, interfaces: [], addresses: [], ports };
}

const names = (identities: ReadonlyMap<bigint, KnownIdentity>): string[] =>
  [...identities.values()].map(({ workload }) => workload.name).sort();
const crowd = Array.from({ length: 1_000 }, (_, n) => known(`w${n}`));

describe('identities, told of all of them each time', () => {
  it('are each there once, with the ports that anybody tells of', () => {
    const identities = new KnownIdentities();
    const here = [endpoint('web', [HTTP]), endpoint('web', [HTTP, DNS])];
    const now = identities.update(here, [known('web', [DNS]), known('db', [HTTP]), known('db', [DNS]), known('api')]);
    assert.deepEqual(names(now), ['api', 'db', 'web']);
    assert.deepEqual(now.get(known('web').id)?.ports, [HTTP, DNS]);
    assert.deepEqual(now.get(known('db').id)?.ports, [HTTP, DNS]);
    assert.deepEqual(now.get(known('api').id)?.ports, []);
  });

  it('are the same map while nothing differs, whoever makes the objects', () => {
    const identities = new KnownIdentities();
    const tell = () => identities.update([endpoint('web', [HTTP])], [known('web', [DNS]), known('db'), known('db')]);
    assert.equal(tell(), tell());
  });

  it('go when nobody tells of them any more, and come back', () => {
    const identities = new KnownIdentities();
    identities.update([endpoint('web')], [known('db')]);
    assert.deepEqual(names(identities.update([], [known('db')])), ['db']);
    assert.deepEqual(names(identities.update([endpoint('web')], [])), ['web']);
    assert.deepEqual(names(identities.update([], [])), []);
    assert.deepEqual(names(identities.update([], [known('db')])), ['db']);
  });

  it('share what has not changed with those before', () => {
    const identities = new KnownIdentities();
    const before = identities.update([], crowd);
    const more = identities.update([], [...crowd, known('new')]);
    assert.equal(more.size, 1_001);
    assert.deepEqual([...(changedKeys(before, more) ?? [])], [known('new').id]);
    const others = identities.update([endpoint('w7', [HTTP])], crowd);
    assert.equal(others.size, 1_000);
    assert.deepEqual(new Set(changedKeys(more, others)), new Set([known('new').id, known('w7').id]));
  });

  it('are those of a telling by itself, after any others', () => {
    const identities = new KnownIdentities();
    let seed = 1;
    const chance = (percent: number): boolean => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed % 100 < percent;
    };
    const some = (percent: number) => crowd.slice(0, 200).filter(() => chance(percent));
    for (let round = 0; round < 50; round += 1) {
      const [here, there] = [
        some(20).map(({ workload }) => endpoint(workload.name, [HTTP])),
        [...some(60), ...some(30)],
      ];
      const now = identities.update(here, there);
      const alone = new KnownIdentities().update(here, there);
      assert.deepEqual(new Map([...now].sort()), new Map([...alone].sort()));
    }
  });
});
