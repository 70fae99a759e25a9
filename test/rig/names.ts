/**
 * Names of everything the rig makes. Each carries the process that made it, so that a leftover can be told
 * from what a test in another process is using right now.
 */

const PREFIX = 'sallyport-test';
let counter = 0;

/** `sallyport-test-PID-N-label`: for namespaces, cgroups and directories. */
export function uniqueName(label: string): string {
  counter += 1;
  return `${PREFIX}-${process.pid}-${counter}-${label}`;
}

/** An interface name (at most 15 characters): `spPID_N`, both in base 36. */
export function uniqueInterface(): string {
  counter += 1;
  return `sp${process.pid.toString(36)}_${counter.toString(36)}`;
}

/** What this process makes under a common parent, such as a cgroup, is kept under this name. */
export function processName(): string {
  return `${PREFIX}-${process.pid}`;
}

/** The pid in a name or path made by `uniqueName`, `processName` or `uniqueInterface`; undefined for others' names. */
export function creatorOf(name: string): number | undefined {
  // Not what mkdtemp made up, which may begin with a digit.
  const long = name.match(/sallyport-test-(\d+)(?![0-9A-Za-z])/);
  if (long) return Number(long[1]);
  const short = name.match(/\bsp([0-9a-z]+)_[0-9a-z]+\b/);
  return short ? Number.parseInt(short[1]!, 36) : undefined;
}
