/** Ways round the rules: other names, mounts, roots, descriptors, threads and cgroups for the same object and task. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ProfileFormat } from '../../../src/datapath/layouts.gen.ts';
import { cgroupId } from '../../../src/libbpf/index.ts';
import { Cgroup } from '../../rig/cgroup.ts';
import { buildIntruder } from '../../rig/intruder.ts';
import { uniqueName } from '../../rig/names.ts';
import { run } from '../../rig/process.ts';
import { canHarden, profileOf } from './cage.ts';
import { Compound, type Engine, giveEngineBack, type Intruder, takeEngine } from './engine.ts';

/** 255 bytes, the longest there is. */
const LONG = 'n'.repeat(255);

const RULES = `[
  {name: secret, action: Deny, files: {paths: [/etc/secret, /etc/keep/**, /data/closed, /deep/**/buried, /tmp/${LONG}]}},
  {name: kernel, action: Deny, files: {paths: [/proc/sys/kernel/**], access: [write]}},
  ]`;

/** To /etc/secret or what lies in /etc/keep, each of which `read` finds without rules. */
const WAYS: readonly string[] = [
  'by-symlink /tmp/way /etc/secret',
  'by-symlink /tmp/way ../etc/../etc/secret',
  'by-proc-root /etc/secret',
  'by-directory /etc secret',
  'by-descriptor /etc/secret',
  'by-bind /etc /mnt secret',
  'by-bind /etc/keep/inner /mnt one',
  'by-bind / /mnt etc/secret',
  'by-bind /data /mnt closed',
  'by-pivot /etc /mnt /secret',
  'by-pivot /etc/keep /mnt /inner/one',
  'by-tree /etc secret',
  'by-tree /etc/keep inner/one',
  'by-chroot /etc /secret',
  'by-chroot /etc/keep/inner /one',
  'by-handle /data/closed /data',
  'by-ring /etc/secret',
  'by-overlay /etc /mnt /empty secret',
  'by-overlay /etc/keep /mnt /empty inner/one',
  'by-overlay /data /mnt /empty closed',
  'unshared by-overlay /data /mnt /empty closed',
  'go /etc/keep/inner read one',
  'as-daemon read /etc/secret',
  'unshared read /etc/secret',
  'unshared by-bind /etc /mnt secret',
  'unshared by-chroot /etc /secret',
  'unshared as-daemon by-pivot /etc /mnt /secret',
  'as 1000 read /etc/secret',
];

