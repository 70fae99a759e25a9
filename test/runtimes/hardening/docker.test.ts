/**
 * What hardening promises of real containers: begun by a gate, judged by a real agent, privileged and not. It needs a
 * kernel that asks BPF LSM programs: `test/vm/all` runs it under those it has.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { StatusView } from '../../../src/agent/api/contract.ts';
import type { ProfileView } from '../../../src/agent/api/profile-contract.ts';
import type { ViolationEvent } from '../../../src/events/event.ts';
import { Station } from '../../kernel/agent/station.ts';
import { canHarden } from '../../kernel/hardening/cage.ts';
import { waitFor } from '../../rig/cleanup.ts';
import { type Docker, startDocker } from '../../rig/docker.ts';
import { ATTACKS, type Attack, attackerPolicy, CORE_PATTERN, PATIENCE_MS, SECRET, STARTS, SUCCESS } from './attacks.ts';
import { Engine } from './engine.ts';

/** Begun while there is no agent. */
const ORPHANS = 2;

const POLICY = attackerPolicy('Service/attacker');

const WORKER = 'shop/Service/worker';
/**
 * At a signal it reads, writes, runs programs and connects; at another it reads what it has never read. The last of the
 * work can be told from the rest.
 */
const LIFE = `work() {
  cat /etc/group > /tmp/read && echo done > /tmp/out && cp /tmp/out /tmp/copy && rm /tmp/out &&
  nc 127.0.0.1 1 2>&1 | grep refused && touch /tmp/end && rm /tmp/end
}
trap 'work && echo worked' USR1
trap 'cat ${SECRET} > /tmp/read; echo "attacked $?"' USR2
echo ready
while :; do sleep 1; done`;

