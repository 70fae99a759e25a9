import { CAPABILITIES } from '../../../../src/hardening/catalogue/index.ts';
import { UNTRIED } from '../../../../src/hardening/catalogue/untried.ts';
import type { Scenario } from './scenario.ts';

/** What the kernel asks outside of whoever maps the users of a namespace. */
const MAPPING: ReadonlySet<string> = new Set(['setgid', 'setuid', 'setfcap']);

const harmless = (number: number): string => (number === 0 ? 'need 10' : 'need 0');

const single: readonly Scenario[] = CAPABILITIES.flatMap((name, number) => {
  const insideToo = !UNTRIED.has(`no-userns-capability-${name}`);
  const outside: Scenario = {
    rule: `no-capability-${name}`,
    attack: `need ${number}`,
    around: [`unshared need ${number}`],
    neighbours: [harmless(number), ...(insideToo && !MAPPING.has(name) ? [`need-inside ${number}`] : [])],
  };
  const inside: Scenario = {
    rule: `no-userns-capability-${name}`,
    attack: `need-inside ${number}`,
    around: [`unshared need-inside ${number}`],
    neighbours: [`need ${number}`],
  };
  return [outside, inside].filter(({ rule }) => !UNTRIED.has(rule));
});

export const CAPABILITY: readonly Scenario[] = [
  {
    rule: 'no-capabilities',
    attack: 'need 0',
    around: ['need 21', 'need 10', 'need-inside 21', 'usual mknod /tmp/node c 1 3'],
    neighbours: ['open r name /etc/app.conf', 'create /tmp/file', 'socket 2 1 0'],
  },
  {
    rule: 'no-capabilities-but-net-bind-service',
    attack: 'need 0',
    around: ['need 21', 'need 7', 'need-inside 21'],
    neighbours: ['need 10', 'userns', 'open r name /etc/app.conf'],
  },
  {
    rule: 'no-userns-capabilities',
    attack: 'need-inside 21',
    around: ['need-inside 12', 'need-inside 10', 'in-userns mount tmpfs none /mnt 0'],
    neighbours: ['need 21', 'need 0', 'userns'],
  },
  ...single,
];
