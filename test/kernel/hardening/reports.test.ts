/** Whom rules are for, operations on files, and what the kernel tells of all that. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  Access,
  BearerFlags,
  HardeningClass,
  Operation,
  type ViolationEvent,
} from '../../../src/datapath/layouts.gen.ts';
import { ExecutableBits } from '../../../src/hardening/executables.ts';
import { Verdict } from '../../../src/model/verdict.ts';
import { waitFor } from '../../rig/cleanup.ts';
import { buildIntruder } from '../../rig/intruder.ts';
import { canHarden, profileOf } from './cage.ts';
import { Compound, type Engine, giveEngineBack, type Intruder, takeEngine } from './engine.ts';

const SUBJECT = 9;
const STAGED = 2 ** 31;

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1').replace(/\0.*$/s, '');

describe('what rules say of a container', function () {
  this.timeout(600_000);
  let directory: string | undefined;
  let engine: Engine;
  let compound: Compound;
  let inside: Intruder;
  let outside: Intruder;
  const executables = new ExecutableBits();

  before(async function () {
    if (!canHarden()) this.skip();
    directory = mkdtempSync(join(tmpdir(), 'sallyport-test-'));
    await buildIntruder();
    engine = takeEngine();
    compound = new Compound(engine, SUBJECT);
    await compound.mount();
    outside = await compound.intruder(true);
    inside = await compound.intruder();
    compound.harden(inside, profileOf('[]', '{files: Allow}'));
  });
  beforeEach(() => engine.told.splice(0));
  after(async () => {
    await compound?.close();
    giveEngineBack();
    if (directory !== undefined) rmSync(directory, { recursive: true });
  });

  const attempt = (what: string): Promise<string> => inside.try(...what.split(' '));
  const judge = (rules: string, more = '{}'): ReturnType<typeof profileOf> => {
    const profile = profileOf(rules, more, executables);
    engine.judge(SUBJECT, profile);
    return profile;
  };
  const told = async (count: number): Promise<readonly ViolationEvent[]> => {
    await waitFor(`${count} events`, () => engine.told.length >= count, 20_000);
    return engine.told;
  };
  const counted = (): Map<number, bigint> =>
    new Map(
      [...engine.maps.violations.entries()]
        .filter(([{ subject }]) => subject === SUBJECT)
        .map(([{ rule }, { count }]) => [rule, count]),
    );

  it('is for what an executable does, and what it has started', async () => {
    judge('[{name: tool, action: Deny, executables: [/bin/tool], files: {paths: [/etc/plain], access: [read]}}]');
    assert.equal(await attempt('run /bin/tool do read /etc/plain'), 'EACCES');
    assert.equal(await attempt('run /bin/tool do read /etc/other'), 'ok');
    assert.equal(await attempt('run /bin/other do read /etc/plain'), 'ok');
    assert.equal(await attempt('run /bin/tool do run /bin/other do read /etc/plain'), 'EACCES');
    assert.equal(await attempt('run /bin/tool do as-daemon read /etc/plain'), 'EACCES');
    assert.equal(await attempt('run-descriptor /bin/tool do read /etc/plain'), 'EACCES');
    assert.equal(await attempt('run /bin/other do run /bin/other do read /etc/plain'), 'ok');
  });

  it('is for a script, by whatever it is interpreted', async () => {
    judge('[{name: script, action: Deny, executables: [/bin/scripted], files: {paths: [/etc/plain], access: [read]}}]');
    assert.equal(await attempt('run /bin/scripted read /etc/plain'), 'EACCES');
    assert.equal(await attempt('run /bin/other do read /etc/plain'), 'ok');
  });

  it('is for what runs already when the rule comes', async () => {
    judge('[{name: server, action: Deny, executables: [/bin/intruder], files: {paths: [/etc/plain], access: [read]}}]');
    assert.equal(await attempt('here read /etc/plain'), 'EACCES');
    assert.equal(await attempt('run /bin/other do read /etc/plain'), 'EACCES');
    judge('[{name: nobody, action: Deny, executables: [/bin/tool], files: {paths: [/etc/plain], access: [read]}}]');
    assert.equal(await attempt('here read /etc/plain'), 'ok');
  });

  it('is asked of open files only where some may be older than the rules', async () => {
    judge('[{name: server, action: Deny, files: {paths: [/etc/plain], access: [read]}}]');
    const entered = await compound.intruder();
    assert.equal(engine.bearer(entered.process.pid)!.flags & BearerFlags.OldFiles, 0);
    judge('[{name: server, action: Deny, files: {paths: [/etc/other], access: [read]}}]');
    assert.equal(await entered.try('here', 'read', '/etc/plain'), 'ok');
    assert.equal(engine.bearer(entered.process.pid)!.flags & BearerFlags.OldFiles, BearerFlags.OldFiles);
    assert.equal(engine.bearer(outside.process.pid), undefined);
  });

  it('is about files that change who runs them', async () => {
    assert.equal(await outside.try('chmod', '/bin/tool', '4755'), 'ok');
    judge('[{name: setuid, action: Deny, operations: [setuid-execute]}]');
    assert.equal(await attempt('as 1000 run /bin/tool nothing'), 'EPERM');
    assert.equal(await attempt('as 1000 run /bin/other nothing'), 'ok');
    assert.equal(await attempt('run /bin/tool nothing'), 'ok', 'root becomes nobody else');
    assert.equal(await outside.try('chmod', '/bin/tool', '755'), 'ok');
  });

  it('is about disks, by whatever node', async () => {
    assert.equal(await outside.try('mknod', '/tmp/disk', 'b'), 'ok');
    judge('[{name: disks, action: Deny, operations: [disk-read, disk-write]}]');
    assert.equal(await attempt('read /tmp/disk'), 'EPERM');
    assert.equal(await attempt('write /tmp/disk'), 'EPERM');
    assert.equal(await attempt('by-descriptor /tmp/disk'), 'EPERM');
    judge('[{name: disks, action: Deny, operations: [disk-write]}]');
    assert.notEqual(await attempt('read /tmp/disk'), 'EPERM');
    assert.equal(await attempt('write /tmp/disk'), 'EPERM');
  });

  it("is about descriptors of files that are not the container's", async () => {
    judge('[{name: foreign, action: Deny, operations: [foreign-descriptor]}]');
    const foreign = join(directory!, 'foreign');
    writeFileSync(foreign, 'foreign');
    for (const [number, [path, wanted]] of [
      [foreign, 'EACCES'],
      [join(compound.root, 'etc/plain'), 'ok'],
      [join(compound.volume, 'open'), 'ok'],
    ].entries()) {
      const giver = compound.start('give', path!, join(compound.root, `tmp/giver${number}`));
      await giver.output(/ready/, 60_000);
      assert.equal(await attempt(`take /tmp/giver${number}`), wanted, path);
      giver.close();
    }
  });

  it('is told with what was done, to what, by whom, and by which rule', async () => {
    const profile = judge('[{name: secret, action: Deny, files: {paths: [/etc/keep/**]}}]');
    assert.equal(await attempt('by-bind /etc/keep/inner /mnt one'), 'EACCES');
    const [event] = await told(1);
    assert.equal(event!.class, HardeningClass.File);
    assert.equal(event!.detail, BigInt(Access.Read));
    assert.equal(event!.verdict, Verdict.Deny);
    assert.equal(profile.rules.get(event!.rule)?.rule, 'secret');
    assert.equal(text(event!.path), '/etc/keep/inner/one');
    assert.equal(text(event!.executable), '/bin/intruder');
    assert.equal(event!.cut, 0);
    assert.equal(event!.subject, SUBJECT);
    assert.equal(event!.instance, compound.instance);
    assert.equal(event!.cgroup, compound.cgroup.id);
    assert.equal(event!.ancestors[1]!.pid, inside.process.pid);
    assert.deepEqual(
      event!.ancestors.slice(0, 2).map(({ name }) => text(name)),
      ['intruder', 'intruder'],
    );
  });

  it('is told of operations, without a path', async () => {
    judge('[{name: nodes, action: Deny, operations: [device-node]}]');
    assert.equal(await attempt('mknod /tmp/node c'), 'EPERM');
    const [event] = await told(1);
    assert.equal(event!.class, HardeningClass.Operation);
    assert.equal(event!.detail, BigInt(Operation.DeviceNode));
    assert.equal(text(event!.path), '');
  });

  it('is told of the end of a path that is too long', async () => {
    assert.equal(await outside.try('go', '/deep', 'make-deep', '100', 'buried'), 'ok');
    judge('[{name: deep, action: Deny, files: {paths: [/deep/**/buried], access: [read]}}]');
    assert.equal(await attempt('go /deep read-deep 100 buried'), 'EACCES');
    const [event] = await told(1);
    assert.equal(event!.cut, 1);
    assert.match(text(event!.path), /^(\/ddddddd){60,63}\/buried$/);
  });

  it('is told of what is allowed with an alert, and of what a staged rule would refuse', async () => {
    const alert = judge('[{name: watch, action: Alert, files: {paths: [/etc/plain], access: [read]}}]');
    assert.equal(await attempt('read /etc/plain'), 'ok');
    const [first] = await told(1);
    assert.equal(first!.verdict, Verdict.Alert);
    assert.equal(alert.rules.get(first!.rule)?.rule, 'watch');
    engine.told.splice(0);
    const staged = judge(
      '[{name: later, action: Deny, files: {paths: [/etc/plain], access: [read]}}]',
      '{}, mode: Stage',
    );
    assert.equal(await attempt('read /etc/plain'), 'ok');
    const [second] = await told(1);
    assert.equal(second!.verdict, Verdict.Allow);
    assert.equal(second!.stagedVerdict, Verdict.Deny);
    assert.equal(staged.rules.get(second!.stagedRule)?.rule, 'later');
    assert.equal(counted().get(second!.stagedRule + STAGED), 1n);
  });

  it('is counted where it is not told, and the first of each rule is told with no budget at all', async () => {
    engine.budget = 0;
    const profile = judge('[{name: flood, action: Deny, files: {paths: [/etc/plain, /etc/other], access: [read]}}]');
    const [rule] = [...profile.rules.keys()];
    for (let i = 0; i < 20; i++) assert.equal(await attempt('read /etc/plain'), 'EACCES');
    await told(1);
    assert.equal(counted().get(rule!), 20n);
    engine.budget = 1000;
    await new Promise((resolve) => setTimeout(resolve, 1100));
    assert.equal(await attempt('read /etc/other'), 'EACCES');
    const events = await told(2);
    assert.equal(events.length, 2);
    assert.equal(events[1]!.suppressed, 19);
    assert.equal(counted().get(rule!), 21n);
  });
});
