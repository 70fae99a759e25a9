/** What is written for hardened containers, in which order, and what is left of it when something fails. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HardenedContainers } from '../../../src/datapath/hardening/containers.ts';
import type { HardenedContainer } from '../../../src/datapath/hardening-port.ts';
import { SubjectFlags } from '../../../src/datapath/layouts.gen.ts';
import { BPF_F_INNER_MAP, BpfMap, kernelIds } from '../../../src/libbpf/index.ts';
import { Cgroup, cgroup2Mount } from '../../rig/cgroup.ts';
import { waitFor } from '../../rig/cleanup.ts';
import { uniqueName } from '../../rig/names.ts';
import { Background } from '../../rig/process.ts';
import { CountedBearers, containerOf, makeMaps, pagesOf, type Sizes } from './memory.ts';

const SIZES: Sizes = { subjects: 16, cgroups: 16, anchors: 256 };

describe('the tables of hardened containers', () => {
  const closing: (() => void)[] = [];
  afterEach(() => {
    for (const close of closing.splice(0).reverse()) close();
  });

  const cgroup = (): Cgroup => {
    const made = new Cgroup(uniqueName('harden'));
    closing.push(() => made.close());
    return made;
  };
  const placeOf = (made: Cgroup): HardenedContainer['cgroup'] => ({ id: made.id, path: `/${made.name}` });
  const open = (sizes = SIZES) => {
    const maps = makeMaps(sizes);
    const bearers = new CountedBearers();
    closing.push(() => maps.close());
    const start = (): HardenedContainers => {
      const containers = new HardenedContainers({
        maps,
        bearers,
        cgroupRoot: cgroup2Mount(),
        wallClock: (time) => Number(time / 1_000_000n),
      });
      closing.push(() => containers.close());
      return containers;
    };
    return { maps, bearers, start };
  };
  /** How many inner maps there are in the kernel. */
  const profilesAlive = (): number =>
    [...kernelIds('map')].filter((id) => {
      try {
        const map = BpfMap.openById(id);
        map.close();
        return map.name === 'profile' && map.type === 'array';
      } catch {
        return false;
      }
    }).length;

  it('hold a container’s profile, subject, root, mounts and cgroups, those in its cgroup too', async () => {
    const { maps, bearers, start } = open();
    const made = cgroup();
    mkdirSync(join(made.path, 'a/b'), { recursive: true });
    const anchors = [
      { device: 8, inode: 0n, path: '/' },
      { device: 9, inode: 5n, path: '/data' },
    ];
    const container = containerOf('web', placeOf(made), pagesOf(77n, 3), anchors);
    const [status] = await start().apply([container], false);
    assert.deepEqual(status, {
      id: 'web',
      instance: container.instance,
      subject: 1,
      profile: 77n,
      wanted: 77n,
      tasks: 0,
      enforced: true,
    });
    assert.equal(maps.subjects.get(1)?.instance, container.instance);
    assert.deepEqual([maps.subjects.get(1)?.rootDevice, maps.subjects.get(1)?.rootInode], [42, 7n]);
    assert.deepEqual(
      [...maps.cgroups.entries()].map(([, { subject }]) => subject),
      [1, 1, 1],
    );
    const data = maps.anchors.get({ subject: 1, device: 9, inode: 5n });
    assert.equal(Buffer.from(data!.path.subarray(0, data!.length)).toString(), '/data');
    assert.equal(maps.anchors.get({ subject: 1, device: 8, inode: 0n })?.length, 0);
    assert.equal(bearers.looks, 1);
    const inner = maps.profiles.get(1)!;
    assert.equal(inner.maxEntries, 3);
    assert.equal(inner.get(Buffer.from([2, 0, 0, 0]))?.[9], 2);
    assert.throws(() => inner.set(Buffer.from([2, 0, 0, 0]), Buffer.alloc(inner.valueSize)), /PERM|EPERM/);
    inner.close();
  });

  it('share a profile between containers, and drop it with the last of them', async () => {
    const { start } = open();
    const [one, two] = [placeOf(cgroup()), placeOf(cgroup())];
    const containers = start();
    // Those of other tests are freed late.
    await sleep(500);
    const before = profilesAlive();
    await containers.apply([containerOf('one', one, pagesOf(5n)), containerOf('two', two, pagesOf(5n))], false);
    assert.equal(profilesAlive(), before + 1);
    await containers.apply([containerOf('one', one, pagesOf(5n)), containerOf('two', two, pagesOf(6n, 2))], false);
    assert.equal(profilesAlive(), before + 2);
    await containers.apply([containerOf('one', one, pagesOf(6n, 2)), containerOf('two', two, pagesOf(6n, 2))], false);
    await waitFor('the former profile is freed', () => profilesAlive() === before + 1);
    assert.equal(containers.profiles, 1);
  });

  it('are taken over by the next agent as they are: the same number, the mounts of the start, nothing written', async () => {
    const { maps, bearers, start } = open();
    const place = placeOf(cgroup());
    const container = containerOf('web', place, pagesOf(9n), [{ device: 9, inode: 5n, path: '/data' }]);
    const other = containerOf('other', placeOf(cgroup()), pagesOf(9n));
    await start().apply([other, container], false);
    const next = start();
    assert.ok(next.knows(container.instance));
    const lying = { ...container, mounts: () => assert.fail('the mounts are looked at once') };
    const [status] = await next.apply([lying], true);
    assert.deepEqual([status?.subject, status?.profile, status?.enforced], [2, 9n, true]);
    assert.ok(maps.anchors.get({ subject: 2, device: 9, inode: 5n }));
    assert.equal(bearers.looks, 2);
    assert.ok(next.knows(other.instance));
    await next.apply([lying], false);
    assert.ok(next.knows(other.instance), 'its cgroup is still there');
  });

  it('keep what was in force where a new profile cannot be had', async () => {
    const { start } = open();
    const place = placeOf(cgroup());
    const containers = start();
    await containers.apply([containerOf('web', place, pagesOf(9n))], false);
    const broken = { id: 10n, pages: [new Uint8Array(5)] };
    const [status] = await containers.apply([containerOf('web', place, broken)], false);
    assert.deepEqual([status?.profile, status?.wanted, status?.enforced], [9n, 10n, false]);
    assert.match(status?.error ?? '', /pages of 16384 bytes/);
    const [mended] = await containers.apply([containerOf('web', place, pagesOf(10n))], false);
    assert.deepEqual([mended?.profile, mended?.enforced, mended?.error], [10n, true, undefined]);
  });

  it('say which container there is no room for, and have the others', async () => {
    const { start, maps } = open({ subjects: 3, cgroups: 2, anchors: 64 });
    const crowded = cgroup();
    for (const name of ['a', 'b', 'c']) mkdirSync(join(crowded.path, name));
    const containers = start();
    const wanted = [
      containerOf('one', placeOf(cgroup()), pagesOf(5n)),
      containerOf('two', placeOf(crowded), pagesOf(5n)),
      containerOf('three', placeOf(cgroup()), pagesOf(5n)),
    ];
    const statuses = await containers.apply(wanted, false);
    assert.deepEqual(
      statuses.map(({ enforced }) => enforced),
      [true, false, false],
    );
    assert.match(statuses[1]?.error ?? '', /holds at most 2 elements/);
    assert.match(statuses[2]?.error ?? '', /no number is free/);
    assert.equal(maps.subjects.get(2)?.instance, wanted[1]?.instance);
  });

  it('say that processes from before are not judged where they could not be looked for, and look again', async () => {
    const { start, bearers } = open();
    const container = containerOf('web', placeOf(cgroup()), pagesOf(5n));
    bearers.refusal = new RangeError('no memory');
    const containers = start();
    const [failed] = await containers.apply([container], false);
    assert.match(failed?.error ?? '', /from before are not judged: no memory/);
    assert.equal(failed?.enforced, false);
    bearers.refusal = undefined;
    bearers.counts = new Map([[1, 4]]);
    const [status] = await containers.apply([container], false);
    assert.deepEqual([status?.tasks, status?.enforced], [4, true]);
    assert.equal(bearers.looks, 2);
  });

  it('mend what others have changed, and tell it as drift', async () => {
    const { start, maps } = open();
    const place = placeOf(cgroup());
    const container = containerOf('web', place, pagesOf(5n));
    const containers = start();
    await containers.apply([container], false);
    assert.deepEqual(containers.drift(), []);
    maps.profiles.delete(1);
    maps.cgroups.delete(place.id);
    assert.deepEqual(
      containers.drift().map(({ map }) => map),
      ['profiles', 'hardened'],
    );
    await containers.countTasks();
    assert.equal(containers.status()[0]?.enforced, false);
    await containers.apply([container], false);
    assert.deepEqual(containers.drift(), []);
    assert.equal(containers.status()[0]?.enforced, true);
  });

  it('lose a container when nothing runs in its cgroup any more, and not before', async () => {
    const { start, maps } = open();
    const made = cgroup();
    const container = containerOf('web', placeOf(made), pagesOf(5n), [{ device: 9, inode: 5n, path: '/data' }]);
    const containers = start();
    await containers.apply([container], false);
    maps.violations.set({ subject: 1, rule: 3 }, { count: 5n, last: 1n, refilled: 0n, budget: 0, suppressed: 0 });
    const sleeper = new Background(['sleep', '600']);
    closing.push(() => sleeper.close());
    writeFileSync(join(made.path, 'cgroup.procs'), String(sleeper.pid));
    await containers.apply([], false);
    assert.ok(containers.knows(container.instance));
    sleeper.kill('SIGKILL');
    await sleeper.exited;
    await waitFor('nothing runs there', () => made.processes.length === 0);
    await containers.apply([], true);
    assert.ok(containers.knows(container.instance));
    await containers.apply([], false);
    assert.ok(!containers.knows(container.instance));
    assert.equal(maps.subjects.get(1)?.instance, 0n);
    assert.deepEqual([...maps.cgroups.keys()], []);
    assert.deepEqual([...maps.profiles.keys()], []);
    assert.deepEqual(
      [...maps.anchors.keys()].filter(({ subject }) => subject !== 0),
      [],
    );
    assert.deepEqual([...maps.violations.keys()], []);
    assert.deepEqual(containers.violations.counters(), [
      { container: '', rule: 3, staged: false, count: 5n, lastAt: 0 },
    ]);
    assert.deepEqual(containers.status(), []);
  });

  it('give the number of a container that is gone to no other for a while', async () => {
    const { start } = open();
    const containers = start();
    await containers.apply([containerOf('one', placeOf(cgroup()), pagesOf(5n))], false);
    await containers.apply([], false);
    const [status] = await containers.apply([containerOf('two', placeOf(cgroup()), pagesOf(5n))], false);
    assert.equal(status?.subject, 2);
  });

  it('are cleared of what an agent that died had begun to write or to delete', async () => {
    const { start, maps } = open();
    const profile = BpfMap.create({
      type: 'array',
      name: 'profile',
      keySize: 4,
      valueSize: 16384,
      maxEntries: 2,
      flags: BPF_F_INNER_MAP,
    });
    maps.cgroups.set(99n, { instance: 1n, subject: 7 });
    maps.subjects.set(7, {
      instance: 0n,
      rootInode: 0n,
      rootDevice: 0,
      flags: SubjectFlags.SubjectUnsettled,
      cgroups: 0,
    });
    maps.profiles.set(7, profile);
    profile.close();
    maps.anchors.set({ subject: 7, device: 1, inode: 1n }, { length: 0, path: new Uint8Array(248) });
    start();
    assert.deepEqual([...maps.profiles.keys()], []);
    assert.equal(maps.subjects.get(7)?.flags, 0);
    assert.deepEqual([...maps.cgroups.keys()], []);
    assert.deepEqual(
      [...maps.anchors.keys()].filter(({ subject }) => subject !== 0),
      [],
    );
  });
});
