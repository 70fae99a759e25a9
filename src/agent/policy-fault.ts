import type { PolicyProblem } from '../model/problem.ts';
import type { Fault } from './errors.ts';

/** A policy's problem in the shape all faults of inputs have. */
export function faultOf(problem: PolicyProblem): Fault {
  const { file, line, column, path, found, wanted, hint } = problem;
  const related = (problem.related ?? []).map((place) => `; see ${place.file}:${place.line}:${place.column}`).join('');
  return {
    file,
    line,
    column,
    ...(path === '' ? {} : { field: path }),
    message: `found ${found}, wanted ${wanted}${hint === undefined ? '' : ` (${hint})`}${related}`,
  };
}
