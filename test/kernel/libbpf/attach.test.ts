import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import {
  ATTACH_TYPES,
  BpfLink,
  BpfMap,
  BpfProgram,
  ClsactFilter,
  cgroupId,
  enableStatistics,
  kernelIds,
  type LoadedObject,
  listLinks,
  queryTcx,
  removeClsact,
  TypedMap,
  U32,
  U64,
} from '../../../src/libbpf/index.ts';
import { Cgroup } from '../../rig/cgroup.ts';
import { uniqueInterface, uniqueName } from '../../rig/names.ts';
import { compileBefore, isAtLeast, keep, loadSampler, PACKET, useBpffs } from './sampler.ts';

/** The program's global counter. */
function runs(loaded: LoadedObject): bigint {
  const name = loaded.mapNames.find((candidate) => candidate.endsWith('.bss'))!;
  return new TypedMap(loaded.map(name), U32, U64).get(0)!;
}

/** A veth pair for each suite. */
function useInterface(): { index(): number } {
  const name = uniqueInterface();
  let index = 0;
  before(() => {
    execFileSync('ip', ['link', 'add', name, 'type', 'veth', 'peer', 'name', uniqueInterface()]);
    index = listLinks().find((link) => link.name === name)!.ifindex;
  });
  after(() => {
    if (index !== 0) execFileSync('ip', ['link', 'del', name]); // not made where the suite was skipped
  });
  return { index: () => index };
}

const NOWHERE = 0x7ffffffe;

describe('TCX links', () => {
  // Below the kernel that introduced them only: above, their absence is a failure.
  before(function () {
    if (!isAtLeast('6.6')) this.skip();
  });
  compileBefore();
  const pins = useBpffs();
  const veth = useInterface();

  it('attach, tell what they are, change their program and detach', () => {
    const loaded = keep(loadSampler('pass_on', 'say_answer'));
    const program = loaded.program('pass_on');
    const link = program.attachTcx({ ifindex: veth.index(), direction: 'ingress' });
    assert.deepEqual(link.info(), {
      id: link.id,
      type: 'tcx',
      programId: program.id,
      ifindex: veth.index(),
      attachType: ATTACH_TYPES.tcx_ingress,
    });
    link.update(loaded.program('say_answer'));
    assert.equal(link.info().programId, loaded.program('say_answer').id);
    link.detach();
    assert.throws(() => link.info(), { code: 'CLOSED' });
    link.close();
  });

  it('stand first or last among the others', () => {
    const loaded = keep(loadSampler('pass_on', 'say_answer', 'send'));
    const place = { ifindex: veth.index(), direction: 'egress' } as const;
    const [middle, first, last] = [
      loaded.program('pass_on').attachTcx(place),
      loaded.program('say_answer').attachTcx({ ...place, position: 'first' }),
      loaded.program('send').attachTcx({ ...place, position: 'last' }),
    ];
    const order = queryTcx(veth.index(), 'egress').map(({ linkId }) => linkId);
    assert.deepEqual(order, [first.id, middle.id, last.id]);
    assert.deepEqual(queryTcx(veth.index(), 'ingress'), []);
    for (const link of [middle, first, last]) link.detach();
    assert.deepEqual(queryTcx(veth.index(), 'egress'), []);
  });

  it('hold a program once at a place', () => {
    const loaded = keep(loadSampler('pass_on'));
    const place = { ifindex: veth.index(), direction: 'egress' } as const;
    const link = loaded.program('pass_on').attachTcx(place);
    assert.throws(() => loaded.program('pass_on').attachTcx(place), {
      code: 'ATTACH',
      errno: 'EEXIST',
      hint: /there already/,
    });
    link.detach();
  });

  it('live on in a pin, and are taken over from it', () => {
    const path = pins.path('link');
    const loaded = keep(loadSampler('pass_on', 'say_answer'));
    const link = loaded.program('pass_on').attachTcx({ ifindex: veth.index(), direction: 'ingress' });
    link.pin(path);
    link.close();
    const adopted = keep(BpfLink.openPinned(path));
    assert.equal(adopted.info().ifindex, veth.index());
    adopted.update(loaded.program('say_answer'));
    adopted.unpin();
    assert.ok(!existsSync(path));
    adopted.detach();
  });

  it('are refused with what was attempted on what', () => {
    const loaded = keep(loadSampler('pass_on', 'count_exec'));
    const program = loaded.program('pass_on');
    assert.throws(() => program.attachTcx({ ifindex: NOWHERE, direction: 'ingress' }), {
      code: 'ATTACH',
      errno: 'ENODEV',
      message: /^Cannot attach "pass_on" to ingress of interface 2147483646 \(tcx\): no such device \(ENODEV\)$/,
    });
    assert.throws(() => loaded.program('count_exec').attachTcx({ ifindex: veth.index(), direction: 'ingress' }), {
      code: 'ATTACH',
      errno: 'EINVAL',
      hint: /Linux 6.6/,
    });
    for (const place of [
      { ifindex: 0 },
      { ifindex: 1.5 },
      { ifindex: -1 },
      { direction: 'sideways' },
      { position: 'middle' },
    ]) {
      const wrong = { ifindex: veth.index(), direction: 'ingress', ...place } as Parameters<
        typeof program.attachTcx
      >[0];
      assert.throws(() => program.attachTcx(wrong), { code: 'ARGUMENT' });
    }
  });
});

