import assert from 'node:assert/strict';
import type { Endpoint } from '../../rig/node.ts';
import { buildTraffic, connect, serve, udpSend } from '../../rig/traffic.ts';
import { shopPolicy, Town } from './town.ts';

/** A rule that makes the kernel track connections in this namespace, as any Docker host's rules do. */
const TRACKING = ['FORWARD', '-m', 'conntrack', '--ctstate', 'INVALID', '-m', 'comment', '--comment', 'sallyport-test'];

describe('conversations that are older than the agent, where connections are tracked', () => {
  let town: Town;
  let web: Endpoint;
  let api: Endpoint;

  before(async () => {
    await buildTraffic();
    town = await Town.create('routed');
    await town.node.host.run(['iptables-legacy', '-w', '-A', ...TRACKING]);
    web = await town.node.createEndpoint('web');
    api = await town.node.createEndpoint('api');
  });

  after(async () => {
    await town.node.host.run(['iptables-legacy', '-w', '-D', ...TRACKING]);
    town.close();
  });

  it('are judged by who opened them, though the answer is what is met first', async () => {
    const asked = { address: api.ipv4, port: 5353, udp: true, sourcePort: 4000 };
    const answered = { address: web.ipv4, port: 4000, sourcePort: 5353 };
    const first = await serve(api, { udp: '5353' });
    assert.equal((await connect(web, asked, { exchange: true })).result, 'ok', 'before the agent');
    first.close();

    town.settle('api', api);
    await town.enforce(shopPolicy('api', 'api', '  ingress: []'));
    await udpSend(api, answered, { count: 3, durationMs: 500 });
    const second = await serve(api, { udp: '5353' });
    const again = await connect(web, asked, { exchange: true, timeoutMs: 300 });
    second.close();
    assert.equal(again.result, 'timeout', 'a question is not let in as the answer to its answer');

    const own = await serve(web, { udp: '6000' });
    const opened = await connect(api, { address: web.ipv4, port: 6000, udp: true }, { exchange: true, timeoutMs: 300 });
    own.close();
    assert.equal(opened.result, 'ok', 'what it opens itself is answered');
  });
});
