import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  type InstalledRule,
  installQueueRule,
  type QueueRule,
  type RuleBackend,
  removeQueueRules,
} from '../../../src/netfilter/index.ts';
import { attempt, run } from '../../rig/process.ts';
import { describeInside } from './inside.ts';
import { MARK, markDatagrams, QUEUE, Road, unmarkDatagrams } from './road.ts';

const MODULE = pathToFileURL(join(import.meta.dirname, '../../../src/netfilter/index.ts')).href;
const RULE: QueueRule = { mark: MARK, queue: QUEUE, bypass: false };

/** What tools of others see of NFQUEUE rules, in every backend. */
async function seen(): Promise<string[]> {
  const texts = [
    await run(['nft', 'list', 'ruleset']),
    await run(['iptables-legacy-save']),
    await run(['ip6tables-legacy-save']),
  ];
  return texts.flatMap((text) => text.split('\n')).filter((line) => /NFQUEUE|queue (num|flags|to)/.test(line));
}

async function works(backend: RuleBackend): Promise<boolean> {
  try {
    await (await installQueueRule(RULE, backend)).remove();
    return true;
  } catch {
    return false;
  }
}

describeInside('A rule that leads packets to a queue', import.meta.filename, () => {
  const available: RuleBackend[] = [];
  let road: Road;

  before(async () => {
    road = await Road.build();
    await markDatagrams();
    for (const backend of ['nft', 'iptables-nft', 'iptables-legacy'] as const) {
      if (await works(backend)) available.push(backend);
    }
  });
  afterEach(async () => {
    road.clear();
    await removeQueueRules();
    await removeQueueRules({ owner: 'somebody' });
    assert.deepEqual(await seen(), []);
  });
  after(async () => {
    await unmarkDatagrams();
    road.close();
  });

  it('can be made here, with the native expression first', async () => {
    assert.ok(available.includes('iptables-legacy') || available.includes('nft'), 'no backend works');
    const rules = await installQueueRule(RULE);
    assert.equal(rules.backend, available[0]);
    assert.deepEqual(rules.families, [4, 6]);
    await rules.remove();
  });

  for (const backend of ['nft', 'iptables-nft', 'iptables-legacy'] as const) {
    describe(`made with ${backend}`, () => {
      before(function () {
        if (!available.includes(backend)) this.skip();
      });

      it('leads both IP versions to the queue, and only what bears the mark', async () => {
        await installQueueRule(RULE, backend);
        for (const family of [4, 6] as const) {
          const lines = await road.listen(family);
          const arrivals = road.queue();
          const send = await road.sender(family);
          await send('held');
          await arrivals.count(1);
          await unmarkDatagrams();
          await send('free');
          await lines.count(1);
          assert.deepEqual(lines.texts, ['free']);
          await markDatagrams();
          arrivals.queue.verdict(arrivals.packets[0]!.id, { action: 'accept', mark: 0 });
          await lines.count(2);
          road.clear();
        }
      });

      it('drops when nobody listens, unless it is told to let pass', async () => {
        for (const bypass of [false, true]) {
          await installQueueRule({ ...RULE, bypass }, backend);
          const lines = await road.listen();
          const send = await road.sender();
          await send('nobody listens').catch(() => {});
          if (bypass) await lines.count(1);
          else await new Promise((resolve) => setTimeout(resolve, 100));
          assert.equal(lines.all.length, bypass ? 1 : 0);
          road.clear();
        }
      });

      it('is one for each IP version, however often it is made, and says when it has gone', async () => {
        const first = await installQueueRule(RULE, backend);
        const second = await installQueueRule({ ...RULE, bypass: true }, backend);
        // The road has mangle of IPv4; where nobody has it, there is a rule in each of two chains.
        assert.equal((await seen()).length, { nft: 1, 'iptables-nft': 2, 'iptables-legacy': 3 }[backend]);
        assert.equal(await second.verify(), true);
        assert.equal(await first.verify(), false, 'the first has been replaced');
        await second.remove();
        assert.equal(await second.verify(), false);
        await second.remove();
        assert.deepEqual(await seen(), []);
      });

      it('sees that somebody has taken it away, even for one IP version', async () => {
        const rules = await installQueueRule(RULE, backend);
        if (backend === 'nft') await run(['nft', 'flush', 'ruleset']);
        else if (backend === 'iptables-nft') await run(['ip6tables-nft', '-t', 'mangle', '-F']);
        else await run(['ip6tables-legacy', '-t', 'security', '-F', 'FORWARD']);
        assert.equal(await rules.verify(), false);
        await rules.remove();
      });

      it('replaces what another backend has made, and a rule of another queue or mark', async () => {
        const changes: Partial<QueueRule>[] = [{}, { queue: QUEUE + 1 }, { mark: 0x20000 }];
        for (const [i, change] of changes.entries()) {
          const older = available[i % available.length]!;
          await installQueueRule({ ...RULE, ...change }, older);
          await installQueueRule({ ...RULE, owner: 'somebody', queue: 9, mark: 1 }, older);
          const rules = await installQueueRule(RULE, backend);
          assert.ok(await rules.verify());
          await rules.remove();
          assert.equal(await removeQueueRules(), 0, `${older} ${JSON.stringify(change)} was left`);
          assert.equal(await removeQueueRules({ owner: 'somebody' }), 1);
        }
      });

      it('is found and removed without memory of it, alone or with others of ours', async () => {
        await installQueueRule(RULE, backend);
        await installQueueRule({ ...RULE, queue: QUEUE + 1, mark: 0x2000 }, backend);
        await installQueueRule({ ...RULE, owner: 'somebody' }, backend);
        assert.equal(await removeQueueRules({ queue: QUEUE }), 1);
        assert.equal(await removeQueueRules(), 1);
        assert.equal(await removeQueueRules(), 0);
        assert.equal(await removeQueueRules({ owner: 'somebody', queue: QUEUE }), 1);
      });
    });
  }

  it('stands before rules of others, and leaves them alone', async function () {
    const others = ['-A', 'POSTROUTING', '-p', 'udp', '-j', 'MARK', '--set-xmark', '0x0/0xffffffff'];
    for (const variant of ['nft', 'legacy'] as const) {
      if (!available.includes(`iptables-${variant}`)) return this.skip();
      const listing = [`iptables-${variant}`, '-t', 'mangle', '-S', 'POSTROUTING'];
      await run([`iptables-${variant}`, '-t', 'mangle', ...others]);
      const before = await run(listing);
      const rules = await installQueueRule(RULE, `iptables-${variant}`);
      assert.match((await run(listing)).split('\n')[1]!, /sallyport_5114_1000/);
      await rules.remove();
      assert.equal(await run(listing), before);
      await run([`iptables-${variant}`, '-t', 'mangle', '-F', 'POSTROUTING']);
      await attempt([`iptables-${variant}`, '-t', 'mangle', '-X', 'POSTROUTING']);
    }
    await attempt(['nft', 'delete', 'table', 'ip', 'mangle']);
  });

  it('makes no table of iptables-legacy that stands in the way of packets more often than it must', async function () {
    if (!available.includes('iptables-legacy')) return this.skip();
    const alone = async (...commands: string[]) => {
      const script = `
        import { execFileSync } from 'node:child_process';
        import { installQueueRule, removeQueueRules } from '${MODULE}';
        const told = (...command) => execFileSync(command[0], command.slice(1), { encoding: 'utf8' });
        const install = () => installQueueRule(${JSON.stringify(RULE)}, 'iptables-legacy');
        const rules = () => ['iptables', 'ip6tables'].flatMap((tool) =>
          told(tool + '-legacy-save').split('\\n').filter((line) => /^[*]|NFQUEUE/.test(line)))
          .map((line) => line.replace(/^(-A \\S+) .*/, '$1'));
        ${commands.join('\n')}`;
      return JSON.parse(await run(['unshare', '--net', process.execPath, '--input-type=module', '-e', script]));
    };
    const print = 'process.stdout.write(JSON.stringify(rules()));';
    const security = ['*security', '-A FORWARD', '-A OUTPUT'];
    assert.deepEqual(await alone('await install();', print), [...security, ...security]);
    assert.deepEqual(await alone('const rule = await install(); await rule.remove();', print), [
      '*security',
      '*security',
    ]);
    const mangle = `told('iptables-legacy', '-t', 'mangle', '-S'); told('ip6tables-legacy', '-t', 'mangle', '-S');`;
    const there = ['*mangle', '-A POSTROUTING'];
    assert.deepEqual(await alone(mangle, 'await install();', print), [...there, ...there]);
    // Of an older one nothing is left, wherever it was.
    const moved = ['*mangle', '-A POSTROUTING', '*security'];
    assert.deepEqual(
      (await alone('await install();', mangle, 'await install();', print)).toSorted(),
      [...moved, ...moved].toSorted(),
    );
    const swept = await alone('await install();', mangle, 'await removeQueueRules();', print);
    assert.deepEqual(
      swept.filter((line: string) => line.startsWith('-A')),
      [],
    );
  });

  it('takes mangle where the kernel has no security table', async () => {
    const without = (tool: string) => `#!/bin/sh
input=$(cat)
case $input in *security*) echo "unable to initialize table 'security'" >&2; exit 3;; esac
printf '%s\\n' "$input" | exec /usr/sbin/xtables-legacy-multi ${tool} "$@"
`;
    const names = ['iptables-legacy-restore', 'ip6tables-legacy-restore'];
    const tools = Object.fromEntries(names.map((name) => [name, without(name)]));
    assert.deepEqual(await installWith(tools, RULE, ['--net']), { families: [4, 6] });
  });

  it('is made for neither when it cannot be made for both, and what was there stays', async () => {
    const old: InstalledRule = await installQueueRule(RULE, 'iptables-legacy');
    const before = await seen();
    const change = { ...RULE, queue: QUEUE + 1 };
    const broken = '#!/bin/sh\necho "ip6tables-restore: line 2 failed" >&2\nexit 1\n';
    assert.deepEqual(await installWith({ 'ip6tables-legacy-restore': broken }, change), {
      code: 'RULE',
      message: `Cannot lead packets with mark 0x1000 to queue ${QUEUE + 1}: ip6tables-legacy-restore: ip6tables-restore: line 2 failed`,
    });
    assert.deepEqual(await seen(), before);
    assert.equal(await old.verify(), true);
  });

  it('is made for IPv4 alone on a system without tools for IPv6, and says so', async () => {
    const none = { 'ip6tables-legacy': undefined, 'ip6tables-legacy-restore': undefined };
    assert.deepEqual(await installWith(none, RULE), { families: [4] });
    assert.equal((await seen()).length, 1);
  });

  it('is not made for a mark that is no bit, a queue that is none, an owner that is no word', async () => {
    const wrong: [Partial<Record<keyof QueueRule, unknown>>, RegExp][] = [
      [{ mark: 0 }, /bit/],
      [{ mark: 0x3000 }, /0x3000 is not one bit/],
      [{ mark: '0x1000; reboot' }, /integer/],
      [{ queue: 65_536 }, /queue number/],
      [{ bypass: 'yes' }, /bypass/],
      [{ owner: 'a b' }, /owner/],
      [{ owner: '-j ACCEPT' }, /owner/],
      [{ owner: 'x'.repeat(32) }, /owner/],
    ];
    for (const [change, reason] of wrong) {
      await assert.rejects(installQueueRule({ ...RULE, ...change } as QueueRule), {
        code: 'ARGUMENT',
        message: reason,
      });
    }
    await assert.rejects(installQueueRule(RULE, 'pf' as RuleBackend), { code: 'ARGUMENT' });
    await assert.rejects(removeQueueRules({ owner: '.*' }), { code: 'ARGUMENT' });
    assert.deepEqual(await seen(), []);
  });

  it('takes no tool from a directory that the environment names', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'sallyport-test-path-'));
    const trace = join(directory, 'called');
    for (const tool of ['nft', 'iptables-nft', 'iptables-legacy', 'iptables']) {
      writeFileSync(join(directory, tool), `#!/bin/sh\necho "$0" >> ${trace}\nexit 1\n`);
      chmodSync(join(directory, tool), 0o755);
    }
    const path = process.env.PATH;
    process.env.PATH = `${directory}:${path}`;
    try {
      await (await installQueueRule(RULE)).remove();
      assert.equal((await attempt(['cat', trace])).stdout, '');
    } finally {
      process.env.PATH = path;
      rmSync(directory, { recursive: true });
    }
  });
});

