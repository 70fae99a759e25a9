/** Of a container that is learnt from, each different thing is told: once, however often it is done, and however many. */
import assert from 'node:assert/strict';
import { compileWithCatalogue } from '../../../src/agent/hardening/open.ts';
import { Access, HardeningClass, type ViolationEvent } from '../../../src/datapath/layouts.gen.ts';
import { ExecutableBits } from '../../../src/hardening/executables.ts';
import { recordingPolicy } from '../../../src/hardening/learn/recorder.ts';
import { Verdict } from '../../../src/model/verdict.ts';
import { waitFor } from '../../rig/cleanup.ts';
import { buildIntruder } from '../../rig/intruder.ts';
import { run } from '../../rig/process.ts';
import { canHarden, profileOf } from './cage.ts';
import { Compound, type Engine, giveEngineBack, type Intruder, takeEngine } from './engine.ts';

const SUBJECT = 11;
const WORKLOAD = { namespace: 'test', kind: 'Unit', name: 'learnt' };
/** More than the ring has room for: 1 MiB of 1.3 KiB each. */
const MANY = 1000;
/** For which it has. */
const FEW = 250;

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1').replace(/\0.*$/s, '');

describe('what is recorded of a container', function () {
  this.timeout(600_000);
  let engine: Engine;
  let compound: Compound;
  let inside: Intruder;
  let outside: Intruder;
  let recordings = 0;

  before(async function () {
    if (!canHarden()) this.skip();
    await buildIntruder();
    engine = takeEngine();
    compound = new Compound(engine, SUBJECT);
    await compound.mount();
    outside = await compound.intruder(true);
    inside = await compound.intruder();
    compound.harden(inside, profileOf('[]', '{files: Allow}'));
    engine.budget = 0;
  });
  beforeEach(() => {
    recordings += 1;
    record(String(recordings));
    engine.told.splice(0);
  });
  after(async () => {
    await compound?.close();
    giveEngineBack();
  });

  const record = (name: string): void => {
    const policy = recordingPolicy(WORKLOAD, { workload: WORKLOAD, container: '*', labels: {} }, name);
    engine.judge(SUBJECT, compileWithCatalogue([policy], { executables: new ExecutableBits() }));
  };
  const attempt = async (what: string): Promise<void> => assert.equal(await inside.try(...what.split(' ')), 'ok', what);
  const isFile =
    (access: Access, path: RegExp | string) =>
    (event: ViolationEvent): boolean =>
      event.class === HardeningClass.File &&
      event.detail === BigInt(access) &&
      (typeof path === 'string' ? text(event.path) === path : path.test(text(event.path)));
  /** How often it was told, of all that was told before `last` was. */
  const times = async (what: (event: ViolationEvent) => boolean): Promise<number> => {
    recordings += 1;
    const marker = `/tmp/marker${recordings}`;
    await attempt(`mkdir ${marker}`);
    await waitFor('all is told', () => engine.told.some(isFile(Access.Create, marker)), 60_000);
    return engine.told.filter(what).length;
  };

  it('is each different thing once, without any budget', async () => {
    const paths = ['/etc/plain', '/etc/secret', '/etc/secrets', '/etc/other', '/etc/keep/inner/one', '/data/open'];
    for (const path of [...paths, ...paths]) await attempt(`read ${path}`);
    for (const path of paths) assert.equal(await times(isFile(Access.Read, path)), 1, path);
    const [event] = engine.told.filter(isFile(Access.Read, '/etc/plain'));
    assert.deepEqual([event?.verdict, event?.stagedVerdict], [Verdict.Allow, Verdict.Alert]);
  });

  it('tells what is done apart from what it is done to', async () => {
    await attempt('read /etc/plain');
    await attempt('append /etc/plain');
    await attempt('append /etc/plain');
    assert.equal(await times(isFile(Access.Read, '/etc/plain')), 1);
    assert.equal(await times(isFile(Access.Write, '/etc/plain')), 1);
  });

  it('is a file again that has another name, or lies elsewhere by its directory’s', async () => {
    for (const made of ['mkdir /tmp/inner', 'create /tmp/inner/one'])
      assert.equal(await outside.try(...made.split(' ')), 'ok', made);
    await attempt('read /tmp/inner/one');
    assert.equal(await outside.try('rename', '/tmp/inner', '/tmp/outer'), 'ok');
    await attempt('read /tmp/outer/one');
    assert.equal(await outside.try('rename', '/tmp/outer', '/tmp/inner'), 'ok');
    await attempt('read /tmp/inner/one');
    assert.equal(await times(isFile(Access.Read, '/tmp/outer/one')), 1);
    assert.equal(await times(isFile(Access.Read, '/tmp/inner/one')), 1);
  });

  it('is what differs in the first of many names only', async () => {
    for (const top of ['/tmp/one', '/tmp/two']) {
      assert.equal(await outside.try('mkdir', top), 'ok');
      assert.equal(await outside.try('go', top, 'make-deep', '100', 'buried'), 'ok');
      for (const _ of [1, 2]) await attempt(`go ${top} read-deep 100 buried`);
    }
    assert.equal(await times(isFile(Access.Read, /\/buried$/)), 2);
  });

  it('is all told anew in the next recording', async () => {
    await attempt('read /etc/plain');
    assert.equal(await times(isFile(Access.Read, '/etc/plain')), 1);
    record('next');
    await attempt('read /etc/plain');
    assert.equal(await times(isFile(Access.Read, '/etc/plain')), 2);
  });

  it('is told when it is done again, where there was no room to tell, and that is counted', async () => {
    const before = engine.lost;
    /** A program of the host's, in the container's cgroup. */
    const all = async (program: string, first = 1, last = MANY): Promise<void> => {
      const paths = `$(seq -f ${compound.root}/tmp/many%g ${first} ${last})`;
      await run(['sh', '-c', `echo $$ > ${compound.cgroup.path}/cgroup.procs && exec ${program} ${paths}`]);
    };
    engine.deafen();
    await all('mkdir');
    const lost = Number(engine.lost - before);
    engine.listen();
    await waitFor('what there was room for is heard', () => engine.told.length > MANY / 2, 60_000);
    await times(() => false);
    const told = engine.told.filter(isFile(Access.Create, /^\/tmp\/many/)).length;
    assert.ok(told < MANY && lost >= MANY - told, `${told} told, ${lost} lost`);
    for (let first = 1; first <= MANY; first += FEW) {
      for (const program of ['rmdir', 'mkdir']) {
        await all(program, first, first + FEW - 1);
        await times(() => false);
      }
    }
    const paths = engine.told.filter(isFile(Access.Create, /^\/tmp\/many/)).map(({ path }) => text(path));
    assert.deepEqual([paths.length, new Set(paths).size], [MANY, MANY]);
  });
});