describe('ways round the rules of a container', function () {
  this.timeout(600_000);
  let engine: Engine;
  let compound: Compound;
  let inside: Intruder;
  let outside: Intruder;
  let other: Cgroup;

  before(async function () {
    if (!canHarden()) this.skip();
    await buildIntruder();
    engine = takeEngine();
    compound = new Compound(engine, 5);
    await compound.mount();
    other = new Cgroup(uniqueName('other'));
    outside = await compound.intruder(true);
    inside = await compound.intruder();
    for (const attempt of [`create /tmp/${LONG}`, 'make-deep 3 buried', 'go /deep make-deep 3 buried']) {
      assert.equal(await outside.try(...attempt.split(' ')), 'ok', attempt);
    }
    for (const [depth, name] of [
      [70, 'buried'],
      [70, 'plain'],
      [1000, 'buried'],
      [1000, 'plain'],
    ] as const) {
      assert.equal(await outside.try('go', '/deep', 'make-deep', String(depth), name), 'ok');
    }
    compound.harden(inside, profileOf(RULES));
  });
  after(async () => {
    await compound?.close();
    other?.close();
    giveEngineBack();
  });
  const attempt = (what: string): Promise<string> => inside.try(...what.split(' '));

  for (const way of WAYS) {
    it(`are refused: ${way}`, async () => {
      assert.equal(await outside.try(...way.split(' ')), 'ok', 'there is no such way');
      assert.equal(await attempt(way), 'EACCES');
    });
  }

  it('do not grow with the depth of a path', async () => {
    for (const depth of ['3', '70', '1000']) {
      assert.equal(await attempt(`go /deep read-deep ${depth} buried`), 'EACCES', `${depth} directories below`);
    }
    for (const depth of ['70', '1000']) assert.equal(await attempt(`go /deep read-deep ${depth} plain`), 'ok');
  });

  it('do not grow with the length of a name', async () => {
    assert.equal(await attempt(`read /tmp/${LONG}`), 'EACCES');
    assert.equal(await attempt(`create /tmp/${LONG.slice(1)}`), 'ok');
  });

  it('are not opened by a proc file system of its own', async () => {
    mkdirSync(join(compound.root, 'mnt/proc'), { recursive: true });
    assert.equal(await attempt('write /proc/sys/kernel/core_pattern'), 'EACCES');
    assert.equal(await attempt('read /proc/sys/kernel/core_pattern'), 'ok');
    assert.equal(await attempt('by-bind /proc/sys/kernel /mnt core_pattern'), 'ok');
  });

  it('are refused to descriptors that somebody passes, of its own files and of others', async () => {
    for (const [path, wanted] of [
      ['/etc/secret', 'EACCES'],
      ['/etc/plain', 'ok'],
    ] as const) {
      const socket = join(compound.root, 'tmp', `socket${path.length}`);
      const giver = compound.start('give', join(compound.root, path), socket);
      await giver.output(/ready/, 60_000);
      assert.equal(await attempt(`take /tmp/socket${path.length}`), wanted, path);
      giver.close();
    }
  });

  it('are refused to a process that went to another cgroup', async () => {
    const cgroup = `/cg/${other.name}`;
    assert.equal(await attempt(`elsewhere ${cgroup} read /etc/secret`), 'EACCES');
    assert.equal(await attempt(`elsewhere ${cgroup} as-daemon read /etc/secret`), 'EACCES');
    assert.equal(await attempt(`elsewhere /cg read /etc/secret`), 'EACCES');
  });

  it('are refused in a cgroup that the container has made, and to who goes there from outside', async () => {
    const made = `${compound.cgroup.path}/made`;
    assert.equal(await attempt(`mkdir /cg/${compound.cgroup.name}/made`), 'ok');
    assert.equal(await outside.try('elsewhere', `/cg/${compound.cgroup.name}/made`, 'read', '/etc/secret'), 'EACCES');
    const path = join(compound.root, 'etc/secret');
    assert.equal(await run([`${compound.root}/bin/intruder`, 'born', made, 'read', path]), 'EACCES\n');
    assert.equal(await outside.try('read', '/etc/secret'), 'ok');
  });

  it('are refused in cgroups beyond those of one container that the kernel lists', async () => {
    const { maps } = engine;
    const row = maps.subjects.get(5)!;
    assert.ok(row.cgroups > 0, 'those that were made are counted');
    maps.subjects.set(5, { ...row, cgroups: ProfileFormat.ContainerCgroups });
    assert.equal(await attempt(`mkdir /cg/${compound.cgroup.name}/more`), 'ok');
    assert.equal(maps.cgroups.get(cgroupId(`${compound.cgroup.path}/more`)), undefined);
    const path = `/cg/${compound.cgroup.name}/more`;
    assert.equal(await outside.try('elsewhere', path, 'read', '/etc/secret'), 'EACCES');
    maps.subjects.set(5, row);
  });

  it('are refused to who is born into its cgroup, or comes there, by the way of the host', async () => {
    const path = join(compound.root, 'etc/secret');
    const born = [`${compound.root}/bin/intruder`, 'born', compound.cgroup.path, 'read', path];
    assert.equal(await run(born), 'EACCES\n');
    const entered = await compound.intruder();
    assert.equal(await entered.try('read', '/etc/secret'), 'EACCES');
    assert.equal(await entered.try('read', '/etc/plain'), 'ok');
  });

  it("are refused in the host's mount namespace", async () => {
    const path = join(compound.root, 'etc/secret');
    const host = `/proc/${process.pid}/ns/mnt`;
    assert.equal(await outside.try('with-mounts-of', host, 'read', path), 'ok');
    assert.equal(await attempt(`with-mounts-of ${host} read ${path}`), 'EACCES');
  });

  it('are refused by a file that was opened before there were any rules', async () => {
    const early = new Compound(engine, 6);
    try {
      await early.mount();
      const keeper = await early.intruder();
      assert.equal(await keeper.try('keepw', '/etc/secret'), 'ok');
      early.harden(keeper, profileOf(RULES));
      const adopted = (await engine.adopt())
        .trim()
        .split('\n')
        .map((line) => line.split(' '));
      assert.deepEqual(
        adopted.filter(([pid]) => Number(pid) === keeper.process.pid),
        [[String(keeper.process.pid), '6', '1']],
      );
      assert.equal(await keeper.try('use'), 'EACCES');
      assert.equal(await keeper.try('usew'), 'EACCES');
      assert.equal(await keeper.try('keepw', '/etc/plain'), 'ok');
      for (let i = 0; i < 3; i++) assert.equal(await keeper.try('use'), 'ok');
      // Rules that come later bind what is open then, in the same way.
      early.engine.judge(6, profileOf(`[{name: plain, action: Deny, files: {paths: [/etc/plain], access: [write]}}]`));
      assert.equal(await keeper.try('use'), 'ok');
      assert.equal(await keeper.try('usew'), 'EACCES');
    } finally {
      await early.close();
    }
  });

  it('are refused all along while profiles are replaced', async () => {
    writeFileSync(join(compound.root, 'tmp/nothing'), '');
    const profiles = ['one', 'two'].map((name) => profileOf(RULES.replace('name: kernel', `name: ${name}`)));
    const hammering = inside.try('hammer', '15', '/etc/secret');
    let swaps = 0;
    let over = false;
    hammering.finally(() => {
      over = true;
    });
    while (!over) {
      engine.judge(5, profiles[swaps++ % 2]!);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    assert.equal(await hammering, 'ok');
    // Each at least once, and once again; a slow machine does little more.
    assert.ok(swaps > 2, `only ${swaps} profiles`);
  });

  it('are refused to the last task of a container that is no more', async () => {
    const orphan = new Compound(engine, 7);
    try {
      await orphan.mount();
      const inside = await orphan.intruder();
      orphan.harden(inside, profileOf(RULES));
      assert.equal(await inside.try('read', '/etc/plain'), 'ok');
      engine.maps.subjects.set(7, { ...engine.maps.subjects.get(7)!, instance: 1n });
      assert.equal(await inside.try('read', '/etc/plain'), 'EACCES');
    } finally {
      await orphan.close();
    }
  });
});
