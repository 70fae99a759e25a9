/** Hardened containers in the kernel over the lives of agents: nothing is shed, and there is no moment in between. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HardenedContainer, HardeningStatus, ViolationRecord } from '../../../src/datapath/hardening-port.ts';
import { openDatapath } from '../../../src/datapath/index.ts';
import { mapDirectory } from '../../../src/datapath/maps.ts';
import type { Datapath, DatapathOptions } from '../../../src/datapath/port.ts';
import { mountBpffs } from '../../../src/libbpf/index.ts';
import { cgroup2Mount } from '../../rig/cgroup.ts';
import { waitFor } from '../../rig/cleanup.ts';
import { Background } from '../../rig/process.ts';
import { residue, type Snapshot, takeSnapshot } from '../../rig/residue.ts';
import { OBJECTS, SIZES } from '../datapath/laboratory.ts';
import { Cage, canHarden, profileOf } from './cage.ts';

const SWAPS = 1000;
const COMERS = 300;

/** Children that read without a pause are put into a cgroup one after the other; prints how many were refused a read. */
const COME_IN_WORKING = `
import os, sys, time
refused = 0
for _ in range(int(sys.argv[2])):
  ready, begun = os.pipe()
  child = os.fork()
  if child == 0:
    source = os.open("/dev/zero", os.O_RDONLY)
    os.write(begun, b".")
    try:
      for _ in range(400): os.read(source, 1)
    except OSError: os._exit(1)
    os._exit(0)
  os.read(ready, 1)
  os.close(ready); os.close(begun)
  try: open(sys.argv[1] + "/cgroup.procs", "w").write(str(child))
  except ProcessLookupError: pass
  refused += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(f"{refused} refused", flush=True)
`;

