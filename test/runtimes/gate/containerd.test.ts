import assert from 'node:assert/strict';
import { Station } from '../../kernel/agent/station.ts';
import { waitFor } from '../../rig/cleanup.ts';
import { type Containerd, startContainerd } from '../../rig/containerd.ts';
import { addressOf, strikeCommand, Victim } from '../../rig/strike.ts';
import { inParallel, OUTCOME, PORT, STARTS, toldOf } from './strikes.ts';

/** Of the container alone: while nobody knows it, its pod may do everything. */
const DENIED = `apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: {name: attacker, namespace: default}
spec:
  subject: {workload: Pod/attack-*, container: attacker}
  egress: [{name: nobody, action: Deny, to: [{entity: host}, {entity: world}]}]
`;

describe('a pod’s container whose first instruction attacks', function () {
  this.timeout(180_000 + STARTS * 10_000);
  let containerd: Containerd;
  let station: Station;
  let victim: Victim;
  let address: string;

  before(async () => {
    containerd = await startContainerd();
    // The bridge is made with the first pod.
    const pod = await containerd.createPod({ name: 'early' });
    address = await addressOf(containerd.namespace, 'cni0');
    await pod.remove();
    victim = await Victim.start(containerd.namespace, PORT);
    station = new Station(
      containerd.namespace,
      { docker: { enabled: 'false' }, cri: { enabled: 'true', socket: containerd.socket } },
      undefined,
      { gate: { cgroups: [`${containerd.cgroupParent}/**/{id}`], whenStale: 'closed', timeout: '60s' } },
    );
  });
  after(() => {
    station?.close();
    victim?.close();
    containerd?.close();
  });

  /** Runs the attack in the only container of a pod; its exit status. */
  const strike = async (id: number): Promise<number> => {
    const pod = await containerd.createPod({ name: `attack-${id}` });
    const container = await pod.createContainer('attacker', strikeCommand({ address, port: PORT }, id));
    let status: number | undefined;
    await waitFor(
      `attack ${id} ends`,
      async () => {
        status = await container.exitStatus();
        return status !== undefined;
      },
      90_000,
    );
    await pod.remove();
    return status ?? -1;
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
    // The pod's own first, then the container.
    assert.equal(await station.metric('sallyport_gate_opened_total{reason="enforced"}'), STARTS * 2);
    assert.equal(await station.metric('sallyport_gate_waiting'), 0);
    console.log(await toldOf(station));
  });
});