describe('Docker containers that are hardened', function () {
  this.timeout(600_000 + STARTS * 20_000);
  let docker: Docker;
  let engine: Engine;
  let station: Station;
  let server: string;
  let version: string | undefined;

  before(async function () {
    if (!canHarden()) this.skip();
    docker = await startDocker({ args: ['--bridge=none', '--iptables=false', '--ip6tables=false'] });
    engine = new Engine(docker);
    station = new Station(
      docker.namespace,
      { docker: { enabled: 'true', socket: docker.socket }, cri: { enabled: 'false' } },
      undefined,
      { gate: { cgroups: [`${docker.cgroupParent}/{id}`], whenStale: 'closed', timeout: '120s', onTimeout: 'kill' } },
    );
  });
  after(() => {
    station?.close();
    docker?.close();
  });

  const attack = ({ privileged, path }: Attack): Promise<string> =>
    engine.start({ service: 'attacker', privileged, command: ['/bin/strike', path] });
  const outcomes = async (): Promise<number[]> => {
    const ended: number[] = [];
    for (const one of ATTACKS) ended.push(await engine.ended(await attack(one)));
    return ended;
  };
  const refused = ATTACKS.map(({ gets }) => gets);
  const held = async (starts: number): Promise<void> => {
    for (let start = 0; start < starts; start++) assert.deepEqual(await outcomes(), refused);
  };

  it('attack with success where there is no agent', async () => {
    assert.deepEqual(await outcomes(), [SUCCESS, SUCCESS]);
  });

  it(`are refused their first attack in ${STARTS} of ${STARTS} starts, privileged or not`, async () => {
    await station.start();
    await station.apply(POLICY);
    await held(STARTS);
    assert.equal(await station.metric('sallyport_gate_opened_total{reason="enforced"}'), STARTS * 2);
  });

  it('are told of with container, processes, executable, rule and object', async () => {
    server = await engine.start({ service: 'attacker', privileged: true, command: ['sleep', '2147483647'] });
    assert.equal(await engine.exec(server, ['sh', '-c', `strike ${CORE_PATTERN}; exit $?`]), ATTACKS[0].gets);
    let event: ViolationEvent | undefined;
    await waitFor(
      'it is told',
      async () => {
        const violations = await station.ask<ViolationEvent[]>('/v1/events', { types: 'violation' });
        event = violations.find(({ containerId, object }) => containerId === server && object === CORE_PATTERN);
        return event !== undefined;
      },
      PATIENCE_MS,
    );
    assert.ok(event);
    const { verdict, action, object, workload, executable, ancestors, rule } = event;
    assert.deepEqual(
      { verdict, action, object, workload, executable },
      {
        verdict: 'Deny',
        action: 'write',
        object: CORE_PATTERN,
        workload: 'shop/Service/attacker',
        executable: '/bin/strike',
      },
    );
    assert.deepEqual([rule?.policy, rule?.name, rule?.ready], ['shop/attacker', 'host', 'no-core-pattern-write']);
    assert.deepEqual(
      ancestors.slice(0, 2).map(({ name }) => name),
      ['strike', 'sh'],
    );
  });

  it('are judged by the profile that the kernel itself names', async () => {
    const [profile] = await station.json<ProfileView[]>(['profile', 'status']);
    assert.ok(profile);
    const { id, enforced, inKernel, wanted, tasks } = profile;
    assert.deepEqual({ id, enforced, inKernel, tasks }, { id: server, enforced: true, inKernel: wanted, tasks: 1 });
    version = inKernel;
  });

  it('are judged when the agent is killed, and those that begin then wait for the next', async () => {
    await station.kill();
    assert.equal(await engine.exec(server, ['strike', CORE_PATTERN]), ATTACKS[0].gets);
    const waiting = Array.from({ length: ORPHANS }, (_, n) => attack(ATTACKS[n % ATTACKS.length]!));
    await station.start();
    const ended = await Promise.all(waiting.map(async (started) => await engine.ended(await started)));
    assert.deepEqual(ended, refused);
    assert.equal(await station.metric('sallyport_gate_opened_total{reason="enforced"}'), ORPHANS);
  });

  it('are taken over by the next agent as they were', async () => {
    const profiles = await station.ask<ProfileView[]>('/v1/profiles');
    assert.deepEqual(
      profiles.map(({ id, enforced, inKernel, wanted }) => [id, enforced, inKernel, wanted]),
      [[server, true, version, version]],
    );
    const { hardening, gate } = await station.ask<StatusView>('/v1/status');
    assert.deepEqual([hardening.active, gate.guarded], [true, true]);
    await held(1);
  });

  describe('that were learnt from', () => {
    let worker: string;
    let file: string;

    /** Lets it work, or attack, and waits until it says how that went. */
    const bid = async (signal: 'USR1' | 'USR2', answer: RegExp): Promise<void> => {
      const before = (await engine.said(worker)).match(answer)?.length ?? 0;
      await engine.signal(worker, signal);
      const answered = async (): Promise<boolean> => ((await engine.said(worker)).match(answer)?.length ?? 0) > before;
      await waitFor('the container has answered', answered, PATIENCE_MS);
    };
    const work = (): Promise<void> => bid('USR1', /^.*worked$/gm);
    const violations = (): Promise<ViolationEvent[]> =>
      station.ask<ViolationEvent[]>('/v1/events', { types: 'violation', about: WORKER });

    before(async () => {
      worker = await engine.start({ service: 'worker', privileged: false, command: ['sh', '-c', LIFE] });
      await waitFor('it is there', async () => (await engine.said(worker)).includes('ready'), PATIENCE_MS);
      file = join(station.directory, 'learnt.yaml');
    });

    it('do all they did, each different thing told', async () => {
      const learning = station.background(['profile', 'learn', WORKER, '--for', '10m', '--out', file]);
      await learning.output(/^Recording/m, PATIENCE_MS);
      await work();
      const isLast = ({ action, object }: ViolationEvent): boolean => action === 'delete' && object === '/tmp/end';
      await waitFor('the last of it is told', async () => (await violations()).some(isLast), PATIENCE_MS);
      // What was told before it says how much that is has reached it.
      const said = learning.stderr.length;
      await waitFor('it has heard that', () => learning.stderr.slice(said).split('so far').length > 2, PATIENCE_MS);
      learning.kill('SIGINT');
      assert.equal((await learning.exited).status, 130, learning.stderr);
      const learnt = readFileSync(file, 'utf8');
      assert.doesNotMatch(learnt, /not told/);
      for (const seen of ['/etc/group', '/tmp/copy']) assert.ok(learnt.includes(seen), learnt);
    });

    it('do it again with nothing to report, as long as it is only simulated, and then where it is enforced', async () => {
      const learnt = readFileSync(file, 'utf8');
      assert.match(learnt, /mode: Stage/);
      await station.apply(learnt);
      const began = Date.now();
      await work();
      // What comes after it in the ring has been read when this has.
      await bid('USR2', /^.*attacked 0$/gm);
      const isAttack = ({ object }: ViolationEvent): boolean => object === SECRET;
      await waitFor('the attack is told', async () => (await violations()).some(isAttack), PATIENCE_MS);
      const reported = (await violations()).filter((event) => Date.parse(event.time) >= began && !isAttack(event));
      assert.deepEqual(
        reported.map(({ action, object }) => `${action} ${object}`),
        [],
      );
      await station.apply(learnt.replace('mode: Stage', 'mode: Enforce'));
      await work();
      await bid('USR2', /^.*attacked [^0]\d*$/gm);
    });
  });
});
