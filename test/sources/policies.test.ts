import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LONGEST_FILE, MOST_FILES, PolicyDirectory } from '../../src/sources/policies.ts';
import { waitFor } from '../rig/cleanup.ts';

describe('the policy directory', () => {
  let root: string;
  let directory: string;
  let policies: PolicyDirectory;
  let changes: string[];

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'sallyport-test-policies-'));
    directory = join(root, 'policies');
    mkdirSync(directory);
    changes = [];
  });

  afterEach(async () => {
    await policies.close();
    rmSync(root, { recursive: true, force: true });
  });

  const path = (name: string): string => join(directory, name);

  /** `name=content`, or `name!CODE`. */
  const shown = (): string =>
    policies
      .snapshot()
      .map(({ name, content }) => (content.ok ? `${name}=${content.bytes}` : `${name}!${content.error.code}`))
      .join(' ');

  const until = (what: string): Promise<void> => waitFor(`${what}, not ${shown()}`, () => shown() === what);

  async function start(options: { rescanMs?: number; quietMs?: number } = {}): Promise<void> {
    policies = new PolicyDirectory({ directory, now: Date.now, rescanMs: 3_600_000, ...options });
    policies.onChange(() => changes.push(shown()));
    await policies.start(new AbortController().signal);
  }

  it('hands over what is there, in order of names, and nothing else', async () => {
    for (const name of ['b.yml', 'a.yaml', 'c.json', '.hidden.yaml', 'd.yaml~', 'e.txt', '.yaml', 'f.yaml.swp']) {
      writeFileSync(path(name), name[0]!);
    }
    mkdirSync(path('sub'));
    writeFileSync(path('sub/g.yaml'), 'g');
    await start();
    assert.equal(shown(), 'a.yaml=a b.yml=b c.json=c');
    assert.deepEqual([policies.synced, policies.status().healthy], [true, true]);
  });

  it('follows files as they are made, written, renamed and removed', async () => {
    await start();
    writeFileSync(path('a.yaml'), 'one');
    await until('a.yaml=one');
    writeFileSync(path('a.yaml'), 'two');
    await until('a.yaml=two');
    renameSync(path('a.yaml'), path('b.yaml'));
    await until('b.yaml=two');
    unlinkSync(path('b.yaml'));
    await until('');
  });

  it('tells of one change for what happens together, and keeps the objects of files that did not change', async () => {
    writeFileSync(path('same.yaml'), 'same');
    await start();
    const [same] = policies.snapshot();
    changes = [];
    for (const name of ['a.yaml', 'b.yaml', 'c.yaml']) writeFileSync(path(name), name[0]!);
    await until('a.yaml=a b.yaml=b c.yaml=c same.yaml=same');
    assert.deepEqual(changes, [shown()]);
    assert.equal(
      policies.snapshot().find((file) => file.name === 'same.yaml'),
      same,
    );
  });

  it('sees a file replaced by renaming another over it as one change', async () => {
    writeFileSync(path('a.yaml'), 'one');
    await start();
    changes = [];
    writeFileSync(path('.a.yaml.tmp'), 'two');
    renameSync(path('.a.yaml.tmp'), path('a.yaml'));
    await until('a.yaml=two');
    assert.deepEqual(changes, ['a.yaml=two']);
  });

  it('sees a file replaced by an older one of the same length', async () => {
    writeFileSync(path('a.yaml'), 'one');
    utimesSync(path('a.yaml'), 1000, 1000);
    await start();
    writeFileSync(path('.old'), 'two');
    utimesSync(path('.old'), 1000, 1000);
    renameSync(path('.old'), path('a.yaml'));
    await until('a.yaml=two');
  });

  it('does not show a file that is emptied to be filled again, nor its halves', async () => {
    writeFileSync(path('a.yaml'), 'one');
    await start({ quietMs: 200 });
    changes = [];
    const file = openSync(path('a.yaml'), 'w');
    await new Promise((resolve) => setTimeout(resolve, 30));
    for (const part of ['t', 'w', 'o']) {
      writeSync(file, part);
      await new Promise((resolve) => setImmediate(resolve));
    }
    closeSync(file);
    await until('a.yaml=two');
    assert.deepEqual(changes, ['a.yaml=two']);
  });

  it('believes in the end that a file is empty', async () => {
    writeFileSync(path('a.yaml'), 'one');
    await start();
    truncateSync(path('a.yaml'));
    await until('a.yaml=');
  });

  it('does not wait for ever for a file to rest, and reads it when it does', async () => {
    writeFileSync(path('b.yaml'), 'b');
    // A busy machine may keep the writer from writing for some milliseconds.
    await start({ quietMs: 200 });
    const writer = setInterval(() => appendFileSync(path('a.yaml'), 'x'), 1);
    try {
      await until('a.yaml!UNSTABLE b.yaml=b');
    } finally {
      clearInterval(writer);
    }
    writeFileSync(path('a.yaml'), 'rests');
    await until('a.yaml=rests b.yaml=b');
  });

  it('names what cannot be read and reads the rest', async () => {
    writeFileSync(path('good.yaml'), 'good');
    mkdirSync(path('folder.yaml'));
    execFileSync('mkfifo', [path('pipe.yaml')]);
    const server = createServer().listen(path('socket.yaml'));
    await new Promise((resolve) => server.once('listening', resolve));
    symlinkSync('/nowhere', path('dangling.yaml'));
    symlinkSync('loop.yaml', path('loop.yaml'));
    symlinkSync('/dev/zero', path('device.yaml'));
    writeFileSync(path('huge.yaml'), '');
    truncateSync(path('huge.yaml'), LONGEST_FILE + 1);
    writeFileSync(path('largest.json'), '');
    truncateSync(path('largest.json'), LONGEST_FILE);
    await start();
    server.close();
    assert.deepEqual(
      policies
        .snapshot()
        .map(({ name, content }) => `${name} ${content.ok ? content.bytes.length : content.error.code}`),
      [
        'dangling.yaml UNREADABLE',
        'device.yaml NOT_A_FILE',
        'folder.yaml NOT_A_FILE',
        'good.yaml 4',
        'huge.yaml TOO_LARGE',
        `largest.json ${LONGEST_FILE}`,
        'loop.yaml UNREADABLE',
        'pipe.yaml NOT_A_FILE',
        'socket.yaml NOT_A_FILE',
      ],
    );
  });

  it('reads no more than 64 MiB together, and the rest when there is room', async () => {
    for (let i = 100; i < 165; i++) {
      writeFileSync(path(`${i}.yaml`), '');
      truncateSync(path(`${i}.yaml`), LONGEST_FILE);
    }
    await start();
    const refused = () => policies.snapshot().filter(({ content }) => !content.ok);
    assert.deepEqual(
      refused().map((file) => file.name),
      ['164.yaml'],
    );
    unlinkSync(path('100.yaml'));
    unlinkSync(path('164.yaml'));
    writeFileSync(path('200.yaml'), 'x');
    await waitFor('all are read', () => refused().length === 0 && policies.snapshot().length === 64);
  });

  it('keeps what it knows when there are too many files, and says so', async () => {
    writeFileSync(path('a.yaml'), 'a');
    await start({ rescanMs: 50 });
    for (let i = 0; i < MOST_FILES; i++) closeSync(openSync(path(`many${i}.yaml`), 'w'));
    await waitFor('it is unhealthy', () => policies.status().error?.code === 'TOO_LARGE');
    assert.ok(shown().startsWith('a.yaml=a'));
  });

  it('keeps what it knows when the directory goes away, and follows another that takes its place', async () => {
    writeFileSync(path('a.yaml'), 'a');
    await start();
    renameSync(directory, join(root, 'away'));
    await waitFor('it is unhealthy', () => !policies.status().healthy);
    assert.equal(shown(), 'a.yaml=a');
    mkdirSync(directory);
    writeFileSync(path('b.yaml'), 'b');
    await until('b.yaml=b');
    writeFileSync(path('b.yaml'), 'c');
    await until('b.yaml=c');
    assert.equal(policies.status().healthy, true);
  });

  it('is synced only when the directory is there', async () => {
    rmSync(directory, { recursive: true });
    const started = start();
    await waitFor('it is unhealthy', () => policies?.status().error !== undefined);
    assert.equal(policies.synced, false);
    mkdirSync(directory);
    writeFileSync(path('a.yaml'), 'a');
    await started;
    assert.equal(shown(), 'a.yaml=a');
  });

  it('follows files behind one link, as a ConfigMap is mounted', async () => {
    for (const version of ['one', 'two']) {
      mkdirSync(path(`..${version}`));
      writeFileSync(path(`..${version}/a.yaml`), version);
    }
    symlinkSync('..one', path('..data'));
    symlinkSync('..data/a.yaml', path('a.yaml'));
    await start();
    assert.equal(shown(), 'a.yaml=one');
    symlinkSync('..two', path('..data_tmp'));
    renameSync(path('..data_tmp'), path('..data'));
    await until('a.yaml=two');
  });

  it('sees at the next scan what nobody tells it', async () => {
    const elsewhere = join(root, 'elsewhere');
    writeFileSync(elsewhere, 'one');
    symlinkSync(elsewhere, path('a.yaml'));
    await start({ rescanMs: 50 });
    writeFileSync(elsewhere, 'two');
    await until('a.yaml=two');
  });
});
