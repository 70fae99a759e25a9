import assert from 'node:assert/strict';
import { readFileSync, readlinkSync } from 'node:fs';
import {
  findContainerCgroup,
  parseNamespace,
  readProcess,
  readStartTime,
  startedAt,
} from '../../src/sources/process.ts';
import { Background } from '../rig/process.ts';

const ID = 'a3'.repeat(32);

describe('a process', () => {
  it('is read with its namespace, cgroups and start', async () => {
    const before = Date.now();
    const child = new Background(['sleep', '60']);
    try {
      const facts = readProcess('/proc', child.pid)!;
      assert.equal(facts.pid, child.pid);
      assert.equal(facts.netns, parseNamespace(readlinkSync(`/proc/${child.pid}/ns/net`)));
      assert.ok(facts.cgroups.length > 0 && facts.cgroups.every((path) => path.startsWith('/')));
      const started = startedAt('/proc', facts.startTime);
      assert.ok(Math.abs(started - before) < 60_000, `${started} is not about ${before}`);
    } finally {
      child.close();
    }
  });

  it('whose name looks like the fields after it is read right', async () => {
    const child = new Background(['/bin/sh', '-c', 'printf ") Z 1 2\\n(" > /proc/$$/comm; echo named; read x']);
    try {
      await child.output(/named/);
      assert.match(readFileSync(`/proc/${child.pid}/stat`, 'latin1'), /\) Z 1 2/);
      assert.equal(readStartTime('/proc', child.pid), readProcess('/proc', child.pid)?.startTime);
      assert.notEqual(readStartTime('/proc', child.pid), undefined);
    } finally {
      child.close();
    }
  });

  it('that ended is not there, neither are pids that cannot be', async () => {
    const child = new Background(['true']);
    await child.exited;
    for (const pid of [child.pid, 0, -1, 1.5, Number.NaN, 4_194_305])
      assert.equal(readProcess('/proc', pid), undefined);
  });
});

describe('a container’s cgroup', () => {
  const paths: readonly { path: string; found?: string }[] = [
    { path: `/docker/${ID}`, found: `/docker/${ID}` },
    { path: `/docker/${ID}/init.scope`, found: `/docker/${ID}` },
    { path: `/docker/${ID}/nested/${ID}`, found: `/docker/${ID}` },
    { path: `/system.slice/docker-${ID}.scope`, found: `/system.slice/docker-${ID}.scope` },
    {
      path: `/kubepods.slice/kubepods-burstable.slice/pod.slice/cri-containerd-${ID}.scope/x`,
      found: `/kubepods.slice/kubepods-burstable.slice/pod.slice/cri-containerd-${ID}.scope`,
    },
    { path: `/kubepods/burstable/pod12/${ID}`, found: `/kubepods/burstable/pod12/${ID}` },
    { path: `/crio-conmon-${ID}.scope` },
    { path: `/docker/${ID.slice(1)}` },
    { path: '/' },
    { path: '' },
  ];
  for (const { path, found } of paths) {
    it(`in ${path.replaceAll(ID, 'ID') || 'nothing'} is ${found?.replaceAll(ID, 'ID') ?? 'not there'}`, () => {
      const cgroup = findContainerCgroup(path, ID);
      assert.equal(cgroup?.path, found);
      if (found !== undefined) assert.equal(cgroup?.level, found.split('/').length - 1);
    });
  }

  it('of an empty id is not there', () => assert.equal(findContainerCgroup('/docker/', ''), undefined));
});
