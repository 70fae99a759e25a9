import assert from 'node:assert/strict';
import { HardeningClass, HardeningClassName } from '../../src/datapath/layouts.gen.ts';
import { VIOLATION_CLASSES } from '../../src/events/event.ts';
import { EventJournal } from '../../src/events/journal.ts';
import { summary } from '../../src/events/summary.ts';
import { decodeViolation, type ViolationRecord, violationClass } from '../../src/events/violation.ts';
import { formatIdentity } from '../../src/model/identity.ts';
import { names, refusedRead, web } from './record.ts';

describe('a violation', () => {
  it('becomes an event with the names of the container, the rule and what was done', () => {
    assert.deepEqual(decodeViolation(refusedRead, names, 7), {
      sequence: 7,
      time: '2026-01-02T03:04:05.678Z',
      type: 'violation',
      verdict: 'Deny',
      class: 'file',
      action: 'read',
      object: '/etc/shadow',
      workload: 'shop/Service/web',
      container: 'web-1',
      containerId: 'c1',
      identity: formatIdentity(web.id),
      rule: { id: 9, policy: 'shop/web', name: 'secrets', ready: 'shadow-file' },
      executable: '/bin/cat',
      process: refusedRead.process,
      ancestors: refusedRead.ancestors,
      suppressed: 0,
    });
  });

  const { path: _path, ...pathless } = refusedRead;
  const done: readonly (readonly [Partial<ViolationRecord>, string, string?])[] = [
    [{ class: 1, detail: 5n, path: '/bin/sh' }, 'execute', '/bin/sh'],
    [{ class: 2, detail: 21n }, 'SYS_ADMIN'],
    [{ class: 2, detail: 64n + 12n }, 'NET_ADMIN in a user namespace'],
    [{ class: 3, detail: 1n }, 'ptrace-outside'],
    [{ class: 4, detail: (10n << 32n) | (3n << 16n) | 58n }, 'inet6 raw 58'],
    [{ class: 4, detail: (38n << 32n) | (5n << 16n) }, 'alg seqpacket'],
    [{ class: 4, detail: (99n << 32n) | (9n << 16n) }, '99 9'],
    [{ class: 5, detail: 2n | 4n, path: '/mnt' }, 'bind remount', '/mnt'],
    [{ class: 6, detail: (6n << 16n) | 443n, address: '10.0.0.1' }, 'TCP', '10.0.0.1:443'],
    [{ class: 6, detail: (17n << 16n) | 53n, address: 'fd00::1' }, 'UDP', '[fd00::1]:53'],
    [{ class: 7, detail: (1n << 32n) | 1n, path: '/x' }, 'file write', '/x'],
    [{ class: 7, detail: (3n << 32n) | 7n }, 'operation kernel-module'],
    [{ class: 99, detail: 5n }, '5'],
  ];
  for (const [change, action, object] of done) {
    it(`of class ${change.class} says ${action}`, () => {
      const event = decodeViolation({ ...pathless, ...change }, names, 1);
      assert.deepEqual([event.action, event.object], [action, object]);
      assert.equal(event.class, violationClass(change.class ?? 0));
    });
  }

  it('has the kernel’s names of classes', () => {
    const numbers = Object.values(HardeningClass);
    assert.deepEqual(
      numbers.map(violationClass),
      numbers.map((number) => HardeningClassName(number).toLowerCase()),
    );
    assert.equal(VIOLATION_CLASSES.length, numbers.length);
  });

  it('of a container or a rule that is gone is told all the same, without guessing', () => {
    const event = decodeViolation({ ...refusedRead, container: 'c2' }, names, 1);
    assert.deepEqual([event.workload, event.container, event.identity], ['unknown', '', undefined]);
    assert.deepEqual(event.rule, { id: 9, policy: '', name: '' });
    assert.equal(decodeViolation({ ...refusedRead, rule: 0, stagedRule: 0 }, names, 1).rule, undefined);
  });

  it('says what staged policies would have said, where that differs', () => {
    assert.equal(decodeViolation(refusedRead, names, 1).staged, undefined);
    const event = decodeViolation({ ...refusedRead, verdict: 1, rule: 0 }, names, 1);
    assert.equal(event.verdict, 'Allow');
    assert.deepEqual(event.staged, {
      verdict: 'Deny',
      rule: { id: 9, policy: 'shop/web', name: 'secrets', ready: 'shadow-file' },
    });
  });

  it('reads as a sentence', () => {
    assert.equal(
      summary(decodeViolation(refusedRead, names, 1)),
      'Deny file read /etc/shadow: shop/Service/web[web-1] /bin/cat (pid 70) by shop/web#secrets',
    );
  });

  it('is found by container, workload and policy, and counted once for each different one', () => {
    const options = { names, now: () => 0, keep: 16, queue: 4, followers: 2, observe: () => {} };
    const seen: number[] = [];
    const journal = new EventJournal({ ...options, sinks: [(_, { count }) => seen.push(count)] });
    journal.addViolations([refusedRead, { ...refusedRead, process: { pid: 80, thread: 80, user: 1 } }]);
    journal.addViolations([{ ...refusedRead, path: '/etc/gshadow' }]);
    assert.deepEqual(seen, [1, 2, 1]);
    for (const about of ['c1', 'shop/Service/web', 'shop/web']) assert.equal(journal.list({ about }, 9).length, 3);
    assert.deepEqual(journal.list({ about: 'shop/Service/api' }, 9), []);
    assert.equal(journal.list({ types: ['violation'], verdicts: ['Deny'] }, 9).length, 3);
  });
});
