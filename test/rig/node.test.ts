import assert from 'node:assert/strict';
import { createNode } from './node.ts';

for (const attach of ['routed', 'bridged'] as const) {
  for (const namespace of ['own', 'current'] as const) {
    describe(`a ${attach} node in its ${namespace} namespace`, () => {
      it('lets its endpoints reach each other and the host over IPv4 and IPv6', async () => {
        const node = await createNode({ attach, namespace });
        try {
          const web = await node.createEndpoint('web');
          const api = await node.createEndpoint('api');
          for (const address of [api.ipv4, api.ipv6, node.ipv4, node.ipv6]) {
            await web.run(['busybox', 'ping', '-c', '1', '-W', '2', address]);
          }
        } finally {
          node.close();
        }
      });

      it('runs a process in the endpoint and its cgroup', async () => {
        const node = await createNode({ attach, namespace });
        try {
          const web = await node.createEndpoint('web');
          const path = await web.run(['cat', '/proc/self/cgroup']);
          assert.ok(path.includes(`0::/${web.cgroup.name}\n`), path);
          const sleeper = web.start(['sh', '-c', 'echo up; exec sleep 60']);
          await sleeper.output(/up/);
          node.close();
          assert.equal((await sleeper.exited).signal, 'SIGKILL');
        } finally {
          node.close();
        }
      });
    });
  }
}
