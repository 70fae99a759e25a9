/** Capabilities, user namespaces, and becoming root. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Deeds, Stage } from './deeds.ts';

/** A file of the root, which in the machines of test/vm is an overlay: writing to it makes a copy in the upper layer. */
const LOWER = '/etc/networks';

async function prepare(directory: string): Promise<Stage> {
  const owned = join(directory, 'owned');
  writeFileSync(owned, '');
  return { names: { owned, lower: LOWER }, close: () => {} };
}

export const CAPABILITIES: Deeds = {
  what: 'rules on capabilities',
  prepare,
  trials: [
    {
      title: 'refuse a capability, and leave what needs none',
      rules: '[{name: nice, capabilities: {names: [SYS_NICE]}}]',
      refusal: 'EACCES',
      attack: 'priority -5',
      around: [],
      neighbours: ['priority 5', 'chown {owned}', 'sethostname'],
    },
    {
      title: 'know the file system on which it is used, not the one that lies below it',
      rules: '[{name: all, capabilities: {names: [SYS_ADMIN, CHOWN, DAC_OVERRIDE], within: Container}}]',
      attack: 'sethostname',
      around: ['chown {owned}'],
      neighbours: ['append {lower}', 'userns-sethostname'],
    },
    {
      title: 'tell a user namespace from the container',
      rules: '[{name: inside, capabilities: {names: ["*"], within: UserNamespace}}]',
      attack: 'userns-sethostname',
      around: [],
      neighbours: ['sethostname', 'chown {owned}'],
    },
    {
      title: 'hold in workers of rings and for credentials that rings borrow',
      rules: '[{name: raw, capabilities: {names: [NET_RAW]}}]',
      attack: 'socket 2 3 1',
      around: ['ring-socket 2 3 1', 'socket 17 3 0', 'ring-lends'],
      neighbours: ['socket 2 1 0', 'ring-socket 2 1 0', 'ring'],
    },
    {
      title: 'refuse user namespaces, by whatever call',
      rules: '[{name: users, operations: [user-namespace]}]',
      attack: 'userns',
      around: ['userns-clone', 'userns-clone3', 'userns-sethostname'],
      neighbours: ['utsns', 'sethostname'],
    },
    {
      title: 'let nobody become root who was not, and root be who it likes',
      rules: '[{name: root, operations: [become-root]}]',
      attack: 'become-root',
      around: ['become-root-fs'],
      neighbours: ['step-aside', 'setuid 1234'],
    },
  ],
};
