/** What hardening promises of pods' containers, which containerd begins behind its CRI; as docker.test.ts beside it. */
import assert from 'node:assert/strict';
import { setTimeout } from 'node:timers/promises';
import { Station } from '../../kernel/agent/station.ts';
import { canHarden } from '../../kernel/hardening/cage.ts';
import { type Containerd, type Pod, startContainerd } from '../../rig/containerd.ts';
import { ATTACKS, type Attack, attackerPolicy, STARTS, SUCCESS } from './attacks.ts';

const CONTAINER = 'attacker';
const LOOK_MS = 20;

describe('Pods’ containers that are hardened', function () {
  this.timeout(600_000 + STARTS * 20_000);
  let containerd: Containerd;
  let station: Station;
  let pods = 0;

  before(async function () {
    if (!canHarden()) this.skip();
    containerd = await startContainerd();
    station = new Station(
      containerd.namespace,
      { docker: { enabled: 'false' }, cri: { enabled: 'true', socket: containerd.socket } },
      undefined,
      {
        gate: {
          cgroups: [`${containerd.cgroupParent}/**/{id}`],
          whenStale: 'closed',
          timeout: '120s',
          onTimeout: 'kill',
        },
      },
    );
  });
  after(() => {
    station?.close();
    containerd?.close();
  });

  const createPod = async ({ privileged }: Attack): Promise<Pod> => {
    pods += 1;
    return await containerd.createPod({ name: `attack-${pods}`, namespace: 'shop', hostNetwork: true, privileged });
  };
  /** The exit status of an attack by the first instructions of a pod's only container. */
  const attack = async (how: Attack): Promise<number> => {
    const pod = await createPod(how);
    const container = await pod.createContainer(CONTAINER, ['/bin/strike', how.path]);
    let status: number | undefined;
    for (; status === undefined; status = await container.exitStatus()) await setTimeout(LOOK_MS);
    await pod.remove();
    return status;
  };
  const outcomes = async (): Promise<number[]> => {
    const ended: number[] = [];
    for (const one of ATTACKS) ended.push(await attack(one));
    return ended;
  };
  const refused = ATTACKS.map(({ gets }) => gets);

  it('attack with success where there is no agent', async () => {
    assert.deepEqual(await outcomes(), [SUCCESS, SUCCESS]);
  });

  it(`are refused their first attack in ${STARTS} of ${STARTS} starts, privileged or not`, async () => {
    await station.start();
    await station.apply(attackerPolicy('Pod/attack-*'));
    for (let start = 0; start < STARTS; start++) assert.deepEqual(await outcomes(), refused);
    // Each pod's own first, then its container.
    assert.equal(await station.metric('sallyport_gate_opened_total{reason="enforced"}'), STARTS * ATTACKS.length * 2);
  });

  it('wait for an agent that has been killed, and are refused it then', async () => {
    const pod = await createPod(ATTACKS[0]);
    await station.kill();
    const waiting = pod.createContainer(CONTAINER, ['/bin/strike', ATTACKS[0].path]);
    await station.start();
    const container = await waiting;
    let status: number | undefined;
    for (; status === undefined; status = await container.exitStatus()) await setTimeout(LOOK_MS);
    assert.equal(status, ATTACKS[0].gets);
    await pod.remove();
  });
});
