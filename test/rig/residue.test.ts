import assert from 'node:assert/strict';
import { mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { cgroup2Mount } from './cgroup.ts';
import { processName } from './names.ts';
import { createNode } from './node.ts';
import { Background, run } from './process.ts';
import { assertNoResidue, type Kind, ResidueError, residue, type Trace, takeSnapshot } from './residue.ts';
import { borrowSysctls, readSysctl } from './sysctls.ts';

const inNamespace = ['ip', 'netns'];
/** Of which kind, what tells it from what other processes of the machine do at the same time, and how it comes about. */
const leftovers: readonly (readonly [Kind, string, () => Promise<() => unknown>])[] = [
  [
    'network namespace',
    'sp-residue',
    async () => {
      await run([...inNamespace, 'add', 'sp-residue']);
      return () => run([...inNamespace, 'del', 'sp-residue']);
    },
  ],
  [
    'interface',
    'sp-residue',
    async () => {
      await run(['ip', 'link', 'add', 'sp-residue', 'type', 'bridge']);
      return () => run(['ip', 'link', 'del', 'sp-residue']);
    },
  ],
  [
    'qdisc',
    'clsact lo',
    async () => {
      await run(['tc', 'qdisc', 'add', 'dev', 'lo', 'clsact']);
      return () => run(['tc', 'qdisc', 'del', 'dev', 'lo', 'clsact']);
    },
  ],
  [
    'iptables rule',
    '192.0.2.1',
    async () => {
      await run(['iptables-legacy', '-A', 'FORWARD', '-s', '192.0.2.1', '-j', 'ACCEPT']);
      return () => run(['iptables-legacy', '-D', 'FORWARD', '-s', '192.0.2.1', '-j', 'ACCEPT']);
    },
  ],
  [
    'nftables rule',
    'sp-residue',
    async () => {
      await run(['nft', 'add', 'table', 'inet', 'sp-residue']);
      return () => run(['nft', 'delete', 'table', 'inet', 'sp-residue']);
    },
  ],
  [
    'sysctl',
    'net.ipv4.ip_forward',
    async () => borrowSysctls({ 'net.ipv4.ip_forward': 1 - Number(readSysctl('net.ipv4.ip_forward')) }),
  ],
  [
    'cgroup',
    processName(),
    async () => {
      const path = join(cgroup2Mount(), processName());
      mkdirSync(path);
      return () => rmdirSync(path);
    },
  ],
  [
    'process',
    'sleep 60',
    async () => {
      const sleeper = new Background(['/bin/sh', '-c', 'echo up; exec sleep 60']);
      await sleeper.output(/up/);
      return () => sleeper.close();
    },
  ],
  [
    'bpf map',
    'sp_residue',
    async () => {
      await run(['/bin/sh', '-c', 'mkdir -p "$0" && mount -t bpf bpf "$0"', '/run/sp-residue']);
      await run([
        ...['bpftool', 'map', 'create', '/run/sp-residue/map', 'type', 'array'],
        ...['key', '4', 'value', '4', 'entries', '1', 'name', 'sp_residue'],
      ]);
      return () => run(['/bin/sh', '-c', 'rm "$0/map" && umount "$0" && rmdir "$0"', '/run/sp-residue']);
    },
  ],
];

describe('the residue check', () => {
  for (const [kind, name, leave] of leftovers) {
    it(`finds a forgotten ${kind}, and nothing once it is gone`, async () => {
      const ours = (traces: readonly Trace[]): Trace[] =>
        traces.filter((trace) => trace.kind === kind && trace.what.includes(name));
      const before = await takeSnapshot();
      const remove = await leave();
      let found: Trace[];
      try {
        found = ours(residue(before, await takeSnapshot()));
      } finally {
        await remove();
      }
      assert.equal(found.length, 1, `found ${JSON.stringify(found)}`);
      assert.deepEqual(ours(residue(before, await takeSnapshot())), []);
    });
  }

  it('names what was left in its message', () => {
    const trace: Trace = { kind: 'pin', what: '/sys/fs/bpf/forgotten' };
    assert.throws(
      () => assertNoResidue(new Map(), new Map([['x', trace]])),
      (error: unknown) => {
        assert.ok(error instanceof ResidueError);
        assert.match(error.message, /Left behind:\n {2}pin: \/sys\/fs\/bpf\/forgotten/);
        return true;
      },
    );
  });

  it('does not blame a test for what a living process of another run made', () => {
    const theirs: Trace = { kind: 'network namespace', what: 'sallyport-test-1-5-web' };
    assert.deepEqual(residue(new Map(), new Map([['x', theirs]])), []);
    const dead: Trace = { kind: 'network namespace', what: 'sallyport-test-4194304-5-web' };
    assert.deepEqual(residue(new Map(), new Map([['x', dead]])), [dead]);
  });

  it('finds nothing of a topology that was closed', async () => {
    const before = await takeSnapshot();
    const node = await createNode({ namespace: 'current', attach: 'bridged' });
    await node.createEndpoint('web');
    assert.ok(residue(before, await takeSnapshot()).length > 5);
    node.close();
    const left = residue(before, await takeSnapshot()).filter((trace) => trace.what.includes(String(process.pid)));
    assert.deepEqual(left, []);
  });
});
