/** What is tried for each ready rule: the words of deeds (`test/rig/deeds`), done in the room. */

/**
 * A deed, what it answers where nothing refuses (`ok` unless told), and where the rule does (EPERM or EACCES unless
 * told). `{name}` stands for what the room has.
 */
export type Attempt = string | { readonly act: string; readonly free?: string; readonly refused?: string };

export interface Scenario {
  /** The ready rule. */
  readonly rule: string;
  /** What it stops. */
  readonly attack: Attempt;
  /** Other ways to the same, refused too. */
  readonly around: readonly Attempt[];
  /** What goes on as ever: near-miss names, the other access, ordinary work. */
  readonly neighbours: readonly Attempt[];
}

export const actOf = (attempt: Attempt): string => (typeof attempt === 'string' ? attempt : attempt.act);
export const freeOf = (attempt: Attempt): string => (typeof attempt === 'string' ? 'ok' : (attempt.free ?? 'ok'));

/** Whether an answer says that the rule refused. */
export function isRefusal(attempt: Attempt, answer: string): boolean {
  const told = typeof attempt === 'string' ? undefined : attempt.refused;
  return told === undefined ? answer === 'EPERM' || answer === 'EACCES' : answer === told;
}

export const read = (path: string, way = 'name'): string => `open r ${way} ${path}`;
export const write = (path: string, way = 'name'): string => `open w ${way} ${path}`;

/** Nobody listens there, which is another answer than a refusal. */
export const refused = (act: string): Attempt => ({ act, free: 'ECONNREFUSED' });

/** A rule on reading: other ways to the same file, others like it, and what is not meant. */
export function reading(
  rule: string,
  path: string,
  around: readonly Attempt[],
  neighbours: readonly Attempt[],
): Scenario {
  const others = ['descriptor', 'directory', 'process-root', 'bind-mount', 'ring', 'renaming'];
  const ways = others.map((way) => read(path, way));
  return { rule, attack: read(path), around: [...ways, ...around], neighbours };
}

/** The same for files of procfs and sysfs, which can be mounted anew. */
export function readingKernel(
  rule: string,
  path: string,
  around: readonly Attempt[],
  neighbours: readonly Attempt[],
): Scenario {
  const ways = ['directory', 'bind-mount', 'fresh-mount'].map((way) => read(path, way));
  return { rule, attack: read(path), around: [...ways, ...around], neighbours };
}

export function writingKernel(
  rule: string,
  path: string,
  around: readonly Attempt[],
  neighbours: readonly Attempt[],
): Scenario {
  const ways = ['descriptor', 'process-root', 'changed-root', 'bind-mount', 'fresh-mount'].map((way) =>
    write(path, way),
  );
  return { rule, attack: write(path), around: [...ways, ...around], neighbours: [read(path), ...neighbours] };
}

/** A rule on changing a file: its content, its name, its attributes, and what takes its place. */
export function changing(
  rule: string,
  path: string,
  around: readonly Attempt[],
  neighbours: readonly Attempt[],
): Scenario {
  const ways = [
    write(path, 'symbolic-link'),
    write(path, 'bind-mount'),
    write(path, 'hard-link'),
    `truncate ${path}`,
    `replace ${path}`,
    `rename ${path} /var/taken`,
    `remove ${path}`,
    `chmod ${path} 600`,
  ];
  return { rule, attack: write(path), around: [...ways, ...around], neighbours: [read(path), ...neighbours] };
}

/** A rule on programs of a name, and what makes another name of it. */
export function executing(
  rule: string,
  path: string,
  more: readonly string[],
  neighbours: readonly string[],
): Scenario {
  const ways = ['descriptor', 'symbolic-link', 'hard-link', 'bind-mount', 'interpreter', 'loader', 'copy', 'memory'];
  return {
    rule,
    attack: `execute name ${path}`,
    around: [
      ...ways.map((way) => `execute ${way} ${path}`),
      `rename ${path} /var/taken`,
      ...more.map((other) => `execute name ${other}`),
    ],
    neighbours: neighbours.map((other) => `execute name ${other}`),
  };
}

/** A rule on a socket by its path. */
export function connecting(rule: string, path: string, more: readonly Attempt[]): Scenario {
  return {
    rule,
    attack: `unix-connect ${path}`,
    around: [`unix-connect-descriptor ${path}`, `unix-connect-link ${path}`, ...more],
    neighbours: ['unix-connect /run/served.sock', 'unix-pair', 'unix-connect @deed-served'],
  };
}
