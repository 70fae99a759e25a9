import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { ANCHORS_MOST, chooseAnchors, type Look, readAnchors } from '../../src/sources/anchors.ts';
import { parseMountinfo, visibleMounts } from '../../src/sources/mountinfo.ts';
import { readProcess } from '../../src/sources/process.ts';

const device = (major: number, minor: number): number => ((major << 20) | minor) >>> 0;
const CONTAINER = `600 500 0:50 / / rw,relatime - overlay overlay rw,lowerdir=/a:/b
601 600 0:51 / /proc rw,nosuid - proc proc rw
602 600 0:52 / /dev rw,nosuid - tmpfs tmpfs rw
603 602 0:53 / /dev/pts rw - devpts devpts rw
604 600 8:1 /volumes/x/_data /data rw master:1 - ext4 /dev/sda1 rw
605 600 8:1 /docker/hosts /etc/hosts rw - ext4 /dev/sda1 rw
606 601 0:52 /null /proc/kcore rw - tmpfs tmpfs rw
`;
const nothing: Look = () => undefined;
const paths = (text: string): string[] => visibleMounts(parseMountinfo(text)).map(({ path }) => path);

describe('what mountinfo tells', () => {
  it('is read field by field, optional ones passed over', () => {
    const line = '36 35 98:2 /mnt1 /mnt2 rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue';
    assert.deepEqual(parseMountinfo(line), [
      { id: 36, parent: 35, device: device(98, 2), root: '/mnt1', path: '/mnt2', type: 'ext3' },
    ]);
    assert.equal(parseMountinfo('1 0 4095:1048575 / / rw - x y rw')[0]?.device, 0xffff_ffff);
  });

  it('has names with anything in them, and lines that are none', () => {
    const line = String.raw`1 0 8:1 /r\134040 /a\040b\011c\012d\134e\043 rw - ext4 - rw`;
    assert.deepEqual(
      parseMountinfo(line).map(({ root, path }) => [root, path]),
      [['/r\\040', '/a b\tc\nd\\e#']],
    );
    const bad = [
      '',
      'x',
      '1 0 8 / / rw - ext4 x rw',
      '1 0 8:1 / a rw - ext4 x rw',
      '1 0 8:1 / /a rw shared:1 ext4 x rw',
    ];
    assert.deepEqual(parseMountinfo(bad.join('\n')), []);
    assert.equal(parseMountinfo('1 0 8:1 / /- rw - - x rw')[0]?.type, '-');
  });

  it('never stops the reader, whatever it is', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: fc.constantFrom(...'0123 /:-\\\n.ab') })), (lines) => {
        visibleMounts(parseMountinfo(lines.join('\n')));
      }),
    );
  });
});

describe('the mounts that some path leads to', () => {
  it('are all of them where nothing lies on anything', () => {
    assert.equal(paths(CONTAINER).length, 7);
  });

  const table: readonly (readonly [string, string, readonly string[]])[] = [
    [
      'the upper of two at one place',
      '1 0 0:1 / / rw - overlay o rw\n2 1 0:2 / /a rw - tmpfs t rw\n3 2 0:3 / /a rw - tmpfs t rw',
      ['/ 1', '/a 3'],
    ],
    [
      'not what lies under a mount further up',
      '1 0 0:1 / / rw - overlay o rw\n2 1 0:2 / /a/b rw - tmpfs t rw\n3 1 0:3 / /a rw - tmpfs t rw',
      ['/ 1', '/a 3'],
    ],
    [
      'what was mounted in the mount further up',
      '1 0 0:1 / / rw - overlay o rw\n3 1 0:3 / /a rw - tmpfs t rw\n2 3 0:2 / /a/b rw - tmpfs t rw',
      ['/ 1', '/a 3', '/a/b 2'],
    ],
    [
      'the upper of two roots',
      '1 0 0:1 / / rw - rootfs r rw\n2 1 0:2 / / rw - overlay o rw\n3 1 0:3 / /a rw - tmpfs t rw\n4 2 0:4 / /b rw - tmpfs t rw',
      ['/ 2', '/b 4'],
    ],
    [
      'not what was mounted on a directory that is gone',
      '1 0 0:1 / / rw - overlay o rw\n2 1 0:2 / /a//deleted rw - tmpfs t rw',
      ['/ 1'],
    ],
    [
      'those in a root that is no mount',
      '2 1 0:2 / /a rw - tmpfs t rw\n3 2 0:3 / /a/b rw - tmpfs t rw',
      ['/a 2', '/a/b 3'],
    ],
    ['not each other’s, where ids go round', '1 2 0:1 / /a rw - tmpfs t rw\n2 1 0:2 / /a rw - tmpfs t rw', []],
  ];
  for (const [title, text, wanted] of table) {
    it(`are ${title}`, () => {
      const found = visibleMounts(parseMountinfo(text)).map(({ path, id }) => `${path} ${id}`);
      assert.deepEqual(found, wanted);
    });
  }
});

