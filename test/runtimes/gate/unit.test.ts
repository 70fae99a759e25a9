import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { Station } from '../../kernel/agent/station.ts';
import { waitFor } from '../../rig/cleanup.ts';
import { type Docker, startDocker } from '../../rig/docker.ts';
import { IMAGE } from '../../rig/image.ts';

const UNIT = new URL('../../../packaging/systemd/sallyport.service', import.meta.url);

/** `setpriv` with what the unit leaves of this process' rights, and without some of that. */
function asUnit(...without: readonly string[]): string[] {
  for (const name of without) if (!CAPABILITIES.includes(name)) throw new Error(`there is no capability ${name}`);
  const [, listed = ''] = /^CapabilityBoundingSet=(.*)$/m.exec(readFileSync(UNIT, 'utf8')) ?? [];
  const allowed = new Set(listed.split(' ').map((name) => name.replace(/^CAP_/, '').toLowerCase()));
  const [, bounding = '0'] = /^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  const dropped = CAPABILITIES.filter(
    (name, bit) => (BigInt(`0x${bounding}`) >> BigInt(bit)) & 1n && (!allowed.has(name) || without.includes(name)),
  );
  return ['setpriv', '--no-new-privs', '--bounding-set', dropped.map((name) => `-${name}`).join(','), '--'];
}

/** By number, as setpriv calls them. */
const CAPABILITIES =
  'chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore'.split(
    ' ',
  );

/** The agent with the rights its systemd unit gives it, and no more. */
describe('an agent with the rights of its unit', function () {
  this.timeout(120_000);
  let docker: Docker;
  let station: Station;

  before(async () => {
    docker = await startDocker();
    station = new Station(
      docker.namespace,
      { docker: { enabled: 'true', socket: docker.socket }, cri: { enabled: 'false' } },
      undefined,
      { gate: { cgroups: [`${docker.cgroupParent}/{id}`], whenStale: 'closed', timeout: '60s' } },
    );
    station.under = asUnit();
    await station.start();
  });
  after(() => {
    station?.close();
    docker?.close();
  });

  it('without CAP_KILL leaves those of others waiting, says so, and frees them once it can', async () => {
    await station.stop();
    station.under = asUnit('kill');
    await station.start();
    const command = ['run', '--rm', '--user', '1000:1000', IMAGE, 'true'];
    const waits = docker.attempt(command, { timeout: 60_000 });
    await waitFor('it is told', async () =>
      (await station.status()).problems.some((text) => /cannot begin/.test(text)),
    );
    await station.stop();
    station.under = asUnit();
    await station.start();
    const { status, stderr } = await waits;
    assert.equal(status, 0, stderr);
    assert.deepEqual((await station.status()).problems, []);
  });

  for (const [who, args] of [
    ['root', []],
    ['somebody else', ['--user', '1000:1000']],
  ] as const) {
    it(`lets a container of ${who} begin, protected`, async () => {
      const opened = await station.metric('sallyport_gate_opened_total{reason="enforced"}');
      const { status, stderr } = await docker.attempt(['run', '--rm', ...args, IMAGE, 'true'], { timeout: 30_000 });
      assert.equal(status, 0, stderr);
      assert.equal(await station.metric('sallyport_gate_opened_total{reason="enforced"}'), opened + 1);
    });
  }

  it('finds nothing wrong', async () => {
    const { problems } = await station.status();
    assert.deepEqual(problems, []);
  });
});
