/** What is done to other processes, inside and outside. */
import { Background } from '../../../rig/process.ts';
import type { Deeds, Stage } from './deeds.ts';

async function prepare(): Promise<Stage> {
  const outside = new Background(['sleep', '3600']);
  return { names: { outside: String(outside.pid) }, close: () => outside.close() };
}

export const OTHERS: Deeds = {
  what: 'rules on other processes',
  prepare,
  trials: [
    {
      title: 'refuse to look into those outside, by whatever call',
      rules: '[{name: trace, operations: [ptrace-outside]}]',
      attack: 'ptrace {outside}',
      around: ['read-memory {outside}', 'take-descriptor {outside}'],
      neighbours: [
        'ptrace-child',
        'ptrace-me',
        'read-environment self',
        'read-status {outside}',
        'signal {outside} 18',
      ],
    },
    {
      title: 'refuse to read what /proc guards of those outside',
      rules: '[{name: trace, operations: [ptrace-outside]}]',
      refusal: 'EACCES',
      attack: 'read-environment {outside}',
      around: ['enter-root {outside}'],
      neighbours: ['read-status {outside}', 'read-environment self'],
    },
    {
      title: 'refuse to look into any',
      rules: '[{name: trace, operations: [ptrace]}]',
      attack: 'ptrace {outside}',
      around: ['ptrace-child', 'ptrace-me', 'read-memory {outside}', 'take-descriptor {outside}'],
      neighbours: ['read-environment {outside}', 'signal-child'],
    },
    {
      title: 'refuse signals to those outside, and let those inside reach each other',
      rules: '[{name: signal, operations: [signal-outside]}]',
      attack: 'signal {outside} 18',
      around: ['signal-descriptor {outside} 18', 'signal-thread {outside} 18'],
      neighbours: ['signal {outside} 0', 'signal-child', 'signal-orphan', 'own-pipe'],
    },
  ],
};
