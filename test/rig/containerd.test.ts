import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { type Containerd, startContainerd } from './containerd.ts';
import { isRunning } from './process.ts';
import * as traffic from './traffic.ts';

describe('a containerd of our own', function () {
  this.timeout(120_000);
  let containerd: Containerd;

  before(async () => {
    containerd = await startContainerd();
  });

  after(() => containerd.close());

  it('runs pods that reach each other over IPv4 and IPv6', async () => {
    const api = await containerd.createPod({ name: 'api', labels: { app: 'api' } });
    await api.createContainer('main', ['traffic', 'serve', '--tcp', '8080']);
    const web = await containerd.createPod({ name: 'web' });
    const client = await web.createContainer('main');
    const addresses = await api.addresses();
    assert.equal(addresses.length, 2);
    for (const address of addresses) {
      const attempt = await traffic.connect(client, { address, port: 8080 }, { exchange: true });
      assert.equal(attempt.result, 'ok', address);
    }
    const cgroup = readFileSync(`/proc/${await client.pid()}/cgroup`, 'latin1');
    assert.ok(cgroup.includes(`0::${containerd.cgroupParent}/pod${web.uid}/${client.id}`), cgroup);
    await web.remove();
    assert.equal((await containerd.ctr(['tasks', 'ls', '-q'])).includes(client.id), false);
  });

  it('is gone after close', () => {
    const pid = containerd.pid;
    containerd.close();
    assert.equal(isRunning(pid), false);
    assert.equal(existsSync(containerd.socket), false);
  });
});
