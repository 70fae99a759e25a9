/** What the kernel offers beside files, mounts and sockets, and memory that is written and run. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Deeds, Stage } from './deeds.ts';

async function prepare(directory: string): Promise<Stage> {
  const nonsense = join(directory, 'nonsense');
  writeFileSync(nonsense, 'no program\n'.repeat(1000));
  return { names: { nonsense, program: '/bin/busybox' }, close: () => {} };
}

const rule = (...operations: readonly string[]): string => `[{name: one, operations: [${operations.join(', ')}]}]`;

export const FACILITIES: Deeds = {
  what: 'rules on operations',
  prepare,
  trials: [
    {
      title: 'refuse bpf(2)',
      rules: rule('bpf'),
      attack: 'bpf',
      around: ['bpf-next'],
      neighbours: ['old-filter', 'perf'],
    },
    { title: 'refuse perf events', rules: rule('perf'), attack: 'perf', around: [], neighbours: ['bpf'] },
    {
      title: 'refuse rings',
      rules: rule('io-uring'),
      attack: 'ring',
      around: ['ring-polled', 'ring-socket 2 1 0'],
      neighbours: ['memfd', 'userfault', 'socket 2 1 0'],
    },
    {
      title: 'refuse page faults handled by a process, by call and by device',
      rules: rule('userfaultfd'),
      attack: 'userfault',
      around: ['userfault-device'],
      neighbours: ['memfd', 'ring'],
    },
    {
      title: 'refuse keys',
      rules: rule('keyring'),
      attack: 'add-key',
      // What may not be searched is not found.
      around: ['join-keyring', { act: 'read-keyring', refused: 'ENOKEY' }],
      neighbours: ['memfd', 'setuid 1234'],
    },
    {
      title: "refuse the kernel's log, by call and by device",
      rules: rule('syslog'),
      attack: 'syslog',
      around: ['kmsg'],
      neighbours: ['kmsg-write'],
    },
    {
      title: 'refuse to set the clock, by whatever call',
      rules: rule('settime'),
      attack: 'set-time',
      around: ['adjust-time'],
      neighbours: ['read-time'],
    },
    {
      title: 'refuse modules, from a file and from memory, and taking one away',
      rules: rule('kernel-module'),
      attack: 'module-file {nonsense}',
      around: ['module-memory', 'need 16'],
      neighbours: ['kexec-file {nonsense}', 'socket 2 1 0'],
    },
    {
      title: 'refuse another kernel',
      rules: rule('kexec'),
      attack: 'kexec-file {nonsense}',
      around: ['kexec'],
      neighbours: ['module-file {nonsense}'],
    },
    {
      title: 'refuse memory that is written and run, at once or one after the other',
      rules: rule('writable-execute'),
      refusal: 'EACCES',
      attack: 'map-writable-executable',
      around: ['write-then-execute', 'two-views', 'shared-segment', 'changed-text {program}'],
      neighbours: ['mapped-text {program}', 'sealed-data', 'memfd'],
    },
  ],
};
