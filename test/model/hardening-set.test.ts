import assert from 'node:assert/strict';
import { hardeningSetErrors, hardeningSetWarnings } from '../../src/model/hardening-set.ts';
import { deriveIdentity } from '../../src/model/identity.ts';
import type { LocatedHardeningPolicy } from '../../src/model/located-policy.ts';
import { MAX_SET_PROBLEMS } from '../../src/model/policy-set.ts';
import { formatProblem } from '../../src/model/problem.ts';
import { parse } from './documents.ts';
import { CLUSTER_HARDENING, HARDENING } from './hardening-documents.ts';

const READY = new Set(['no-module-load', 'no-bpf', 'baseline']);

function hardeningOf(...files: readonly string[]): LocatedHardeningPolicy[] {
  return files.flatMap((text, i) => {
    const { hardening, problems } = parse(text, `${i}.yaml`);
    assert.deepEqual(problems.map(formatProblem), []);
    return hardening;
  });
}

describe('hardening policies beside each other', () => {
  it('are good where their ready rules are in the catalogue', () => {
    assert.deepEqual(hardeningSetErrors(hardeningOf(HARDENING, CLUSTER_HARDENING), READY), []);
  });

  it('name a ready rule that there is not, where it stands, and what was meant', () => {
    const [problem, ...more] = hardeningSetErrors(
      hardeningOf(HARDENING.replace('no-module-load', 'no-module-loda')),
      READY,
    );
    assert.deepEqual(more, []);
    assert.equal(
      formatProblem(problem ?? assert.fail()),
      '0.yaml:13:15: error: spec.rules[0].ready[0]: found "no-module-loda" in rule usual, wanted a ready rule of the ' +
        'catalogue (see "sallyport profile catalogue") (did you mean no-module-load)',
    );
    assert.equal(problem?.code, 'UNKNOWN_READY_RULE');
  });

  it('say no more than a bounded number of times what is unknown', () => {
    const names = Array.from({ length: 256 }, (_, i) => `x-${i}`);
    const policies = hardeningOf(HARDENING.replace('no-module-load, baseline', names.join(', ')));
    assert.equal(hardeningSetErrors(policies, READY).length, MAX_SET_PROBLEMS);
  });

  it('may not have one name twice, but the name of a network policy or of another kind', () => {
    const errors = hardeningSetErrors(
      hardeningOf(HARDENING, CLUSTER_HARDENING.replace('everyone', 'web'), HARDENING),
      READY,
    );
    assert.deepEqual(
      errors.map(({ code, file, related }) => [code, file, related?.[0]?.file]),
      [['DUPLICATE_POLICY', '2.yaml', '0.yaml']],
    );
  });

  it('are held against the others only where they are new', () => {
    const [old, fresh] = [hardeningOf(HARDENING.replace('no-module-load', 'gone')), hardeningOf(CLUSTER_HARDENING)];
    assert.deepEqual(hardeningSetErrors([...old, ...fresh], READY, new Set(fresh)), []);
    assert.equal(hardeningSetErrors([...old, ...fresh], READY, new Set(old)).length, 1);
  });

  it('may contradict each other at one priority, as rules of one policy may', () => {
    const allowing = HARDENING.replace('name: web', 'name: other').replaceAll('action: Deny', 'action: Allow');
    assert.deepEqual(hardeningSetErrors(hardeningOf(HARDENING, allowing), READY), []);
  });

  it('tell of subjects that nobody is', () => {
    const identity = (name: string, container: string) =>
      deriveIdentity('test', { workload: { namespace: 'shop', kind: 'Service', name }, container, labels: {} });
    const warnings = (...present: ReturnType<typeof identity>[]): string[] =>
      hardeningSetWarnings(hardeningOf(HARDENING), { identities: present }).map(({ code }) => code);
    assert.deepEqual(warnings(identity('web', 'app')), []);
    assert.deepEqual(warnings(identity('web', 'sidecar'), identity('api', 'app')), ['SELECTS_NOTHING']);
  });
});