describe('Clsact filters', () => {
  compileBefore();
  const veth = useInterface();
  const place = () => ({ ifindex: veth.index(), direction: 'ingress', priority: 3, handle: 0x5a11 }) as const;

  afterEach(() => removeClsact(veth.index()));

  it('attach where there is no qdisc yet, are found again and detach', () => {
    const loaded = keep(loadSampler('pass_on'));
    assert.equal(ClsactFilter.find(place()), undefined);
    const filter = loaded.program('pass_on').attachClsact(place());
    assert.equal(filter.programId, loaded.program('pass_on').id);
    assert.equal(ClsactFilter.find(place())?.programId, filter.programId);
    filter.detach();
    filter.detach();
    assert.equal(ClsactFilter.find(place()), undefined);
  });

  it('replace the one of the same priority and handle', () => {
    const loaded = keep(loadSampler('pass_on', 'say_answer'));
    loaded.program('pass_on').attachClsact(place());
    const second = loaded.program('say_answer').attachClsact(place());
    assert.equal(ClsactFilter.find(place())?.programId, second.programId);
    assert.equal(second.programId, loaded.program('say_answer').id);
  });

  it('may be gone before they are detached', () => {
    const loaded = keep(loadSampler('pass_on'));
    const filter = loaded.program('pass_on').attachClsact(place());
    removeClsact(veth.index());
    filter.detach();
    removeClsact(veth.index());
  });

  it('are refused with what was attempted on what', () => {
    const loaded = keep(loadSampler('pass_on'));
    const program = loaded.program('pass_on');
    assert.throws(() => program.attachClsact({ ...place(), ifindex: NOWHERE }), {
      code: 'ATTACH',
      message: /interface 2147483646/,
    });
    for (const wrong of [
      { priority: 0 },
      { priority: 65536 },
      { handle: 0 },
      { ifindex: 0 },
      { direction: 'both' as 'ingress' },
    ]) {
      assert.throws(() => program.attachClsact({ ...place(), ...wrong }), { code: 'ARGUMENT' });
    }
  });
});

