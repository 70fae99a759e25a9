import assert from 'node:assert/strict';
import type { PeerAgentView } from '../../../src/agent/api/between-contract.ts';
import { waitFor } from '../../rig/cleanup.ts';
import { connect } from '../../rig/traffic.ts';
import { Region, servicePolicy } from './region.ts';

const POLICY = servicePolicy(
  'db',
  'db',
  `  ingress:
    - name: from-web
      action: Allow
      from: [{workload: Service/web}]
      ports: [{protocol: UDP, port: 8080}]`,
);

/** The other nodes are told to agents that run: by their configuration, and SIGHUP. */
describe('a configuration that is read again', function () {
  this.timeout(180_000);
  let region: Region;

  before(async () => {
    region = await Region.create({
      nodes: { west: ['web'], east: ['db'] },
      settings: ({ name }) => (name === 'east' ? {} : { handshake: { agents: [] } }),
    });
    await Promise.all(['west', 'east'].map((name) => region.station(name).start()));
    await region.apply(POLICY);
  });
  after(() => region?.close());

  const agents = () => region.station('west').json<readonly PeerAgentView[]>(['peer', 'agents']);
  const ask = async (): Promise<string> => {
    const target = { address: region.endpoint('east/db').ipv4, port: 8080, udp: true };
    return (await connect(region.endpoint('west/web'), target, { timeoutMs: 2_500 })).result;
  };
  const configure = async (settings: object, told: string): Promise<void> => {
    const { agent } = region.station('west');
    const from = agent.stdout.length;
    region.station('west').configure(settings);
    agent.kill('SIGHUP');
    await waitFor(told, () => agent.stdout.slice(from).includes(told));
  };
  const READ = 'The configuration was read again';

  it('names nodes that were not there, whose containers are somebody from then on', async () => {
    assert.deepEqual(await agents(), []);
    assert.notEqual(await ask(), 'ok');
    await configure(region.settingsOf(region.member('west')), READ);
    await region.connected();
    assert.equal((await agents()).length, 1);
    assert.equal(await ask(), 'ok');
  });

  it('changes nothing where it is wrong, and says so', async () => {
    const settings = region.settingsOf(region.member('west')) as { handshake: object };
    const agent = (cidr: string) => ({ name: 'east', address: '192.0.2.1:1', cidrs: [cidr] });
    const refused = 'the agent goes on as before';
    await configure({ ...settings, handshake: { ...settings.handshake, agents: [agent('nonsense')] } }, refused);
    const twice = [agent('192.0.2.0/24'), { ...agent('192.0.2.0/24'), name: 'north' }];
    await configure({ ...settings, handshake: { ...settings.handshake, agents: twice } }, refused);
    assert.equal(await ask(), 'ok');
  });

  it('names what waits for the next start', async () => {
    const settings = region.settingsOf(region.member('west'));
    await configure({ ...settings, hold: { deadline: '4s' } }, '"waiting":["hold.deadline"]');
    assert.equal(await ask(), 'ok');
  });

  it('leaves out nodes, who have nothing to say from then on', async () => {
    const settings = region.settingsOf(region.member('west')) as { handshake: object };
    await configure({ ...settings, handshake: { ...settings.handshake, agents: [] } }, READ);
    assert.deepEqual(await agents(), []);
    assert.deepEqual(await region.station('west').json(['peer', 'list']), []);
    await waitFor('east is cut off', async () => {
      const others = await region.station('east').json<readonly PeerAgentView[]>(['peer', 'agents']);
      return others.every(({ state }) => state !== 'connected');
    });
  });
});