describe('hardened containers', function () {
  this.timeout(600_000);
  let directory: string;
  let options: DatapathOptions;
  let datapath: Datapath;
  let untouched: Snapshot;
  const cages: Cage[] = [];

  before(async function () {
    if (!canHarden()) this.skip();
    untouched = await takeSnapshot();
    mountBpffs('/sys/fs/bpf');
    directory = mkdtempSync(join(tmpdir(), 'sallyport-test-harden-'));
    for (const name of ['secret', 'other', 'plain']) writeFileSync(join(directory, name), name);
    options = {
      objects: OBJECTS,
      pins: mkdtempSync('/sys/fs/bpf/sallyport-test-'),
      cgroupRoot: cgroup2Mount(),
      sizes: SIZES,
      events: { ratePerSecond: 100, burst: 100 },
    };
    datapath = openDatapath(options);
  });
  afterEach(async () => {
    for (const cage of cages.splice(0)) cage.close();
    await datapath?.hardening.apply([]);
  });
  after(() => {
    if (options === undefined) return;
    datapath.remove();
    rmSync(options.pins, { recursive: true, force: true });
    rmSync(directory, { recursive: true });
  });

  const cage = (): Cage => {
    const made = new Cage();
    cages.push(made);
    return made;
  };
  const path = (name: string): string => join(directory, name);
  const deny = (...names: readonly string[]): HardenedContainer['profile'] =>
    profileOf(`[{name: secrets, action: Deny, files: {paths: [${names.map(path).join(', ')}]}}]`);
  const harden = async (...containers: readonly HardenedContainer[]): Promise<readonly HardeningStatus[]> => {
    const statuses = await datapath.hardening.apply(containers);
    for (const { id, error } of statuses) assert.equal(error, undefined, `${id}: ${error}`);
    return statuses;
  };
  const links = (): string[] => readdirSync(join(mapDirectory(options.pins), 'hardening'));

  it('need no program of the kernel as long as there are none', async () => {
    assert.ok(datapath.hardening.active, datapath.hardening.reason);
    assert.deepEqual(await datapath.hardening.apply([]), []);
    assert.ok(!existsSync(join(mapDirectory(options.pins), 'hardening')));
  });

  it('are judged by programs that hang where they should', async () => {
    await harden(cage().container(deny('secret')));
    const { active, reason, missing } = datapath.hardening;
    assert.ok(active, reason);
    const hung = datapath.programs().filter(({ attachments }) => attachments.some((hook) => hook.startsWith('lsm/')));
    assert.ok(hung.length > 0);
    assert.deepEqual(new Set(links()).size, links().length);
    for (const { name } of hung) assert.ok(links().includes(name), `${name} has no pin`);
    for (const [name, why] of missing) assert.match(why, /has no hook/, name);
  });

  it('are seen by whoever looks for what tests leave behind', async () => {
    const left = residue(untouched, await takeSnapshot());
    assert.ok(left.some(({ kind, what }) => kind === 'bpf link' && /of lsm program/.test(what)));
    assert.ok(left.some(({ kind, what }) => kind === 'pin' && what.endsWith('/hardening/inherit_bearer')));
  });

  it('are refused what their policy denies, those that were there before too, and nobody else is', async () => {
    const one = cage();
    const early = await one.servant();
    assert.equal(await early.do('read', path('secret')), 'ok');
    assert.equal(await early.do('keep', path('other')), 'ok');
    const profile = deny('secret');
    const [status] = await harden(one.container(profile));
    assert.equal(await early.do('read', path('secret')), 'EACCES');
    assert.equal(await early.do('fork', 'fork', 'read', path('secret')), 'EACCES');
    assert.equal(await early.do('read', path('plain')), 'ok');
    const late = await one.servant();
    assert.equal(await late.do('read', path('secret')), 'EACCES');
    const stranger = await cage().servant();
    assert.equal(await stranger.do('read', path('secret')), 'ok');
    assert.deepEqual([status?.profile, status?.enforced, status?.tasks], [profile.id, true, 1]);
    await datapath.hardening.countTasks();
    assert.equal(datapath.hardening.status()[0]?.tasks, 2);
  });

  it('refuse nothing they allow to those that come in at work', async () => {
    const busy = cage();
    await harden(busy.container(deny('secret')));
    const comers = new Background(['python3', '-c', COME_IN_WORKING, busy.cgroup.path, String(COMERS)]);
    try {
      assert.deepEqual([...(await comers.output(/\d+ refused\n/, 300_000))], ['0 refused\n']);
    } finally {
      comers.close();
    }
  });

  it('shed nothing by going to another cgroup, nor by making one of their own', async () => {
    const [one, other] = [cage(), cage()];
    const below = join(one.cgroup.path, 'before');
    mkdirSync(below);
    await harden(one.container(deny('secret')));
    const servant = await one.servant();
    for (const where of [other.cgroup.path, below, one.cgroup.path, cgroup2Mount()]) {
      assert.equal(await servant.do('move', where), 'ok');
      assert.equal(await servant.do('read', path('secret')), 'EACCES', where);
    }
    const inside = await one.servant();
    assert.equal(await inside.do('mkdir', join(one.cgroup.path, 'after')), 'ok');
    for (const name of ['before', 'after']) {
      const entering = await one.servant();
      const stranger = await other.servant();
      assert.equal(await entering.do('move', join(one.cgroup.path, name)), 'ok');
      assert.equal(await stranger.do('read', path('secret')), 'ok');
      assert.equal(await stranger.do('move', join(one.cgroup.path, name)), 'ok');
      assert.equal(await stranger.do('read', path('secret')), 'EACCES', name);
    }
  });

  it('are never let through while their profile is replaced a thousand times', async () => {
    const one = cage();
    const profiles = [deny('secret'), deny('secret', 'other')];
    await harden(one.container(profiles[0]!));
    const attacker = await one.attacker(path('secret'));
    for (let swap = 1; swap <= SWAPS; swap++) {
      const [status] = await harden(one.container(profiles[swap % 2]!));
      assert.equal(status?.profile, profiles[swap % 2]!.id);
    }
    assert.deepEqual(await attempts(attacker), { done: 0, many: true });
  });

  it('are judged while no agent runs, while the next takes over, and by its profiles then', async () => {
    const one = cage();
    const profile = deny('secret');
    const [before] = await harden(one.container(profile));
    const attacker = await one.attacker(path('secret'));
    const servant = await one.servant();
    datapath.close();
    assert.equal(await servant.do('read', path('secret')), 'EACCES');
    assert.equal(await (await one.servant()).do('read', path('secret')), 'EACCES');
    datapath = openDatapath(options);
    assert.equal(await servant.do('read', path('secret')), 'EACCES');
    assert.ok(datapath.hardening.knows(one.container(profile).instance));
    await datapath.hardening.apply([], { keepOthers: true });
    assert.equal(await servant.do('read', path('secret')), 'EACCES');
    const [status] = await harden(one.container(profile));
    assert.deepEqual([status?.subject, status?.profile], [before?.subject, profile.id]);
    assert.equal(await servant.do('read', path('other')), 'ok');
    await harden(one.container(deny('secret', 'other')));
    assert.equal(await servant.do('read', path('other')), 'EACCES');
    assert.deepEqual(await attempts(attacker), { done: 0, many: true });
    assert.ok(links().every((name) => !name.startsWith('next-')));
  });

  it('keep the profile they have where the next one cannot be had', async () => {
    const one = cage();
    const servant = await one.servant();
    await harden(one.container(deny('secret')));
    const broken = { id: 5n, pages: [new Uint8Array(3)] };
    const [status] = await datapath.hardening.apply([one.container(broken)]);
    assert.match(status?.error ?? '', /pages of/);
    assert.equal(await servant.do('read', path('secret')), 'EACCES');
    assert.equal(await servant.do('read', path('plain')), 'ok');
  });

  it('stay so when no source names them any more, until nothing of them runs', async () => {
    const one = cage();
    const servant = await one.servant();
    const container = one.container(deny('secret'));
    await harden(container);
    await datapath.hardening.apply([]);
    assert.equal(await servant.do('read', path('secret')), 'EACCES');
    one.close();
    await datapath.hardening.apply([]);
    assert.ok(!datapath.hardening.knows(container.instance));
    assert.deepEqual(datapath.hardening.status(), []);
  });

  it('leave orphans that may do nothing: what is left of one whose cgroup is gone', async () => {
    const [one, other] = [cage(), cage()];
    const servant = await one.servant();
    await harden(one.container(deny('secret')));
    assert.equal(await servant.do('move', other.cgroup.path), 'ok');
    one.cgroup.close();
    await datapath.hardening.apply([]);
    assert.equal(await servant.do('read', path('plain')), 'EACCES');
    servant.process.close();
    const stranger = await other.servant();
    assert.equal(await stranger.do('read', path('secret')), 'ok');
  });

  it('are told of with rule, process and path, the first time at once, and counted every time', async () => {
    const one = cage();
    const told: ViolationRecord[] = [];
    datapath.onRecords((records) => told.push(...records.filter((record) => record.kind === 'violation')));
    const profile = profileOf(`[{name: secrets, action: Deny, files: {paths: [${path('secret')}]}}]`);
    const container = one.container(profile);
    await harden(container);
    const servant = await one.servant();
    for (let time = 0; time < 300; time++) await servant.do('read', path('secret'));
    await waitFor('it is told', () => told.length > 0);
    const [rule = 0] = profile.rules.keys();
    const [first] = told;
    assert.deepEqual(
      [first?.container, first?.rule, first?.verdict, first?.path, first?.process.pid],
      [container.id, rule, 2, path('secret'), servant.process.pid],
    );
    assert.match(first?.executable ?? '', /python3/);
    assert.equal(first?.ancestors[0]?.name, 'python3');
    const counted = datapath.hardening.counters().filter((one) => one.container === container.id);
    assert.deepEqual(
      counted.map(({ rule: of, count, staged }) => [of, count, staged]),
      [[rule, 300n, false]],
    );
    assert.ok(told.length + told.reduce((sum, { suppressed }) => sum + suppressed, 0) <= 300);
  });
});

async function attempts(attacker: Awaited<ReturnType<Cage['attacker']>>): Promise<{ done: number; many: boolean }> {
  attacker.write('\n');
  const [, done, tried] = await attacker.output(/^(\d+) (\d+)$/m, 60_000);
  return { done: Number(done), many: Number(tried) > 1000 };
}
