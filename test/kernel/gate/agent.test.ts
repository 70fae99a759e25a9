import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EndpointView } from '../../../src/agent/api/contract.ts';
import { waitFor } from '../../rig/cleanup.ts';
import { Namespace } from '../../rig/netns.ts';
import { Station } from '../agent/station.ts';
import { type Guest, Hotel, type Room } from './hotel.ts';

/** Longer than anything that was let go takes to begin. */
const WHILE = 500;

describe('an agent with containers that wait to begin', function () {
  this.timeout(300_000);
  let namespace: Namespace;
  /** Whose containers a source tells of, and whose none does. */
  let known: Hotel;
  let unknown: Hotel;
  let station: Station;

  before(async () => {
    namespace = await Namespace.create('gate');
    const within = (command: readonly string[]): string[] => namespace.enter(command);
    known = await Hotel.open(within);
    unknown = await Hotel.open(within);
  });
  after(() => {
    known?.close();
    unknown?.close();
    namespace?.close();
  });
  afterEach(() => station?.close());

  const settle = (gate: object, settings: object = {}): void => {
    station = new Station(
      namespace,
      {
        docker: { enabled: 'false' },
        cri: { enabled: 'false' },
        cgroups: [{ path: `/${known.cgroup.name}/*`, workload: 'test/Unit/{name}' }],
      },
      undefined,
      { gate: { cgroups: [`/${unknown.cgroup.name}/{id}`], ...gate }, ...settings },
    );
  };
  const stopped = async (room: Room): Promise<Guest> => {
    const guest = room.begin();
    await guest.isStopped();
    return guest;
  };
  const opened = (reason: string): Promise<number> => station.metric(`sallyport_gate_opened_total{reason="${reason}"}`);

  it('lets one begin when it is enforced', async () => {
    settle({});
    await station.start();
    const room = known.room();
    await room.begin().hasBegun();
    const endpoints = await station.json<EndpointView[]>(['endpoint', 'list']);
    const own = endpoints.find(({ id }) => id === `/${known.cgroup.name}/${room.name}`);
    assert.equal(own?.enforced, true);
    assert.equal(await opened('enforced'), 1);
    assert.equal(await station.metric('sallyport_gate_hold_seconds_count'), 1);
    assert.equal(await station.metric('sallyport_gate_active'), 1);
    // Open for good.
    await room.begin().hasBegun();
    assert.equal(await station.metric('sallyport_gate_stops_total'), 1);
  });

  it('shows who waits', async () => {
    settle({ timeout: '10m' });
    await station.start();
    const room = unknown.room();
    const guest = await stopped(room);
    await waitFor('it is shown', async () => (await station.status()).gate.waiting.length === 1);
    const { gate } = await station.status();
    assert.equal(gate.on, true);
    const [{ name, cgroup, pid } = assert.fail()] = gate.waiting;
    assert.deepEqual([name, cgroup, pid], [room.name, String(room.id), guest.pid]);
    assert.equal(await station.metric('sallyport_gate_waiting'), 1);
    assert.match((await station.cli(['status'])).stdout, /^gate +on.* 1 containers wait$/m);
  });

  it('lets one begin that nobody tells of, when its time is over, and says so', async () => {
    settle({ timeout: '1s' });
    await station.start();
    const room = unknown.room();
    const guest = await stopped(room);
    await sleep(WHILE);
    assert.equal(guest.began, false);
    await guest.hasBegun();
    assert.equal(await opened('timeout'), 1);
    assert.equal(await station.metric('sallyport_gate_timeouts_total{outcome="open"}'), 1);
    const events = await station.json<{ action: string; subject: string }[]>([
      'event',
      'list',
      '--raw',
      '--type',
      'gate',
    ]);
    assert.ok(events.some(({ action, subject }) => action === 'opened' && subject === room.name));
  });

  it('kills one that nobody tells of where it is to, and whoever comes into it after', async () => {
    settle({ timeout: '1s', onTimeout: 'kill' });
    await station.start();
    const room = unknown.room();
    const guest = await stopped(room);
    assert.equal(await guest.ended(), 'SIGKILL');
    const late = room.begin();
    assert.equal(await late.ended(), 'SIGKILL');
    assert.deepEqual([guest.began, late.began], [false, false]);
    assert.equal(await station.metric('sallyport_gate_timeouts_total{outcome="kill"}'), 1);
    await known.room().begin().hasBegun();
  });

  it('killed while they wait, is found again by the next one, which lets them begin', async () => {
    settle({ whenStale: 'closed', staleAfter: '300ms' });
    await station.start();
    await station.kill();
    const guest = await stopped(known.room());
    await sleep(2 * WHILE);
    const later = await stopped(known.room());
    assert.deepEqual([guest.began, later.began], [false, false]);
    await station.start();
    await Promise.all([guest.hasBegun(), later.hasBegun()]);
    assert.equal(await opened('enforced'), 2);
  });

  it('killed, no longer keeps them waiting where that is not wanted', async () => {
    settle({ whenStale: 'open', staleAfter: '300ms' });
    await station.start();
    await station.kill();
    await sleep(WHILE);
    await known.room().begin().hasBegun();
    await station.start();
    assert.equal(await station.metric('sallyport_gate_bypasses_total{reason="stale"}'), 1);
  });

  for (const [what, gate, settings] of [
    ['and containers are to begin without one', { whenStale: 'open' }, {}],
    ['and takes enforcement with it', { whenStale: 'closed' }, { fail: { stop: 'open' } }],
  ] as const) {
    it(`stopped, lets go who waits where it goes ${what}`, async () => {
      settle({ timeout: '10m', ...gate }, settings);
      await station.start();
      const guest = await stopped(unknown.room());
      await waitFor('it is shown', async () => (await station.status()).gate.waiting.length === 1);
      assert.equal(await station.stop(), 0);
      await guest.hasBegun();
      await unknown.room().begin().hasBegun();
    });
  }

  it('stopped, leaves them waiting where they are to, until enforcement is removed', async () => {
    settle({ timeout: '10m', whenStale: 'closed' });
    await station.start();
    const guest = await stopped(unknown.room());
    assert.equal(await station.stop(), 0);
    const later = await stopped(unknown.room());
    await sleep(WHILE);
    assert.deepEqual([guest.began, later.began], [false, false]);
    const { status, stderr } = await station.remove();
    assert.equal(status, 0, stderr);
    await Promise.all([guest.hasBegun(), later.hasBegun()]);
  });

  it('lets all begin where the gate is switched off, those an earlier one left waiting too', async () => {
    settle({ timeout: '10m', whenStale: 'closed' });
    await station.start();
    await station.kill();
    const guest = await stopped(unknown.room());
    station.configure({ ...station.settings, gate: { enabled: false } });
    await station.start();
    await guest.hasBegun();
    await unknown.room().begin().hasBegun();
    assert.equal((await station.status()).gate.on, false);
  });
});
