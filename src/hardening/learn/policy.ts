import {
  FILE_ACCESSES,
  type FileAccess,
  type HardeningPolicy,
  type HardeningRule,
  MOUNT_OPERATIONS,
  OPERATIONS,
  POSTURES,
  type Target,
} from '../../model/hardening.ts';
import type { PolicyMode } from '../../model/policy.ts';
import type { WorkloadSelector } from '../../model/selector.ts';
import { withMoves } from './moves.ts';
import { generalizeName } from './names.ts';
import { networkRules } from './networks.ts';
import type { Observation, PathObservation } from './observation.ts';
import { generalizePaths } from './tree.ts';

export interface LearnOptions {
  readonly namespace: string;
  readonly name: string;
  readonly subject: WorkloadSelector;
  readonly mode: PolicyMode;
  /** A directory, or a port, of which more different files or addresses were seen is allowed whole. */
  readonly children: number;
}

type Of<T extends Observation['type']> = Extract<Observation, { readonly type: T }>;

/** The policy that allows what was seen, names that vary left open, and denies the rest: pure, in an order of its own. */
export function learnPolicy(observations: readonly Observation[], options: LearnOptions): HardeningPolicy {
  const of = <T extends Observation['type']>(type: T): Of<T>[] =>
    observations.filter((one): one is Of<T> => one.type === type);
  const { namespace, name, subject, mode, children } = options;
  const paths = withMoves(of('path'), (seen) => accessesOf(seen, FILE_ACCESSES, children));
  return {
    kind: 'HardeningPolicy',
    namespace,
    name,
    labels: {},
    annotations: {},
    subject,
    priority: 1000,
    explicitPriority: false,
    mode,
    defaults: Object.fromEntries(POSTURES.map((posture) => [posture, 'Deny'])),
    rules: [
      ...pathRules(paths, FILE_ONLY, children),
      ...pathRules(paths, SOCKETS, children),
      ...capabilityRules(of('capability')),
      ...rule('operations', operations(of('operation'))),
      ...rule('sockets', sockets(of('socket'))),
      ...rule('mounts', mounts(of('mount'))),
      ...networkRules(of('network'), children).flatMap(({ name, target }) => rule(name, [target])),
    ],
  };
}

/** A document says what is done to UNIX sockets apart from what is done to files. */
const SOCKETS: readonly FileAccess[] = ['connect', 'bind'];
const FILE_ONLY = FILE_ACCESSES.filter((access) => !SOCKETS.includes(access));

function rule(name: string, targets: readonly Target[]): HardeningRule[] {
  return targets.length === 0 ? [] : [{ name, action: 'Allow', ready: [], targets }];
}

/** One rule for each set of accesses, named by them. */
function pathRules(
  observations: readonly PathObservation[],
  accesses: readonly FileAccess[],
  children: number,
): HardeningRule[] {
  const sets = new Map<string, { readonly access: readonly FileAccess[]; readonly paths: string[] }>();
  for (const [glob, access] of accessesOf(observations, accesses, children)) {
    const key = access.map((one) => String.fromCharCode(FILE_ACCESSES.indexOf(one))).join('');
    const set = sets.get(key) ?? { access, paths: [] };
    set.paths.push(glob);
    sets.set(key, set);
  }
  const inOrder = [...sets].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, set]) => set);
  return inOrder.flatMap(({ access, paths }) =>
    rule(access.join('-'), [{ type: 'paths', paths: paths.sort(), except: [], access }]),
  );
}

/** Which accesses are allowed by which glob. */
function accessesOf(
  observations: readonly PathObservation[],
  accesses: readonly FileAccess[],
  children: number,
): Map<string, FileAccess[]> {
  const found = new Map<string, FileAccess[]>();
  for (const access of accesses) {
    const seen = observations.filter((one) => one.access === access);
    for (const glob of globsOf(seen, children, access === 'execute')) {
      const others = found.get(glob);
      if (others === undefined) found.set(glob, [access]);
      else others.push(access);
    }
  }
  return found;
}

function globsOf(observations: readonly PathObservation[], children: number, execution: boolean): string[] {
  const isAbstract = ({ path }: PathObservation): boolean => path.startsWith('@');
  // Names of sockets are made up as those of temporary files are.
  const abstract = observations.filter(isAbstract).map(({ path }) => `@${generalizeName(path.slice(1), '/tmp')}`);
  const named = observations.filter((one) => !isAbstract(one));
  // Of a path whose beginning is missing, the first name may be only the end of one.
  const tails = named.filter((one) => one.cut).map(({ path }) => path.slice(Math.max(0, path.indexOf('/'))));
  const whole = named.filter((one) => !one.cut).map(({ path }) => path);
  const globs = [tails, whole].flatMap((paths, n) => generalizePaths(paths, { children, execution, cut: n === 0 }));
  return [...new Set([...abstract, ...globs])];
}

function capabilityRules(observations: readonly Of<'capability'>[]): HardeningRule[] {
  return (['container', 'user-namespace'] as const).flatMap((within) => {
    const numbers = observations.filter((one) => one.within === within).map((one) => one.capability);
    const capabilities = [...new Set(numbers)].sort((a, b) => a - b);
    if (capabilities.length === 0) return [];
    return rule(`capabilities-in-${within}`, [{ type: 'capabilities', capabilities, within }]);
  });
}

function operations(observations: readonly Of<'operation'>[]): Target[] {
  const seen = new Set(observations.map((one) => one.operation));
  return seen.size === 0 ? [] : [{ type: 'operations', operations: OPERATIONS.filter((one) => seen.has(one)) }];
}

/** The protocol of streams and of datagrams of IP, which 0 stands for as well. */
const USUAL: Readonly<Record<number, number>> = { 1: 6, 2: 17 };
const INET: ReadonlySet<number> = new Set([2, 10]);

function sockets(observations: readonly Of<'socket'>[]): Target[] {
  const all = new Map<string, Of<'socket'>>();
  for (const { family, kind, protocol } of observations) {
    const usual = INET.has(family) ? USUAL[kind] : undefined;
    const same = usual !== undefined && (protocol === 0 || protocol === usual) ? [0, usual] : [protocol];
    for (const one of same) all.set(`${family} ${kind} ${one}`, { type: 'socket', family, kind, protocol: one });
  }
  return [...all.values()].sort((a, b) => a.family - b.family || a.kind - b.kind || a.protocol - b.protocol);
}

function mounts(observations: readonly Of<'mount'>[]): Target[] {
  const seen = new Set(observations.map((one) => one.operation));
  if (seen.size === 0) return [];
  const wanted = MOUNT_OPERATIONS.filter((one) => seen.has(one));
  return [{ type: 'mounts', operations: wanted, fileSystems: [], writable: false, devices: false }];
}
