/** What refused packets are answered with, as sockets in containers see it. */
import assert from 'node:assert/strict';
import type { Between } from '../../../src/datapath/port.ts';
import type { Endpoint } from '../../rig/node.ts';
import type { Background } from '../../rig/process.ts';
import { type Attempt, buildTraffic, connect, serve } from '../../rig/traffic.ts';
import { shopPolicy, Town } from './town.ts';

const POLICY =
  shopPolicy('api', 'api', '  ingress: [{from: [{workload: Service/web}]}]') +
  shopPolicy('db', 'db', '  egress: [{to: [{workload: Service/web}]}]');
const BETWEEN: Between = { tags: false, holdMark: 0, holdRate: 0, holdOpen: false, refusal: 'reset' };
/**
 * In ns. A reset comes before anything is sent again. An ICMP error that is quicker than connect() lets go of its socket
 * is only noted by the kernel; the one for the SYN that is sent again, after a second, ends it.
 */
const SOON = { reset: 150e6, icmp: 1800e6 } as const;

for (const attach of ['routed', 'bridged'] as const) {
  for (const refusal of ['reset', 'icmp'] as const) {
    describe(`refused containers of a ${attach} node with "${refusal}"`, () => {
      let town: Town;
      let web: Endpoint;
      let api: Endpoint;
      let db: Endpoint;
      let evil: Endpoint;
      let servers: Background[];

      before(async () => {
        await buildTraffic();
        town = await Town.create(attach, { ...BETWEEN, refusal });
        web = await town.node.createEndpoint('web');
        api = await town.node.createEndpoint('api');
        db = await town.node.createEndpoint('db');
        evil = await town.node.createEndpoint('evil');
        for (const endpoint of [web, api, db, evil]) town.settle(endpoint.name, endpoint);
        servers = [await serve(api, { tcp: '8080', udp: '5353' }), await serve(web, { tcp: '8080' })];
        await town.enforce(POLICY);
      });

      after(() => {
        for (const server of servers) server.close();
        town.close();
      });

      const attempt = (from: Endpoint, address: string, udp = false): Promise<Attempt> =>
        connect(from, { address, port: udp ? 5353 : 8080, udp }, { timeoutMs: udp ? 400 : 3000, exchange: true });

      for (const family of ['ipv4', 'ipv6'] as const) {
        const expected = refusal === 'reset' ? ['ECONNREFUSED'] : family === 'ipv4' ? ['EHOSTUNREACH'] : ['EACCES'];

        it(`whom the receiver does not let in learn it over ${family}`, async () => {
          const { error, elapsedNs } = await attempt(evil, api[family]);
          assert.deepEqual([error], expected);
          assert.ok(elapsedNs < SOON[refusal], `${elapsedNs} ns`);
        });

        it(`whom their own policy does not let out learn it over ${family}`, async () => {
          const { error, elapsedNs } = await attempt(db, api[family]);
          assert.deepEqual([error], expected);
          assert.ok(elapsedNs < SOON[refusal], `${elapsedNs} ns`);
        });

        it(`datagrams are ${refusal === 'icmp' ? 'told of' : 'dropped'} over ${family}`, async () => {
          for (const from of [evil, db]) {
            const { result, error } = await attempt(from, api[family], true);
            if (refusal === 'reset') assert.equal(result, 'timeout');
            else assert.deepEqual([error], expected);
          }
        });

        it(`those who are allowed notice nothing over ${family}`, async () => {
          assert.equal((await attempt(web, api[family])).result, 'ok');
          assert.equal((await attempt(web, api[family], true)).result, 'ok');
          assert.equal((await attempt(db, web[family])).result, 'ok');
        });
      }

      it('somebody who is nobody here is not answered', async () => {
        const target = { address: api.ipv4, port: 8080 };
        const policy = shopPolicy('evil', 'evil', '  egress: []');
        await town.enforce(POLICY + policy);
        const { result } = await connect(evil, { address: '192.0.2.1', port: 80 }, { timeoutMs: 400 });
        assert.equal(result, 'timeout', 'the world');
        const host = await connect(town.node.host, target, { timeoutMs: 3000 });
        assert.notEqual(host.result, 'timeout', 'the host is somebody');
        await town.enforce(POLICY);
      });
    });
  }
}
