import assert from 'node:assert/strict';
import { createNode } from './node.ts';
import { Oci } from './oci.ts';
import * as traffic from './traffic.ts';

describe('containers by an OCI runtime alone', () => {
  it('reach each other, below the cgroups of their endpoints', async () => {
    const node = await createNode();
    const oci = await Oci.create();
    try {
      const [web, api] = [await node.createEndpoint('web'), await node.createEndpoint('api')];
      const client = await oci.run({ name: 'web', endpoint: web });
      await oci.run({ name: 'api', endpoint: api, command: ['traffic', ...traffic.serveArgs({ tcp: '80' })] });
      const attempt = await traffic.connect(client, { address: api.ipv4, port: 80 }, { exchange: true });
      assert.equal(attempt.result, 'ok');
      const cgroup = await client.exec(['cat', '/proc/self/cgroup']);
      assert.ok(cgroup.includes(`0::/${web.cgroup.name}/web`), cgroup);
    } finally {
      oci.close();
      node.close();
    }
  });
});
