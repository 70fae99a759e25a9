import assert from 'node:assert/strict';
import type { Facts } from '../../src/cli/doctor/facts.ts';
import { type Check, healthy, judge, type State } from '../../src/cli/doctor/judge.ts';

const feature = (name: string, supported = true) => ({
  name,
  what: `the ${name}`,
  since: '5.8',
  supported,
  reason: supported ? undefined : 'load: operation not permitted (EPERM)',
});

/** A node on which all is well. */
const well: Facts = {
  node: 'v24.21.0',
  kernel: '6.12.0',
  uid: 0,
  capabilities: 0x1ffffffffffn,
  btf: true,
  bpffs: true,
  cgroupRoot: '/sys/fs/cgroup',
  bindingError: undefined,
  features: ['tcx', 'clsact', 'cgroup_skb', 'tp_btf', 'ring_buffer', 'lsm', 'cgroup_storage'].map((name) =>
    feature(name),
  ),
  objects: '/usr/lib/sallyport/bpf',
  runtimes: [
    { name: 'docker', enabled: 'auto', socket: '/var/run/docker.sock', present: true, answers: true },
    { name: 'cri', enabled: 'auto', socket: '/run/c.sock', present: false, answers: false },
  ],
  policies: { directory: '/etc/sallyport/policies', readable: true },
  agent: { socket: '/run/sallyport/agent.sock', answers: true },
  statistics: false,
  between: { wanted: true, keys: 2, certificate: 30 * 86_400_000, queueError: undefined, now: 0 },
  hardening: {
    modules: ['capability', 'landlock', 'yama', 'bpf'],
    parameter: undefined,
    compiled: true,
    preset: ['landlock', 'yama'],
    hooks: [],
  },
  kubernetes: { server: 'https://10.0.0.1', version: 'v1.30.0', missing: [] },
};

const without = (...names: string[]) => well.features.map((one) => feature(one.name, !names.includes(one.name)));
const find = (checks: readonly Check[], name: string): Check =>
  checks.find((check) => check.name === name) ?? assert.fail(name);

