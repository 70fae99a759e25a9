import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { signalHeld } from '../../../src/datapath/gate/processes.ts';
import { waitFor } from '../../rig/cleanup.ts';
import { Background } from '../../rig/process.ts';
import { Gatehouse, type Guest, Hotel, type Room } from './hotel.ts';

/** Longer than anything that was let go takes to begin. */
const WHILE = 300;

describe('the gate', () => {
  let hotel: Hotel;
  let house: Gatehouse;

  before(async () => {
    hotel = await Hotel.open();
    house = new Gatehouse(hotel);
  });
  beforeEach(() => house.load());
  after(() => {
    house?.close();
    hotel?.close();
  });
  afterEach(() => house.reset());

  /** A container whose first process is stopped. */
  const stopped = async (room = hotel.room()): Promise<[Room, Guest]> => {
    const guest = room.begin();
    await guest.isStopped();
    return [room, guest];
  };

  it('stops a new container’s program before its first instruction, and lets it go when it is opened', async () => {
    const [room, guest] = await stopped();
    await sleep(WHILE);
    assert.equal(guest.began, false);
    const [waiting, ...others] = house.gate.waiting();
    assert.deepEqual(others, []);
    assert.equal(waiting?.cgroup, room.id);
    assert.equal(waiting?.name, room.name);
    assert.equal(waiting?.pid, guest.pid);
    assert.ok(waiting.createdAt <= waiting.stoppedAt);
    const { processes, heldMs = 0 } = house.gate.open(room.id);
    assert.equal(processes, 1);
    assert.ok(heldMs >= WHILE, `held ${heldMs} ms`);
    await guest.hasBegun();
    assert.deepEqual(house.gate.waiting(), []);
  });

  it('tells at once who was stopped', async () => {
    const [room, guest] = await stopped();
    await waitFor('it is told', () => house.records.length > 0);
    const [{ operation, cgroup, name, pid } = assert.fail()] = house.records;
    assert.deepEqual([operation, cgroup, name, pid], ['stopped', room.id, room.name, guest.pid]);
  });

  it('lets the runtime’s helpers go on, however many programs they run one after the other', async () => {
    const before = house.gate.counters().helpers;
    const [room] = await stopped();
    // chroot, and what the shell found on its way.
    assert.ok(house.gate.counters().helpers > before);
    house.gate.open(room.id);
  });

  it('stops who comes later while it waits, and nobody once it is open', async () => {
    const [room, first] = await stopped();
    const second = room.begin();
    await second.isStopped();
    await sleep(WHILE);
    assert.deepEqual([first.began, second.began], [false, false]);
    assert.equal(house.gate.open(room.id).processes, 2);
    await Promise.all([first.hasBegun(), second.hasBegun()]);
    const third = room.begin();
    await third.hasBegun();
  });

  it('stops what begins in a cgroup that was made in a waiting one', async () => {
    const room = hotel.room();
    const guest = room.begin('container/of/its/own');
    await guest.isStopped();
    assert.equal(house.gate.waiting()[0]?.cgroup, room.id);
    house.gate.open(room.id);
    await guest.hasBegun();
    await room.begin('container/of/its/own').hasBegun();
    await room.begin(randomBytes(32).toString('hex')).hasBegun();
  });

  it('lets go on what is no container, and what was there before', async () => {
    await hotel.room('unit.service').begin().hasBegun();
    await hotel
      .room(`conmon-${randomBytes(32).toString('hex')}.scope`)
      .begin()
      .hasBegun();
    house.configure({ on: false });
    const early = hotel.room();
    house.configure();
    await early.begin().hasBegun();
  });

  it('lets go on what is excepted, and what lies below that', async () => {
    house.configure({ exceptions: [`/${hotel.cgroup.name}/own`] });
    await hotel.room('own').begin(randomBytes(32).toString('hex')).hasBegun();
  });

  it('holds a container whose process somebody else continues, again and again', async () => {
    const before = house.gate.counters();
    const [room, guest] = await stopped();
    for (let i = 0; i < 50; i++) {
      // One at a time: whoever may do this a thousand times in a row may do anything.
      if (house.gate.guarded) assert.throws(() => process.kill(guest.pid, 'SIGCONT'), { code: 'EPERM' });
      else process.kill(guest.pid, 'SIGCONT');
      await guest.isStopped();
    }
    await sleep(WHILE);
    assert.equal(guest.began, false);
    const told = house.gate.guarded ? 'refused' : 'continued';
    assert.equal(house.gate.counters()[told], before[told] + 50n);
    await waitFor('it is told', () => house.records.some(({ operation }) => operation === told));
    house.gate.open(room.id);
    await guest.hasBegun();
  });

  it('does not let a container begin that another one continues, however often', async () => {
    const outsider = hotel.outsider(`while :; do kill -CONT $(cat /victim); done`);
    const [room, guest] = await stopped();
    outsider.meet(guest);
    const told = house.gate.guarded ? 'refused' : 'condemned';
    await waitFor('it is told', () => house.records.some(({ operation }) => operation === told));
    await sleep(WHILE);
    assert.equal(guest.began, false);
    assert.ok(house.gate.counters()[told] > 0n);
    outsider.close();
    if (!house.gate.guarded) {
      assert.equal(await guest.ended(), 'SIGKILL');
      return;
    }
    assert.equal(guest.stopped, true);
    house.gate.open(room.id);
    await guest.hasBegun();
  });

  it('forgets a container that is killed and removed while it waits', async () => {
    const [room, guest] = await stopped();
    process.kill(guest.pid, 'SIGKILL');
    assert.equal(await guest.ended(), 'SIGKILL');
    room.cgroup.close();
    assert.deepEqual(house.gate.waiting(), []);
    assert.deepEqual(house.gate.open(room.id), { processes: 0 });
  });

  it('kills what waits, and goes on stopping what comes', async () => {
    const [room, guest] = await stopped();
    assert.equal(house.gate.kill(room.id).processes, 1);
    assert.equal(await guest.ended(), 'SIGKILL');
    assert.equal(guest.began, false);
    await stopped(room);
  });

  it('signals no process but the one that was stopped', async () => {
    const [room, guest] = await stopped();
    house.gate.openAll();
    await guest.hasBegun();
    assert.equal(signalHeld(guest.pid, 1n, 'SIGKILL'), false);
    assert.equal(guest.process.running, true);
    assert.equal(signalHeld(0x7ffffff, 1n, 'SIGKILL'), false);
    room.cgroup.close();
  });

  describe('without an agent', () => {
    it('lets new containers go where it is to, and for good', async () => {
      house.configure({ whenStale: 'open', staleAfterMs: 1 });
      await sleep(10);
      const room = hotel.room();
      await room.begin().hasBegun();
      assert.equal(house.gate.counters().stale, 1n);
      await waitFor('it is told', () => house.records.some(({ operation }) => operation === 'stale'));
      house.configure();
      await room.begin().hasBegun();
    });

    it('takes note in the moment it ends', async () => {
      const agent = new Background(['sleep', '1000']);
      house.configure({ whenStale: 'open', agent: agent.pid });
      const [room, guest] = await stopped();
      const { stale } = house.gate.counters();
      agent.close();
      await hotel.room().begin().hasBegun();
      assert.equal(house.gate.counters().stale, stale + 1n);
      assert.equal(guest.began, false, 'what it had not opened waits for the next one');
      house.configure();
      house.gate.open(room.id);
      await guest.hasBegun();
      await stopped();
    });

    it('goes on stopping them where it is to, and the next agent finds them', async () => {
      house.configure({ whenStale: 'closed', staleAfterMs: 1 });
      house.leave();
      const [room, guest] = await stopped();
      house.load();
      assert.deepEqual(
        house.gate.waiting().map(({ cgroup }) => cgroup),
        [room.id],
      );
      const late = room.begin();
      await late.isStopped();
      house.gate.open(room.id);
      await Promise.all([guest.hasBegun(), late.hasBegun()]);
    });

    it('lets all go when enforcement is removed', async () => {
      const [, guest] = await stopped();
      house.remove();
      await guest.hasBegun();
    });
  });

  describe('that is full', () => {
    const crowd = async (): Promise<void> => {
      house.remove();
      house.load({}, 2);
      for (let i = 0; i < 2; i++) await stopped();
    };
    afterEach(() => {
      house.remove();
    });

    it('lets others go where it is to, and counts them', async () => {
      await crowd();
      await hotel.room().begin().hasBegun();
      assert.equal(house.gate.counters().full, 1n);
    });

    it('kills others where it is to, and counts them', async () => {
      await crowd();
      house.configure({ whenFull: 'kill' });
      const guest = hotel.room().begin();
      assert.equal(await guest.ended(), 'SIGKILL');
      assert.equal(guest.began, false);
      assert.equal(house.gate.counters().killed, 1n);
    });
  });
});