/**
 * Installs a rule with iptables-legacy where the system's tools are others: `tools` in place of some, undefined for
 * none. In a mount namespace of its own, and `also` others that unshare(1) makes.
 */
async function installWith(
  tools: Readonly<Record<string, string | undefined>>,
  rule: QueueRule,
  also: readonly string[] = [],
): Promise<unknown> {
  const directory = mkdtempSync(join(tmpdir(), 'sallyport-test-sbin-'));
  try {
    copyFileSync('/usr/sbin/xtables-legacy-multi', join(directory, 'xtables-legacy-multi'));
    for (const tool of ['iptables-legacy', 'ip6tables-legacy', 'iptables-legacy-restore', 'ip6tables-legacy-restore']) {
      if (!(tool in tools)) symlinkSync('xtables-legacy-multi', join(directory, tool));
      else if (tools[tool] !== undefined) writeFileSync(join(directory, tool), tools[tool], { mode: 0o755 });
    }
    const script = `
      import { installQueueRule } from '${MODULE}';
      const told = await installQueueRule(${JSON.stringify(rule)}, 'iptables-legacy').then(
        ({ families }) => ({ families }), ({ code, message }) => ({ code, message }));
      process.stdout.write(JSON.stringify(told));`;
    const mounted = `mount --bind ${directory} /usr/sbin && exec "$0" --input-type=module -e "$1"`;
    return JSON.parse(await run(['unshare', '--mount', ...also, '/bin/sh', '-c', mounted, process.execPath, script]));
  } finally {
    rmSync(directory, { recursive: true });
  }
}
