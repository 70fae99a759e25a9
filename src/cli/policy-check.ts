import { AgentError } from '../agent/errors.ts';
import { faultOf } from '../agent/policy-fault.ts';
import { READY_NAMES } from '../agent/ready-names.ts';
import type { AnyPolicy } from '../model/any-policy.ts';
import { hardeningSetErrors } from '../model/hardening-set.ts';
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
): { policies: AnyPolicy[]; warnings: string[] } {
  const files = inputs.map(({ file, text }) => parsePolicyFile(file, Buffer.from(text)));
  const policies = files.flatMap((file) => file.policies);
  const hardening = files.flatMap((file) => file.hardening);
  const problems = [
    ...files.flatMap((file) => file.problems),
    ...checkPolicySet(policies),
    ...hardeningSetErrors(hardening, READY_NAMES),
  ];
  const fatal = problems.filter(({ severity }) => strict || severity === 'error');
  if (fatal.length > 0) throw new AgentError('INVALID', 'The policies do not validate', { faults: fatal.map(faultOf) });
  const all = [...policies, ...hardening].map(({ policy }) => policy);
  return { policies: all, warnings: problems.map(formatProblem) };
}