describe('the doctor', () => {
  it('finds nothing wrong where all is well, and says what will be used', () => {
    const checks = judge(well);
    assert.equal(healthy(checks), true);
    assert.match(find(checks, 'attachment').found, /TCX/);
    assert.match(find(checks, 'source docker').found, /will be used/);
    assert.equal(find(checks, 'source cri').state, 'info');
  });

  const cases: [name: string, change: Partial<Facts>, check: string, state: State, found: RegExp][] = [
    ['no keys', { between: { ...well.between, keys: 'no such file' } }, 'tag keys', 'warn', /needs handshakes/],
    ['no certificate', { between: { ...well.between, certificate: 'gone' } }, 'certificate', 'fail', /gone/],
    ['no queue', { between: { ...well.between, queueError: 'no NFQUEUE' } }, 'hold', 'warn', /are dropped/],
    ['no other node', { between: { ...well.between, wanted: false } }, 'handshake', 'info', /no other agent/],
    ['no cluster', { kubernetes: { server: undefined, missing: [] } }, 'kubernetes', 'info', /no cluster/],
    [
      'a cluster that is away',
      { kubernetes: { server: 'https://a', missing: [], failure: { message: 'Cannot reach it', hint: undefined } } },
      'kubernetes',
      'fail',
      /Cannot reach it; what was known before/,
    ],
    [
      'a cluster that does not allow all',
      { kubernetes: { server: 'https://a', version: 'v1.30.0', missing: ['list pods', 'watch pods'] } },
      'kubernetes',
      'fail',
      /https:\/\/a does not allow: list pods, watch pods/,
    ],
    ['an old Node.js', { node: 'v22.17.1' }, 'Node.js', 'fail', /wanted 22\.18/],
    ['no privileges', { capabilities: 0n }, 'privileges', 'fail', /no CAP_BPF/],
    ['no BTF', { btf: false }, 'kernel types (BTF)', 'fail', /absent/],
    ['no bpffs', { bpffs: false }, 'bpffs', 'info', /the agent mounts it/],
    ['no cgroup2', { cgroupRoot: undefined }, 'cgroup2', 'warn', /cannot be told apart/],
    [
      'a binding that does not load',
      { bindingError: 'no such file', features: [] },
      'libbpf binding',
      'fail',
      /no such file/,
    ],
    ['a kernel without TCX', { features: without('tcx') }, 'attachment', 'ok', /clsact filters: the kernel has no TCX/],
    ['a kernel without either', { features: without('tcx', 'clsact') }, 'attachment', 'fail', /cannot be judged/],
    ['no ring buffers', { features: without('ring_buffer') }, 'feature ring_buffer', 'fail', /without it events/],
    ['no tracepoints', { features: without('tp_btf') }, 'feature tp_btf', 'warn', /EPERM.*without it new containers/],
    ['something nothing needs', { features: without('cgroup_storage') }, 'feature cgroup_storage', 'info', /nothing/],
    ['no security hooks', { features: without('lsm') }, 'feature lsm', 'warn', /hardening policies are not enforced/],
    ['no security hooks', { features: without('lsm') }, 'hardening', 'warn', /not enforced: load: operation not/],
    [
      'a hook that is not there',
      { hardening: { ...well.hardening, hooks: ['uring_allowed'] } },
      'hardening hooks',
      'info',
      /no uring_allowed/,
    ],
    ['no objects', { objects: undefined }, 'kernel programs', 'fail', /not found/],
    [
      'a socket nobody answers on',
      { runtimes: [{ ...well.runtimes[0]!, answers: false }] },
      'source docker',
      'warn',
      /does not answer/,
    ],
    [
      'a runtime that is wanted and away',
      { runtimes: [{ ...well.runtimes[1]!, enabled: 'true' }] },
      'source cri',
      'fail',
      /switched on/,
    ],
    [
      'a runtime that is switched off',
      { runtimes: [{ ...well.runtimes[0]!, enabled: 'false' }] },
      'source docker',
      'info',
      /switched off/,
    ],
  ];
  for (const [name, change, check, state, found] of cases) {
    it(`judges ${name}: ${state}`, () => {
      const checks = judge({ ...well, ...change });
      assert.equal(find(checks, check).state, state);
      assert.match(find(checks, check).found, found);
      assert.equal(healthy(checks), state !== 'fail');
    });
  }

  const enabling: [name: string, change: Partial<Facts['hardening']>, found: RegExp, hint: string][] = [
    [
      'completes the list of a running kernel',
      { modules: ['lockdown', 'capability', 'landlock', 'yama', 'apparmor'] },
      /bpf is not among .*apparmor/,
      'add to the kernel parameters lsm=lockdown,landlock,yama,apparmor,bpf ',
    ],
    [
      'completes the list the kernel was given',
      { modules: undefined, parameter: 'yama,apparmor' },
      /not among/,
      'change the kernel parameter to lsm=yama,apparmor,bpf ',
    ],
    [
      'completes the list the kernel was built with',
      { modules: undefined },
      /not among/,
      'add to the kernel parameters lsm=landlock,yama,bpf ',
    ],
    ['knows a kernel without it', { compiled: false }, /built without BPF LSM/, 'CONFIG_BPF_LSM=y'],
    [
      'wants to see the list',
      { modules: undefined, preset: undefined, compiled: undefined },
      /operation not permitted/,
      'mount -t securityfs',
    ],
    ['tells where the list is not to blame', {}, /operation not permitted/, 'bpf is among the security modules'],
  ];
  for (const [name, change, found, hint] of enabling) {
    it(`says how BPF LSM is switched on: ${name}`, () => {
      const hardening = { ...well.hardening, ...change };
      const check = find(judge({ ...well, features: without('lsm'), hardening }), 'hardening');
      assert.match(check.found, found);
      assert.ok(check.hint?.includes(hint), check.hint);
    });
  }
});
