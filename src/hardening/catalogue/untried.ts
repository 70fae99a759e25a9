/** Ready rules that no scenario of `test/kernel/hardening/catalogue` tries, each with its reason; all others are tried. */
import type { Capability } from './capabilities.ts';

/** Only Smack and AppArmor ask for them, and the kernels that scenarios run on need not have either switched on. */
const ASKED_BY_OTHERS: readonly Capability[] = ['mac-override', 'mac-admin'];

/** What the kernel asks of the node's own user namespace only: no other grants it. */
const NEVER_INSIDE: readonly Capability[] = [
  ...(['linux-immutable', 'ipc-lock', 'sys-module', 'sys-rawio', 'sys-pacct', 'sys-tty-config', 'mknod'] as const),
  ...(['lease', 'audit-write', 'audit-control', 'syslog', 'wake-alarm', 'block-suspend', 'audit-read'] as const),
  ...(['perfmon', 'bpf'] as const),
];

const SMACK = 'nothing but Smack and AppArmor asks for it';
const OUTSIDE = 'no kernel asks for it in a user namespace, so there is nothing to stop';

/** By name of the rule; the reason begins in lower case and has no full stop. */
export const UNTRIED: ReadonlyMap<string, string> = new Map([
  ...ASKED_BY_OTHERS.map((name) => [`no-capability-${name}`, SMACK] as const),
  ...ASKED_BY_OTHERS.map((name) => [`no-userns-capability-${name}`, SMACK] as const),
  ...NEVER_INSIDE.map((name) => [`no-userns-capability-${name}`, OUTSIDE] as const),
]);