describe('the places that are told to the kernel', () => {
  const data = device(8, 1);
  const look: Look = (path) =>
    ({ '/data': { device: data, inode: 70n }, '/etc/hosts': { device: data, inode: 71n } })[path];

  it('are where the runtime mounted what, by device and inode, none where the whole is mounted', () => {
    assert.deepEqual(chooseAnchors(parseMountinfo(CONTAINER), look), {
      root: { device: device(0, 50), inode: 0n },
      anchors: [
        { device: device(0, 51), inode: 0n, path: '/proc' },
        { device: device(0, 52), inode: 0n, path: '/dev' },
        { device: device(0, 53), inode: 0n, path: '/dev/pts' },
        { device: data, inode: 70n, path: '/data' },
        { device: data, inode: 71n, path: '/etc/hosts' },
      ],
    });
  });

  it('are not those of the root’s own tree: mounted elsewhere it stays what it is', () => {
    const text = `${CONTAINER}607 600 0:50 /etc /harmless rw - overlay overlay rw\n`;
    const found = chooseAnchors(parseMountinfo(text), () => ({ device: device(0, 50), inode: 5n })).anchors;
    assert.ok(!found.some(({ path }) => path === '/harmless'));
  });

  it('are not what is shown by a file of another file system than the mount’s, or cannot be looked at', () => {
    const lie: Look = (path) => (path === '/data' ? { device: 1, inode: 70n } : undefined);
    assert.ok(chooseAnchors(parseMountinfo(CONTAINER), lie).anchors.every(({ inode }) => inode === 0n));
  });

  it('ask nothing of file systems that somebody serves who may never answer', () => {
    const text = `${CONTAINER}610 600 0:60 / /far rw - fuse.x x rw\n611 610 8:1 /x /far/near rw - ext4 x rw\n612 600 0:61 /y /nfs rw - nfs4 x rw\n`;
    const asked: string[] = [];
    const { anchors } = chooseAnchors(parseMountinfo(text), (path) => {
      asked.push(path);
      return look(path);
    });
    assert.deepEqual(asked, ['/data', '/etc/hosts', '/proc/kcore']);
    assert.ok(anchors.some(({ path }) => path === '/far'));
  });

  it('have the first of two places of one root', () => {
    const text = `${CONTAINER}620 600 0:52 / /again rw - tmpfs t rw\n`;
    const found = chooseAnchors(parseMountinfo(text), nothing).anchors.filter((one) => one.device === device(0, 52));
    assert.deepEqual(
      found.map(({ path }) => path),
      ['/dev'],
    );
  });

  it('have the node’s devices at /dev wherever else they are mounted', () => {
    const { anchors } = chooseAnchors(parseMountinfo(CONTAINER), nothing, 6);
    assert.deepEqual(anchors.at(-1), { device: 6, inode: 0n, path: '/dev' });
    const host = '1 0 0:6 / / rw - devtmpfs d rw';
    assert.deepEqual(chooseAnchors(parseMountinfo(host), nothing, 6).anchors, []);
  });

  it('are bounded, the first ones kept', () => {
    const many = Array.from({ length: 1000 }, (_, i) => `${700 + i} 600 1:${i} / /m/${i} rw - tmpfs t rw`);
    const { anchors } = chooseAnchors(parseMountinfo([CONTAINER.split('\n')[0], ...many].join('\n')), nothing);
    assert.equal(anchors.length, ANCHORS_MOST);
    assert.equal(anchors[0]?.path, '/m/0');
  });

  it('leave out names that are no text, which still hide what is under them', () => {
    const text = '1 0 0:1 / / rw - overlay o rw\n2 1 0:2 / /\xff rw - tmpfs t rw\n3 1 0:3 / /\xc3\xa4 rw - tmpfs t rw';
    assert.deepEqual(
      chooseAnchors(parseMountinfo(text), nothing).anchors.map(({ path }) => path),
      ['/ä'],
    );
  });

  it('have the root by its directory where it is no mount', () => {
    const text = '2 1 0:2 / /a rw - tmpfs t rw';
    const root: Look = (path) => (path === '/' ? { device: 9, inode: 4n } : undefined);
    assert.deepEqual(chooseAnchors(parseMountinfo(text), root).root, { device: 9, inode: 4n });
    assert.throws(() => chooseAnchors(parseMountinfo(text), nothing), /Cannot look at the root/);
  });

  it('are read by a process of the container’s cgroup, and by no other', () => {
    const cgroup = readProcess('/proc', process.pid)?.unified ?? '/';
    const { root } = readAnchors('/proc', [2 ** 22, process.pid], cgroup);
    const own = visibleMounts(parseMountinfo(readFileSync('/proc/self/mountinfo', 'latin1')));
    assert.equal(root.device, own.find(({ path }) => path === '/')?.device);
    assert.throws(() => readAnchors('/proc', [process.pid], '/no/such'), /no process of its own runs there/);
  });
});
