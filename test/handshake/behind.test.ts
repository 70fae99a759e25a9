import assert from 'node:assert/strict';
import { DATABASE, type Node, twoNodes, udp } from './domain.ts';

/** What the container wrote to; this node rewrites it to somebody's address. */
const SERVICE = { address: '10.96.0.10', port: 5353 };
const CACHE = 0x51n;
const kinds = ({ said }: Node): string[] => said.map(({ message }) => message.kind);
const deny = (rule: string) => () => ({ allowed: false, rule });

describe('who is behind the address of a Service', () => {
  it('is agreed on like anybody, and told to the kernel by the address that the container knows', () => {
    const { network, one, two, conversation } = twoNodes();
    const flow = one.hold(conversation, { addressed: SERVICE });
    network.settle();
    assert.deepEqual(one.released, [flow]);
    const pair = ['web 10.2.0.3 = 34', 'web(17) 10.2.0.3 = 34'];
    assert.deepEqual(one.entryTexts(), [...pair, 'web(17) 10.96.0.10:5353>4000 = 34'].sort());
    assert.deepEqual(two.entryTexts(), ['database 10.1.0.2 = 17', 'database(34) 10.1.0.2 = 17']);
  });

  it('is asked for once: the next conversation finds it verified, for a few seconds at a time', () => {
    const { network, clock, one, conversation } = twoNodes();
    one.hold(conversation, { addressed: SERVICE });
    network.settle();
    const said = one.said.length;
    const next = one.hold(udp('10.1.0.2', 4001, '10.2.0.3', 53), { addressed: SERVICE });
    assert.equal(one.released.at(-1), next);
    assert.equal(one.said.length, said);
    assert.ok(one.entryTexts().includes('web(17) 10.96.0.10:5353>4001 = 34'));
    clock.advance(5_000);
    assert.deepEqual(one.entryTexts(), ['web 10.2.0.3 = 34', 'web(17) 10.2.0.3 = 34']);
  });

  it('is asked for again when what was verified has been revoked', () => {
    const { network, one, conversation } = twoNodes();
    one.hold(conversation, { addressed: SERVICE });
    network.settle();
    one.engine.revoke({});
    network.settle();
    const before = kinds(one).filter((kind) => kind === 'request').length;
    one.hold(udp('10.1.0.2', 4001, '10.2.0.3', 53), { addressed: SERVICE });
    network.settle();
    assert.equal(kinds(one).filter((kind) => kind === 'request').length, before + 1);
  });

  it('is refused by the address that the container knows, by either end', () => {
    for (const end of ['one', 'two'] as const) {
      const made = twoNodes();
      made[end].policy = deny('shop/db');
      made.one.hold(made.conversation, { addressed: SERVICE });
      made.network.settle();
      assert.deepEqual(made.one.released, []);
      assert.deepEqual(made.one.entryTexts('refused'), ['web(17) 10.96.0.10:5353>4000 = 0']);
    }
  });

  it('is known without asking where it runs on this node, and still decided by policy', () => {
    for (const allowed of [true, false]) {
      const { one } = twoNodes();
      one.run('cache', CACHE, '10.1.0.9');
      const asked: bigint[] = [];
      one.policy = ({ peer }) => {
        asked.push(peer);
        return { allowed, rule: 'shop/web' };
      };
      const flow = one.hold(udp('10.1.0.2', 4000, '10.1.0.9', 53), { addressed: SERVICE });
      assert.deepEqual(asked, [CACHE]);
      assert.deepEqual(kinds(one), []);
      assert.deepEqual(one.released, allowed ? [flow] : []);
      assert.deepEqual(one.entryTexts('verified'), allowed ? ['web(17) 10.96.0.10:5353>4000 = 81'] : []);
      assert.deepEqual(one.results(), allowed ? [] : ['source refused connect policy']);
    }
  });

  it('is known without asking on this node, also where the kernel does not tell what was rewritten', () => {
    for (const allowed of [true, false]) {
      const { one } = twoNodes();
      one.run('cache', CACHE, '10.1.0.9');
      one.policy = ({ peer }) => ({ allowed: allowed && peer === CACHE, rule: 'shop/web' });
      const flow = one.hold(udp('10.1.0.2', 4000, '10.1.0.9', 53));
      assert.deepEqual(one.released, allowed ? [flow] : []);
      assert.deepEqual(one.entryTexts('verified'), []);
      assert.deepEqual(one.entryTexts('world'), []);
    }
  });

  it('is asked for once, also where the kernel does not tell what was rewritten, and found by the kernel alone', () => {
    const { network, one, conversation } = twoNodes();
    one.hold(conversation, { untold: true });
    network.settle();
    const said = one.said.length;
    const next = one.hold(udp('10.1.0.2', 4001, '10.2.0.3', 53), { untold: true });
    assert.equal(one.released.at(-1), next);
    assert.equal(one.said.length, said);
    assert.deepEqual(one.entryTexts(), ['web 10.2.0.3 = 34', 'web(17) 10.2.0.3 = 34']);
  });

  it('is nobody for a few seconds only where no agent speaks for it: each conversation waits, and there is not room for many', () => {
    for (const told of [{ addressed: SERVICE }, { untold: true }] as const) {
      const { clock, one } = twoNodes();
      for (let port = 4000; port < 4010; port++) one.hold(udp('10.1.0.2', port, '192.0.2.53', 53), told);
      assert.equal(one.released.length, 10);
      assert.equal(one.entryTexts('world').length, 10);
      clock.advance(5_000);
      assert.deepEqual(one.entryTexts('world'), []);
    }
  });

  it('is the world where nobody of the domain is, by the address that the container knows and the one it leads to', () => {
    const { one } = twoNodes();
    const asked: string[] = [];
    one.policy = ({ address, written, port }) => {
      asked.push(`${written} is ${address}:${port}`);
      return { allowed: true, rule: '' };
    };
    one.hold(udp('10.1.0.2', 4000, '192.0.2.53', 53), { addressed: SERVICE });
    assert.deepEqual(asked, ['10.96.0.10 is 192.0.2.53:53']);
    assert.deepEqual(one.entryTexts('world'), ['web(17) 10.96.0.10:5353>4000 = 0']);
    assert.equal(one.released.length, 1);
  });

  it('is judged by both addresses as long as it is verified, by its own alone where nothing was rewritten', () => {
    const { network, one, conversation } = twoNodes();
    const asked: string[] = [];
    one.policy = ({ address, written }) => {
      asked.push(`${written ?? 'nothing'} is ${address}`);
      return { allowed: true, rule: '' };
    };
    one.hold(conversation, { addressed: SERVICE });
    network.settle();
    one.engine.policyChanged();
    one.hold(udp('10.1.0.2', 4001, '10.2.0.3', 53), { addressed: SERVICE });
    assert.deepEqual([...new Set(asked)], ['10.96.0.10 is 10.2.0.3']);
    asked.length = 0;
    one.hold(udp('10.1.0.2', 4002, '192.0.2.53', 53));
    assert.deepEqual(asked, ['nothing is 192.0.2.53']);
  });

  it('is not taken for verified by what another container has agreed on', () => {
    const { network, one, conversation } = twoNodes();
    one.hold(conversation, { addressed: SERVICE });
    network.settle();
    one.run('stranger', DATABASE + 1n, '10.1.0.7');
    const before = kinds(one).filter((kind) => kind === 'request').length;
    one.hold(udp('10.1.0.7', 4000, '10.2.0.3', 53), { addressed: SERVICE });
    assert.equal(kinds(one).filter((kind) => kind === 'request').length, before + 1);
  });
});
