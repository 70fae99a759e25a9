import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describeTargets } from '../../src/hardening/catalogue/describe.ts';
import { isStale } from '../../src/hardening/catalogue/generate.ts';
import { groupsOf, READY_GROUPS, READY_RULES, READY_SETS, readyNames } from '../../src/hardening/catalogue/index.ts';
import { UNTRIED } from '../../src/hardening/catalogue/untried.ts';
import { ExecutableBits } from '../../src/hardening/executables.ts';
import { compileProfile } from '../../src/hardening/profile.ts';
import { parsePathGlob } from '../../src/model/path-glob.ts';
import { sallyport } from '../cli/terminal.ts';
import { SCENARIOS } from '../kernel/hardening/catalogue/all.ts';
import { policyOf } from './ready.ts';

const rules = [...READY_RULES.values()];

/** What the requirements number: baseline 1 to 10, shields I to X. */
const REQUIRED: Readonly<Record<string, readonly string[]>> = {
  '1': ['no-core-pattern-write', 'no-sysctl-write', 'no-sysfs-write', 'no-procfs-write'],
  '2': ['no-writable-procfs-mount'],
  '3': ['no-writable-disk-mount'],
  '4': ['no-disk-read', 'no-disk-write'],
  '5': ['no-release-agent-write'],
  '6': ['no-cgroup-mount'],
  '7': ['no-privileged-capabilities', 'no-capability-sys-admin'],
  '8': ['no-privileged-userns-capabilities'],
  '9': ['no-userns-capability-net-admin'],
  '10': ['no-packet-sockets'],
  I: ['no-service-account-token-read'],
  II: ['no-mount-table-read'],
  III: ['no-disk-numbers-read'],
  IV: ['no-arp-read'],
  V: ['no-shells', 'no-busybox', 'no-downloaders'],
  VI: ['no-permission-change'],
  VII: ['no-config-write'],
  VIII: ['no-become-root', 'no-setuid-execution', 'no-setuid-bit'],
  IX: ['no-abstract-unix-sockets', 'no-unix-sockets'],
  X: ['no-environment-files-read', 'no-source-control-read', 'no-account-read'],
};

describe('the catalogue of ready rules', () => {
  it('has all of the baseline and the shields', () => {
    for (const [number, names] of Object.entries(REQUIRED)) {
      for (const name of names) assert.ok(READY_RULES.has(name), `${number}: ${name}`);
    }
  });

  it('names each rule once, in words, and says what it is about in whole sentences', () => {
    const titles = new Set<string>();
    assert.equal(rules.length, new Set(rules.map(({ name }) => name)).size);
    for (const { name, title, stops, breaks, links, targets } of rules) {
      assert.match(name, /^no(-[a-z0-9]+)+$/);
      assert.ok(!titles.has(title), `${name}: another has its title`);
      titles.add(title);
      assert.match(stops, /^Stops .*[^.]\.$/, name);
      assert.match(breaks, /^May break .*[^.]\.$/, name);
      assert.ok(links.length > 0 && targets.length > 0, name);
      for (const link of links) assert.match(link, /^https:\/\/(attack\.mitre|cwe\.mitre|www\.cve)\.org\//, name);
      assert.ok(
        describeTargets(targets).every(({ what }) => what !== ''),
        name,
      );
    }
  });

  it('has patterns only that can be read', () => {
    for (const { name, targets } of rules) {
      for (const target of targets) {
        if (target.type !== 'paths') continue;
        for (const pattern of [...target.paths, ...target.except]) {
          const parsed = parsePathGlob(pattern);
          assert.ok(parsed.ok, `${name}: ${pattern}${parsed.ok ? '' : `: ${parsed.reason}`}`);
        }
      }
    }
  });

  it('has groups whose members exist, and which no rule is called like', () => {
    for (const [group, members] of READY_SETS) {
      assert.ok(!READY_RULES.has(group));
      assert.ok(members.length > 0);
      for (const member of members) assert.ok(READY_RULES.has(member), `${group}: ${member}`);
      assert.deepEqual(readyNames(group), members);
    }
    assert.deepEqual(readyNames('no-bpf'), ['no-bpf']);
    assert.deepEqual(groupsOf('no-bpf'), ['kernel', 'recommended']);
    assert.equal(READY_GROUPS.length, 7);
  });

  it('compiles to profiles that a node can hold many of', () => {
    const pages = (names: readonly string[]): number =>
      compileProfile([policyOf(names)], { executables: new ExecutableBits(), ready: READY_RULES }).pages.length;
    for (const [group, members] of READY_SETS) {
      const most = group === 'recommended' ? 16 : 100;
      assert.ok(pages(members) <= most, `${group} takes more than ${most} pages of 16 KiB`);
    }
    for (const { name } of rules) assert.ok(pages([name]) <= 16, name);
  }).timeout(60_000);

  it('has a page in the documentation that is up to date', () => {
    assert.equal(isStale(join(import.meta.dirname, '../..')), false);
  });

  it('is listed and explained by the command line, with no agent', async () => {
    const all = await sallyport(['profile', 'catalogue', '-o', 'name']);
    assert.equal(all.out.trim().split('\n').length, rules.length);
    const worst = await sallyport(['profile', 'catalogue', 'network', '--severity', 'high', '--no-headers']);
    assert.match(worst.out, /^no-raw-sockets +network +high +No raw sockets$/m);
    assert.doesNotMatch(worst.out, /no-sctp-sockets|no-bpf/);
    const one = await sallyport(['profile', 'show', 'no-bpf']);
    assert.equal(one.exit, 0);
    assert.match(one.out, /^GROUPS: +kernel, recommended$/m);
    assert.match(one.out, /^ {5}Stops every use of bpf\(2\)/m);
    assert.match(one.out, /^ABOUT:\n {5}operations\n {7}bpf$/m);
    assert.equal((await sallyport(['profile', 'catalogue', 'nonsense'])).exit, 3);
  });

  it('completes names of rules and groups', async () => {
    const completed = async (...words: string[]): Promise<string> =>
      (await sallyport(['--socket', '/nonexistent', '__complete', '--', ...words])).out;
    assert.match(await completed('profile', 'show', 'no-bp'), /^no-bpf\tNo BPF\n$/);
    assert.match(await completed('profile', 'catalogue', 'rec'), /^recommended\t\d+ rules\n$/);
    assert.match(await completed('profile', 'catalogue', '--group', 'base'), /^baseline\t/);
  });
});

describe('the scenarios of ready rules', () => {
  it('are there for every rule that can be tried, with an attack, a way round and a neighbour', () => {
    const tried = new Map(SCENARIOS.map((scenario) => [scenario.rule, scenario]));
    assert.equal(tried.size, SCENARIOS.length, 'one scenario for each');
    for (const rule of READY_RULES.keys()) {
      const scenario = tried.get(rule);
      if (UNTRIED.has(rule)) assert.equal(scenario, undefined, rule);
      else assert.ok(scenario !== undefined && scenario.around.length > 0 && scenario.neighbours.length > 0, rule);
      tried.delete(rule);
    }
    assert.deepEqual([...tried.keys()], [], 'no scenario is of a rule that is not there');
  });

  it('are left out for single capabilities only, with a reason', () => {
    for (const [rule, reason] of UNTRIED) {
      assert.ok(READY_RULES.has(rule), rule);
      assert.match(rule, /^no-(userns-)?capability-/);
      assert.match(reason, /^[a-z].*[^.]$/);
    }
    assert.equal(UNTRIED.size, 20);
  });
});
