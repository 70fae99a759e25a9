/** What was allowed once is remembered at the file: until it may have got another name, or another judge. */
import assert from 'node:assert/strict';
import { linkSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HardenedContainer } from '../../../src/datapath/hardening-port.ts';
import { openDatapath } from '../../../src/datapath/index.ts';
import type { Datapath, DatapathOptions } from '../../../src/datapath/port.ts';
import { mountBpffs } from '../../../src/libbpf/index.ts';
import { cgroup2Mount } from '../../rig/cgroup.ts';
import { OBJECTS, SIZES } from '../datapath/laboratory.ts';
import { Cage, canHarden, profileOf, type Servant } from './cage.ts';

describe('files that were judged before', function () {
  this.timeout(600_000);
  let directory: string;
  let options: DatapathOptions;
  let datapath: Datapath;
  const cages: Cage[] = [];

  before(function () {
    if (!canHarden()) this.skip();
    mountBpffs('/sys/fs/bpf');
    options = {
      objects: OBJECTS,
      pins: mkdtempSync('/sys/fs/bpf/sallyport-test-'),
      cgroupRoot: cgroup2Mount(),
      sizes: SIZES,
      events: { ratePerSecond: 100, burst: 100 },
    };
    datapath = openDatapath(options);
  });
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'sallyport-test-judged-'));
    for (const name of ['open', 'closed']) mkdirSync(path(name));
    for (const name of ['a', 'b']) writeFileSync(path('open', name), name);
  });
  afterEach(async () => {
    for (const cage of cages.splice(0)) cage.close();
    await datapath?.hardening.apply([]);
    if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
  });
  after(() => {
    if (options === undefined) return;
    datapath.remove();
    rmSync(options.pins, { recursive: true, force: true });
  });

  const path = (...names: readonly string[]): string => join(directory, ...names);
  const closing = (name: string, more = ''): HardenedContainer['profile'] =>
    profileOf(`[{name: closed, action: Deny, ${more} files: {paths: ['${path(name)}/**'], access: [read]}}]`);
  const harden = async (...containers: readonly HardenedContainer[]): Promise<void> => {
    for (const { id, error } of await datapath.hardening.apply(containers)) assert.equal(error, undefined, id);
  };
  /** A process of a container, judged by the profile from its first read on. */
  const enter = async (profile: HardenedContainer['profile']): Promise<[Cage, Servant]> => {
    const cage = new Cage();
    cages.push(cage);
    await harden(cage.container(profile));
    return [cage, await cage.servant()];
  };
  /** Twice: the second time it is remembered, if it is to be. */
  const reads = async (servant: Servant, ...names: readonly string[]): Promise<string> => {
    const [first, second] = [await servant.do('read', path(...names)), await servant.do('read', path(...names))];
    assert.equal(first, second);
    return first;
  };

  it('are judged anew when the file was renamed to where it is closed', async () => {
    const [, servant] = await enter(closing('closed'));
    assert.equal(await reads(servant, 'open', 'a'), 'ok');
    renameSync(path('open', 'a'), path('closed', 'a'));
    assert.equal(await reads(servant, 'closed', 'a'), 'EACCES');
    renameSync(path('closed', 'a'), path('open', 'a'));
    assert.equal(await reads(servant, 'open', 'a'), 'ok');
  });

  it('are judged anew when a directory above was', async () => {
    const [, servant] = await enter(closing('closed'));
    assert.equal(await reads(servant, 'open', 'a'), 'ok');
    renameSync(path('open'), path('closed', 'within'));
    assert.equal(await reads(servant, 'closed', 'within', 'a'), 'EACCES');
  });

  it('are judged by the name they are reached by', async () => {
    linkSync(path('open', 'a'), path('closed', 'a'));
    const [, servant] = await enter(closing('closed'));
    assert.equal(await reads(servant, 'open', 'a'), 'ok');
    assert.equal(await reads(servant, 'closed', 'a'), 'EACCES');
    assert.equal(await reads(servant, 'open', 'a'), 'ok');
  });

  it('are judged anew by another profile', async () => {
    const [cage, servant] = await enter(closing('closed'));
    assert.equal(await reads(servant, 'open', 'a'), 'ok');
    await harden(cage.container(closing('open')));
    assert.equal(await reads(servant, 'open', 'a'), 'EACCES');
  });

  it('are judged for each container by itself', async () => {
    const [one, first] = await enter(closing('closed'));
    assert.equal(await reads(first, 'open', 'a'), 'ok');
    const other = new Cage();
    cages.push(other);
    await harden(one.container(closing('closed')), other.container(closing('open')));
    assert.equal(await reads(await other.servant(), 'open', 'a'), 'EACCES');
    assert.equal(await reads(first, 'open', 'a'), 'ok');
  });

  it('are judged for each executable by itself', async () => {
    const [, servant] = await enter(closing('open', 'executables: [/usr/bin/cat, /bin/cat],'));
    assert.equal(await reads(servant, 'open', 'a'), 'ok');
    assert.equal(await servant.do('run', 'cat', path('open', 'a')), 'ECHILD');
    assert.equal(await servant.do('run', 'head', path('open', 'a')), 'ok');
    assert.equal(await reads(servant, 'open', 'a'), 'ok');
  });

  it('tell of every read that somebody is to be told of', async () => {
    const profile = profileOf(`[{name: seen, action: Alert, files: {paths: ['${path('open')}/**'], access: [read]}}]`);
    const [cage, servant] = await enter(profile);
    const id = cage.container(profile).id;
    for (let n = 0; n < 5; n++) assert.equal(await servant.do('read', path('open', 'a')), 'ok');
    const counted = datapath.hardening.counters().filter(({ container, rule }) => container === id && rule !== 0);
    assert.deepEqual(
      counted.map(({ count }) => count),
      [5n],
    );
  });
});
