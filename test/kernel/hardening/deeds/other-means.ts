/** Ways round rules that do not look like what the rule is about. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Background, run } from '../../../rig/process.ts';
import type { Deeds, Stage } from './deeds.ts';

async function prepare(directory: string): Promise<Stage> {
  await run(['ip', 'link', 'set', 'lo', 'up']);
  const keep = join(directory, 'keep');
  mkdirSync(keep);
  const outside = new Background(['sleep', '3600']);
  const close = (): void => outside.close();
  return { names: { directory, keep, outside: String(outside.pid) }, close };
}

export const OTHER_MEANS: Deeds = {
  what: 'rules and what does the same by other means',
  prepare,
  trials: [
    {
      title: 'refuse to have the kernel signal those outside, and to limit them',
      rules: '[{name: signal, operations: [signal-outside]}]',
      attack: 'signal-pipe {outside} 18',
      around: ['signal-socket {outside} 18', 'signal-owner {outside}', 'limit {outside}'],
      neighbours: ['own-pipe', 'limit 0'],
    },
    {
      title: 'refuse packets whose own header names another address than the socket',
      rules: '[{name: net, network: {cidrs: [127.1.0.0/16]}}]',
      attack: 'send-own-header 127.0.0.1 127.1.2.3 send',
      around: ['send-own-header 127.0.0.1 127.1.2.3 connect', 'send-own-header 127.0.0.1 127.1.2.3 option'],
      neighbours: ['send-raw 127.0.0.1 0 1', 'send 127.0.0.1 7'],
    },
    {
      title: 'refuse disks that are driven by character devices',
      rules: '[{name: disks, operations: [disk-read, disk-write]}]',
      attack: { act: 'open-node r c 21 200', free: 'ENXIO' },
      around: [{ act: 'open-node w c 21 201', free: 'ENXIO' }],
      neighbours: ['open-node w c 1 3'],
    },
    {
      title: 'refuse to take names away, and let names that are free be taken',
      rules: '[{name: keep, files: {paths: ["{keep}/**"], access: [delete]}}]',
      refusal: 'EACCES',
      attack: 'move-in {keep} {directory}',
      around: [],
      neighbours: ['move-in {directory} {keep}'],
    },
  ],
};
