import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  cgroupId,
  findCgroup2Mount,
  openPidfd,
  peerCredentials,
  possibleCpus,
  signalPidfd,
} from '../../src/libbpf/index.ts';

describe('findCgroup2Mount', () => {
  const cases: [string, string, string | undefined][] = [
    ['the unified tree', '30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw', '/sys/fs/cgroup'],
    [
      'the second tree of a hybrid machine',
      '30 23 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n31 23 0:27 / /sys/fs/cgroup/unified rw shared:3 - cgroup2 cgroup rw',
      '/sys/fs/cgroup/unified',
    ],
    [
      'the whole tree rather than a part that was mounted before it',
      '30 23 0:26 /docker/x /mnt rw - cgroup2 cgroup2 rw\n31 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw',
      '/sys/fs/cgroup',
    ],
    ['a part where there is no more', '30 23 0:26 /docker/x /mnt rw - cgroup2 cgroup2 rw', '/mnt'],
    ['a path with blanks', '30 23 0:26 / /my\\040cgroups\\134 rw - cgroup2 cgroup2 rw', '/my cgroups\\'],
    ['nothing where none is mounted', '30 23 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw', undefined],
    ['nothing in nonsense', 'cgroup2\n - cgroup2 x\n\n', undefined],
  ];
  for (const [what, mountinfo, expected] of cases) {
    it(`finds ${what}`, () => assert.equal(findCgroup2Mount(mountinfo), expected));
  }
});

describe('cgroupId', () => {
  it('refuses directories of other file systems', () => {
    assert.throws(() => cgroupId('/tmp'), { code: 'SYSTEM', message: /not on a cgroup2 file system/ });
  });

  it('says when there is no such directory', () => {
    assert.throws(() => cgroupId('/no/such/cgroup'), { code: 'NOT_FOUND', errno: 'ENOENT' });
  });
});

describe('peerCredentials', () => {
  it("are the connecting process's", async () => {
    const directory = mkdtempSync(join(tmpdir(), 'peer-'));
    const path = join(directory, 'socket');
    try {
      const credentials = await new Promise((resolve, reject) => {
        const server = createServer((socket) => {
          const { fd } = (socket as unknown as { _handle: { fd: number } })._handle;
          try {
            resolve(peerCredentials(fd));
          } catch (error) {
            reject(error);
          }
          socket.destroy();
          server.close();
        }).listen(path, () => connect(path).on('error', reject).resume());
      });
      assert.deepEqual(credentials, { pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.() });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('refuses what is no socket', () => {
    assert.throws(() => peerCredentials(0x7fffffff), { code: 'SYSTEM', errno: 'EBADF' });
    assert.throws(() => peerCredentials(-1), { code: 'ARGUMENT' });
  });
});

describe('openPidfd', () => {
  it('says when there is no such process', () => {
    assert.throws(() => openPidfd(0x7ffffff), { code: 'NOT_FOUND' });
    assert.throws(() => openPidfd(0), { code: 'ARGUMENT' });
  });
});

describe('signalPidfd', () => {
  it('reaches the process that was opened, and says when that has ended', async () => {
    const child = spawn('sleep', ['60']);
    const ended = once(child, 'exit');
    const pidfd = openPidfd(child.pid ?? 0);
    try {
      assert.equal(signalPidfd(pidfd, constants.signals.SIGKILL), true);
      assert.equal((await ended)[1], 'SIGKILL');
      assert.equal(signalPidfd(pidfd, constants.signals.SIGKILL), false);
    } finally {
      closeSync(pidfd);
    }
  });

  it('refuses what is no pidfd', () => {
    const file = openSync('/dev/null', 'r');
    assert.throws(() => signalPidfd(file, 0), { code: 'SYSTEM', errno: 'EBADF' });
    closeSync(file);
    assert.throws(() => signalPidfd(-1, 0), { code: 'ARGUMENT' });
    assert.throws(() => signalPidfd(0, 65), { code: 'ARGUMENT' });
  });
});

describe('possibleCpus', () => {
  it('is at least one', () => assert.ok(possibleCpus() >= 1));
});

describe('trimHeap', () => {
  it('gives back what is free between what is not', () => {
    const script = `
      import { trimHeap } from ${JSON.stringify(join(import.meta.dirname, '../../src/libbpf/index.ts'))};
      let blocks = Array.from({ length: 1_000 }, () => Buffer.allocUnsafeSlow(100_000).fill(1));
      globalThis.kept = blocks.filter((_, n) => n % 50 === 49);
      blocks = [];
      setImmediate(() => {
        gc();
        const before = process.memoryUsage.rss();
        const gave = trimHeap();
        console.log(JSON.stringify({ gave, bytes: before - process.memoryUsage.rss() }));
      });`;
    const child = spawnSync(process.execPath, ['--expose-gc', '--input-type=module', '-e', script], {
      encoding: 'utf8',
    });
    const { gave, bytes } = JSON.parse(child.stdout) as { gave: boolean; bytes: number };
    assert.ok(gave);
    assert.ok(bytes > 50e6, `gave back ${bytes} bytes of 98 MB`);
  });
});

describe('releaseProgram', () => {
  const MODULE = JSON.stringify(join(import.meta.dirname, '../../src/libbpf/index.ts'));

  /** Runs a script in a process of its own. `present(field)`: kB of that field, in all of the program's text. */
  function inChild<T>(body: string): T {
    const script = `
      import fs from 'node:fs';
      import { releaseProgram } from ${MODULE};
      const text = () => fs.readFileSync('/proc/self/smaps', 'utf8').split(/\\n(?=[0-9a-f]+-[0-9a-f]+ )/)
        .filter((one) => / r-xp /.test(one) && one.includes(fs.realpathSync(process.execPath)));
      const inOne = (one, field) => Number(new RegExp('^' + field + ': *([0-9]+) kB', 'm').exec(one)[1]);
      const present = (field) => text().reduce((sum, one) => sum + inOne(one, field), 0);
      ${body}`;
    const child = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
    assert.equal(child.status, 0, child.stderr);
    return JSON.parse(child.stdout) as T;
  }

  it("lets go of the program's own pages, which come back as they are used", () => {
    const { released, before, after } = inChild<{ released: boolean; before: number; after: number }>(`
      const before = present('Rss');
      const released = releaseProgram();
      console.log(JSON.stringify({ released, before, after: present('Rss') }));`);
    assert.ok(released);
    assert.ok(after > 0 && after < before / 2, `${before} kB, then ${after}`);
  });

  it('leaves alone what a debugger has changed', () => {
    const { before, after } = inChild<{ before: number; after: number }>(`
      const [largest] = text().sort((a, b) => inOne(b, 'Size') - inOne(a, 'Size'));
      const at = Number.parseInt(largest, 16) + 4096;
      const memory = fs.openSync('/proc/self/mem', 'r+');
      const byte = Buffer.alloc(1);
      fs.readSync(memory, byte, 0, 1, at);
      fs.writeSync(memory, byte, 0, 1, at);
      const before = present('Anonymous');
      releaseProgram();
      console.log(JSON.stringify({ before, after: present('Anonymous') }));`);
    assert.ok(before > 0);
    assert.equal(after, before);
  });
});