describe('Cgroup links', () => {
  compileBefore();
  let cgroup: Cgroup;
  before(() => {
    cgroup = new Cgroup(uniqueName('libbpf'));
  });
  after(() => cgroup.close());

  it('run for the processes of their cgroup', () => {
    const loaded = keep(loadSampler('count_egress'));
    const link = loaded.program('count_egress').attachCgroup(cgroup.path, 'cgroup_inet_egress');
    const info = link.info();
    assert.deepEqual([info.type, info.cgroupId, info.attachType], ['cgroup', cgroup.id, 1]);
    assert.equal(cgroup.id, cgroupId(cgroup.path));
    const before = runs(loaded);
    execFileSync('bash', ['-c', `echo $$ > ${cgroup.path}/cgroup.procs; echo > /dev/udp/127.0.0.1/9`]);
    assert.ok(runs(loaded) > before);
    link.detach();
  });

  it('stand beside each other', () => {
    const loaded = keep(loadSampler('count_egress', 'watch_sockets'));
    const links = [
      loaded.program('count_egress').attachCgroup(cgroup.path, 'cgroup_inet_egress'),
      loaded.program('count_egress').attachCgroup(cgroup.path, 'cgroup_inet_egress'),
      loaded.program('watch_sockets').attachCgroup(cgroup.path, 'cgroup_sock_ops'),
    ];
    assert.equal(new Set(links.map((link) => link.id)).size, 3);
    for (const link of links) link.close();
  });

  it('are refused on what is no cgroup, and for programs of another type', () => {
    const loaded = keep(loadSampler('count_egress'));
    const program = loaded.program('count_egress');
    assert.throws(() => program.attachCgroup('/no/such/cgroup', 'cgroup_inet_egress'), { code: 'NOT_FOUND' });
    assert.throws(() => program.attachCgroup('/tmp', 'cgroup_inet_egress'), { code: 'ATTACH', errno: 'EBADF' });
    assert.throws(() => program.attachCgroup(cgroup.path, 'cgroup_sock_ops'), { code: 'ATTACH', errno: 'EINVAL' });
    assert.throws(() => program.attachCgroup(cgroup.path, 'egress' as 'cgroup_inet_egress'), {
      code: 'ARGUMENT',
      message: /cgroup_inet_egress/,
    });
  });
});

describe('Tracing programs', () => {
  compileBefore();
  const pins = useBpffs();

  it('attach as their sections say', () => {
    const loaded = keep(loadSampler('count_exec', 'count_exec_raw', 'count_exit'));
    const links = ['count_exec', 'count_exec_raw', 'count_exit'].map((name) => loaded.program(name).attach());
    const before = runs(loaded);
    execFileSync('true');
    assert.ok(runs(loaded) > before);
    assert.deepEqual(
      links.map((link) => link.info().type),
      ['raw_tracepoint', 'raw_tracepoint', 'perf_event'],
    );
    for (const link of links) link.close();
    const stopped = runs(loaded);
    execFileSync('true');
    assert.equal(runs(loaded), stopped);
  });

  it('attach from a pin when they know their target themselves', () => {
    const loaded = keep(loadSampler('count_exec'));
    loaded.program('count_exec').pin(pins.path('program'));
    const program = keep(BpfProgram.openPinned(pins.path('program')));
    const link = program.attach();
    const before = runs(loaded);
    execFileSync('true');
    assert.ok(runs(loaded) > before);
    link.close();
    program.unpin();
  });

  it('stay attached by a pin, from which detach() cannot tear them', () => {
    const loaded = keep(loadSampler('count_exec'));
    const link = loaded.program('count_exec').attach();
    link.pin(pins.path('link'));
    assert.throws(() => link.detach(), { code: 'LINK', errno: 'EOPNOTSUPP', hint: /unpin/ });
    link.unpin();
    link.detach();
    assert.ok(link.closed);
  });

  it('stay attached when a pinned uprobe link is closed', () => {
    const loaded = keep(loadSampler('count_exit'));
    const link = loaded.program('count_exit').attach();
    link.pin(pins.path('link'));
    link.close();
    const again = keep(BpfLink.openPinned(pins.path('link')));
    assert.equal(again.info().type, 'perf_event');
    const before = runs(loaded);
    execFileSync('true');
    assert.ok(runs(loaded) > before);
    again.unpin();
  });

  it('are refused where their object has gone or they cannot attach by themselves', () => {
    const loaded = loadSampler('pass_on');
    const program = loaded.program('pass_on');
    assert.throws(() => program.attach(), { code: 'ATTACH', message: /attach "pass_on" \(tc\)/ });
    loaded.close();
    assert.throws(() => program.attach(), { code: 'CLOSED' });
  });
});

