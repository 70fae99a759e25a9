import assert from 'node:assert/strict';
import { join } from 'node:path';
import { attempt } from '../rig/process.ts';

const RUN = join(import.meta.dirname, 'run');

function inMachine(kernel: string, command: string, env: Readonly<Record<string, string>> = {}) {
  return attempt([RUN, kernel, command], { env, timeout: 600_000 });
}

describe('a virtual machine', function () {
  this.timeout(600_000);

  for (const kernel of ['6.1', '6.12']) {
    it(`runs a command on this machine's files under ${kernel} and returns its status`, async () => {
      const { status, stdout } = await inMachine(
        kernel,
        'uname -r; pwd; cat /sys/kernel/security/lsm; echo; touch new && node --version; modprobe veth; exit 7',
      );
      const [release, directory, modules, node] = stdout.split('\n');
      assert.ok(release!.startsWith(`${kernel}.`), stdout);
      assert.equal(directory, process.cwd());
      assert.ok(modules!.split(',').includes('bpf'), stdout);
      assert.match(node!, /^v\d+/);
      assert.equal(status, 7);
    });
  }

  it('is ended when its command takes too long', async () => {
    const { status, stderr } = await inMachine('6.12', 'sleep 1000', { TIMEOUT: '15' });
    assert.equal(status, 124);
    assert.match(stderr, /took longer than 15 s/);
  });

  it('says what the kernel said when it dies', async () => {
    const { status, stderr } = await inMachine('6.12', 'echo c > /proc/sysrq-trigger; sleep 60');
    assert.equal(status, 125);
    assert.match(stderr, /sysrq triggered crash/);
  });

  it('does not guess what an unknown kernel may be', async () => {
    const { status, stderr } = await inMachine('5.9', 'true');
    assert.notEqual(status, 0);
    assert.match(stderr, /no kernel is called "5.9"/);
  });
});
