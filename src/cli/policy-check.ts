import { AgentError } from '../agent/errors.ts';
import { faultOf } from '../agent/policy-fault.ts';
import type { Policy } from '../model/policy.ts';
import { parsePolicyFile } from '../model/policy-file.ts';
import { checkPolicySet } from '../model/policy-set.ts';
import { formatProblem } from '../model/problem.ts';
import type { InputFile } from './policy-input.ts';

/** Validation without an agent. Loaded only by the commands that need it: the schema takes time to build. */

/**
 * Checks files by themselves and beside each other.
 * @param strict warnings are errors
 * @returns warnings, one line each
 * @throws AgentError INVALID with every error
 */
export function checkPolicies(
  inputs: readonly InputFile[],
  strict: boolean,
): { policies: Policy[]; warnings: string[] } {
  const files = inputs.map(({ file, text }) => parsePolicyFile(file, Buffer.from(text)));
  const policies = files.flatMap((file) => file.policies);
  const problems = [...files.flatMap((file) => file.problems), ...checkPolicySet(policies)];
  const fatal = problems.filter(({ severity }) => strict || severity === 'error');
  if (fatal.length > 0) throw new AgentError('INVALID', 'The policies do not validate', { faults: fatal.map(faultOf) });
  return { policies: policies.map((located) => located.policy), warnings: problems.map(formatProblem) };
}
