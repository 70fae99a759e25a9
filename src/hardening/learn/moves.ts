import type { FileAccess } from '../../model/hardening.ts';
import { type PathGlob, parsePathGlob } from '../../model/path-glob.ts';
import { pathGlobMatch } from '../../model/path-glob-match.ts';
import type { PathObservation } from './observation.ts';

/**
 * Files that got their name by being renamed. A rename is refused where it would let out what rules refuse under the
 * old name; so what is taken away from a directory must be allowed all that is allowed of what is put there. Which old
 * name became which new one was not seen: each of a directory may have become each.
 */

/** Each round adds accesses to paths, of which there are nine. */
const ROUNDS_MOST = 9;

/**
 * The observations, and what has to be allowed so that the renames among them are.
 * @param allow which accesses are allowed by which glob, when these were seen
 */
export function withMoves(
  observations: readonly PathObservation[],
  allow: (seen: readonly PathObservation[]) => ReadonlyMap<string, readonly FileAccess[]>,
): readonly PathObservation[] {
  const moves = movesOf(observations);
  let seen = observations;
  for (let round = 0; moves.length > 0 && round < ROUNDS_MOST; round++) {
    const globs = [...allow(seen)].flatMap(([text, access]): Allowed[] => {
      const glob = parsePathGlob(text);
      return glob.ok ? [{ glob, access }] : [];
    });
    const known = new Map<string, ReadonlySet<FileAccess>>();
    const accessesOf = (path: string): ReadonlySet<FileAccess> => {
      const found = known.get(path) ?? allowedOf(path, globs);
      known.set(path, found);
      return found;
    };
    const more = moves.flatMap(({ sources, destinations }) => {
      const wanted = new Set(destinations.flatMap((path) => [...accessesOf(path)]));
      return sources.flatMap((path) =>
        [...wanted]
          .filter((access) => !accessesOf(path).has(access))
          .map((access): PathObservation => ({ type: 'path', access, path, cut: false })),
      );
    });
    if (more.length === 0) break;
    seen = [...seen, ...more];
  }
  return seen;
}

interface Allowed {
  readonly glob: PathGlob;
  readonly access: readonly FileAccess[];
}

function allowedOf(path: string, globs: readonly Allowed[]): Set<FileAccess> {
  return new Set(globs.flatMap(({ glob, access }) => (pathGlobMatch(glob, path) ? access : [])));
}

interface Moves {
  readonly sources: readonly string[];
  readonly destinations: readonly string[];
}

/** By directory, where something was taken away and something put. */
function movesOf(observations: readonly PathObservation[]): Moves[] {
  const directories = new Map<string, { sources: Set<string>; destinations: Set<string> }>();
  for (const { access, path, cut } of observations) {
    if (cut || (access !== 'delete' && access !== 'create')) continue;
    const directory = path.slice(0, path.lastIndexOf('/'));
    const entry = directories.get(directory) ?? { sources: new Set(), destinations: new Set() };
    (access === 'delete' ? entry.sources : entry.destinations).add(path);
    directories.set(directory, entry);
  }
  return [...directories.values()]
    .map(({ sources, destinations }) => ({ sources: [...sources], destinations: [...destinations] }))
    .filter(({ sources, destinations }) => sources.length > 0 && destinations.length > 0);
}
