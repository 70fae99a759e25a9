import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { type Docker, startDocker } from './docker.ts';
import { isRunning } from './process.ts';
import * as traffic from './traffic.ts';

describe('a Docker daemon of our own', function () {
  this.timeout(120_000);
  let docker: Docker;

  before(async () => {
    docker = await startDocker();
  });

  after(() => docker.close());

  it('runs containers that reach each other, in cgroups below its own parent', async () => {
    const web = await docker.run({ name: 'web', labels: { tier: 'front' } });
    const api = await docker.run({ name: 'api', command: ['traffic', 'serve', '--tcp', '8080'] });
    const address = await api.ipv4();
    assert.equal((await traffic.connect(web, { address, port: 8080 }, { exchange: true })).result, 'ok');
    const { Id, State } = await web.inspect();
    const cgroup = readFileSync(`/proc/${State.Pid}/cgroup`, 'latin1');
    assert.ok(cgroup.includes(`0::${docker.cgroupParent}/${Id}`), cgroup);
    await web.remove();
    assert.equal(isRunning(State.Pid), false);
  });

  it('keeps containers on user networks apart and names them', async () => {
    await docker.cli(['network', 'create', 'shop']);
    const one = await docker.run({ name: 'one', network: 'shop' });
    await docker.run({ name: 'two', network: 'shop' });
    assert.match(await one.exec(['ping', '-c', '1', '-W', '2', 'two']), /1 packets received/);
  });

  it('starts anew on the same data', async () => {
    await docker.restart();
    assert.match(await docker.cli(['ps', '-a', '--format', '{{.Names}}']), /^api$/m);
  });

  it('is gone after close', () => {
    const pid = docker.pid;
    docker.close();
    assert.equal(isRunning(pid), false);
    assert.equal(existsSync(docker.socket), false);
  });
});