describe('A program', () => {
  compileBefore();
  const pins = useBpffs();

  it('runs on made-up packets and gives back what became of them', () => {
    const loaded = keep(loadSampler('say_answer'));
    const context = Buffer.alloc(192);
    const run = loaded.program('say_answer').testRun({ data: PACKET, context });
    assert.deepEqual([run.retval, run.data.length, run.context.length], [1, PACKET.length, 192]);
    assert.equal(run.context.readUInt32LE(8), 1, 'the mark');
  });

  it('refuses to run on what the kernel does not take', () => {
    const loaded = keep(loadSampler('say_answer', 'count_exec'));
    const program = loaded.program('say_answer');
    assert.throws(() => program.testRun(), { code: 'PROGRAM', errno: 'EINVAL' });
    assert.throws(() => program.testRun({ data: Buffer.alloc(3) }), {
      code: 'PROGRAM',
      message: /run "say_answer" on 3 bytes/,
    });
    assert.throws(() => program.testRun({ data: 'packet' as unknown as Buffer }), { code: 'ARGUMENT' });
    assert.throws(() => program.testRun({ data: PACKET, repeat: -1 }), { code: 'ARGUMENT' });
    assert.throws(() => program.testRun({ data: PACKET, dataOutSize: 10 }), { code: 'PROGRAM', errno: 'ENOSPC' });
    assert.throws(() => loaded.program('count_exec').testRun({ data: PACKET }), { code: 'PROGRAM' });
  });

  it('is measured while statistics are on', () => {
    const loaded = keep(loadSampler('say_answer'));
    const program = loaded.program('say_answer');
    const statistics = enableStatistics();
    // Test runs are not counted, real ones are.
    const name = uniqueInterface();
    execFileSync('ip', ['link', 'add', name, 'type', 'veth', 'peer', 'name', uniqueInterface()]);
    try {
      assert.equal(program.info().runCount, 0n);
      assert.equal(program.info().type, 'sched_cls');
      assert.match(program.info().tag, /^[0-9a-f]{16}$/);
      assert.ok(program.info().instructions > 0);
    } finally {
      execFileSync('ip', ['link', 'del', name]);
      statistics.close();
      statistics.close();
    }
  });

  it('is listed by id among all of the kernel and opened by it', () => {
    const loaded = keep(loadSampler('say_answer'));
    const { id } = loaded.program('say_answer');
    assert.ok([...kernelIds('program')].includes(id));
    const same = keep(BpfProgram.openById(id));
    assert.equal(same.name, 'say_answer');
    assert.ok([...kernelIds('map')].includes(loaded.map('pairs').id));
    assert.throws(() => BpfLink.openById(0xffffffff), { code: 'NOT_FOUND' });
  });

  it('is not taken for a map or a link when it is pinned', () => {
    const loaded = keep(loadSampler('say_answer'));
    const path = pins.path('program');
    loaded.program('say_answer').pin(path);
    assert.throws(() => BpfMap.openPinned(path), { code: 'PIN', errno: 'EMEDIUMTYPE', message: /another kind/ });
    assert.throws(() => BpfLink.openPinned(path), { code: 'PIN', errno: 'EMEDIUMTYPE' });
    loaded.map('pairs').pin(pins.path('map'));
    assert.throws(() => BpfProgram.openPinned(pins.path('map')), { code: 'PIN', errno: 'EMEDIUMTYPE' });
    assert.throws(() => BpfMap.openPinned('/dev/null'), { code: 'PERMISSION' });
    assert.throws(() => loaded.map('pairs').pin('/tmp/not-on-bpffs'), { code: 'PERMISSION' });
  });
});
