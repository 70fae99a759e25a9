/** What containers attack with their first instructions, and what they get where they are judged. */

/** Of each kind; a proof takes a thousand: `HARDENING_STARTS=500`. */
export const STARTS = Number(process.env.HARDENING_STARTS || 5);
/** An emulated machine takes its time. */
export const PATIENCE_MS = 120_000;

/** Where the kernel is told which program handles crashes, on the host, as root. */
export const CORE_PATTERN = '/proc/sys/kernel/core_pattern';
/** Runtimes read the file of accounts themselves, in the container. */
export const SECRET = '/bin/traffic';

/** Bits of the attack's exit status. */
const OUTCOME = { read: 1, written: 2, ran: 64 } as const;
export const SUCCESS = OUTCOME.ran | OUTCOME.read | OUTCOME.written;

/** By a container of either kind. */
export const ATTACKS = [
  { privileged: true, path: CORE_PATTERN, gets: OUTCOME.ran | OUTCOME.read },
  { privileged: false, path: SECRET, gets: OUTCOME.ran },
] as const;
export type Attack = (typeof ATTACKS)[number];

/** The policy that refuses them to a workload of the namespace "shop". */
export function attackerPolicy(workload: string): string {
  return `apiVersion: sallyport.dev/v1alpha1
kind: HardeningPolicy
metadata: {name: attacker, namespace: shop}
spec:
  subject: {workload: ${workload}}
  rules:
    - {name: host, ready: [no-core-pattern-write]}
    - {name: secret, action: Deny, files: {paths: [${SECRET}], access: [read, modify]}}
`;
}
