import assert from 'node:assert/strict';
import { Station } from '../../kernel/agent/station.ts';
import { waitFor } from '../../rig/cleanup.ts';
import { type Docker, startDocker } from '../../rig/docker.ts';
import { IMAGE } from '../../rig/image.ts';
import { addressOf, strikeCommand, Victim } from '../../rig/strike.ts';
import { inParallel, OUTCOME, PORT, STARTS, toldOf } from './strikes.ts';

describe('a Docker container whose first instruction attacks', function () {
  this.timeout(120_000 + STARTS * 5_000);
  let docker: Docker;
  let station: Station;
  let victim: Victim;
  let address: string;

  before(async () => {
    docker = await startDocker();
    address = await addressOf(docker.namespace, 'docker0');
    victim = await Victim.start(docker.namespace, PORT);
    station = new Station(
      docker.namespace,
      { docker: { enabled: 'true', socket: docker.socket }, cri: { enabled: 'false' } },
      undefined,
      { gate: { cgroups: [`${docker.cgroupParent}/{id}`], whenStale: 'closed' } },
    );
  });
  after(() => {
    station?.close();
    victim?.close();
    docker?.close();
  });

  /** Runs the attack in a container of its own; what it achieved. */
  const strike = async (id: number): Promise<number | null> => {
    const labels = ['com.docker.compose.project=shop', 'com.docker.compose.service=attacker'];
    const args = ['run', '--rm', ...labels.flatMap((label) => ['--label', label]), IMAGE];
    const { status } = await docker.attempt([...args, ...strikeCommand({ address, port: PORT }, id)], {
      timeout: 120_000,
    });
    return status;
  };

  it('reaches its victim where there is no agent', async () => {
    assert.equal(await strike(1), OUTCOME.ran | OUTCOME.sent | OUTCOME.connected);
    await waitFor('both arrive', () => victim.reached.includes('udp 1') && victim.reached.includes('tcp 1'));
  });

  it(`is stopped before it in ${STARTS} of ${STARTS} starts`, async () => {
    await station.start();
    await station.apply(DENIED);
    const before = victim.reached.length;
    const outcomes = await inParallel(STARTS, (index) => strike(100 + index));
    assert.deepEqual(victim.reached.slice(before), []);
    assert.deepEqual(
      outcomes.filter((outcome) => outcome !== OUTCOME.ran && outcome !== (OUTCOME.ran | OUTCOME.sent)),
      [],
    );
    assert.equal(await station.metric('sallyport_gate_hold_seconds_count'), STARTS);
    assert.equal(await station.metric('sallyport_gate_opened_total{reason="enforced"}'), STARTS);
    assert.equal(await station.metric('sallyport_gate_waiting'), 0);
    console.log(await toldOf(station));
  });
});

const DENIED = `apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: {name: attacker, namespace: shop}
spec:
  subject: {workload: Service/attacker}
  egress: [{name: nobody, action: Deny}]
`;
