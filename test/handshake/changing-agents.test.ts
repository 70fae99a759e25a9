import assert from 'node:assert/strict';
import { HandshakeError } from '../../src/handshake/index.ts';
import { identity, peer, until } from './agents.ts';
import { agent, connected, conversation, useAgents } from './rig.ts';

/** Who the other agents are changes while this one runs. */
describe('other agents that come and go', () => {
  useAgents();

  it('are dialled and heard from when they are named', async () => {
    const two = agent(2, { listen: '127.0.0.1:0' });
    const one = agent(1, {});
    assert.deepEqual(one.handshake.agents(), []);
    two.handshake.setAgents([peer(1, undefined)]);
    one.handshake.setAgents([peer(2, await two.port())]);
    await until('known', () => one.handshake.identities().length === 1 && two.handshake.identities().length === 1);
    one.carry = (flow, token) => two.arrive(flow, token);
    one.hold(conversation());
    await until('released', () => one.released.length === 1);
  });

  it('lose all they have vouched for when they are named no longer', async () => {
    const { one, two } = await connected();
    one.hold(conversation());
    await until('confirmed', () => two.records.length === 1);
    assert.equal(one.entries.size, 2);
    one.handshake.setAgents([]);
    assert.deepEqual([one.handshake.agents(), one.handshake.identities(), one.entries.size], [[], [], 0]);
    assert.equal(one.handshake.agentAt('10.2.0.1'), undefined);
    await until('cut off', () => two.state('node1') !== 'connected');
  });

  it('keep what they have, where only another comes', async () => {
    const { one, two, port } = await connected();
    one.hold(conversation());
    await until('confirmed', () => two.records.length === 1);
    one.handshake.setAgents([peer(2, port), peer(3, undefined)]);
    assert.deepEqual([one.state('node2'), one.state('node3')], ['connected', 'waiting']);
    assert.equal(one.entries.size, 2);
    assert.equal(one.handshake.statistics().closes.size, 0);
  });

  it('may no longer announce what their patterns leave out now', async () => {
    const { one, two, port } = await connected();
    one.hold(conversation());
    await until('confirmed', () => two.records.length === 1);
    one.handshake.setAgents([peer(2, port, { workloads: ['other/*/*'] })]);
    assert.deepEqual([one.handshake.identities(), one.entries.size], [[], 0]);
    assert.equal(one.state('node2'), 'connected');
  });

  it('are dialled where they are now', async () => {
    const { one, two } = await connected();
    await two.handshake.close();
    const moved = agent(2, { listen: '127.0.0.1:0', agents: [peer(1, undefined)], endpoints: 2 });
    one.handshake.setAgents([peer(2, await moved.port())]);
    await until('found', () => one.handshake.identities().some(({ id }) => id === identity(2, 2).id));
  });

  it('stay as they were where the new ones are refused', async () => {
    const { one, port } = await connected();
    const before = one.handshake.agents().map(({ name, address }) => [name, address]);
    for (const wrong of [
      peer(3, port, { address: 'nowhere' }),
      peer(3, port, { cidrs: ['10.2.0.0/16'] }),
      peer(3, port, { workloads: ['nonsense'] }),
    ]) {
      assert.throws(() => one.handshake.setAgents([peer(2, port), wrong]), HandshakeError);
      assert.deepEqual(
        one.handshake.agents().map(({ name, address }) => [name, address]),
        before,
      );
    }
    assert.equal(one.handshake.identities().length, 1);
  });
});
