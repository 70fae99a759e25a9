import assert from 'node:assert/strict';
import { ingressAndEgress } from '../../bench/policies.ts';
import { records } from '../../bench/scenarios/first-datagram.ts';
import { parsePolicyFile } from '../../src/model/policy-file.ts';

describe('the bench between nodes', () => {
  it('counts what is lost in any round, and what is added in milliseconds', () => {
    const common = { loss: 0, seconds: [1, 1, 1] };
    const nothing = { ...common, name: 'nothing' as const, firsts: [1, 1, 1], sent: 3 };
    const sallyport = { ...common, name: 'sallyport' as const, firsts: [3, 3, 3], sent: 4 };
    const values = (list: ReturnType<typeof records>) =>
      Object.fromEntries(list.map(({ metric, value, ratio }) => [metric, ratio === null ? value : [value, ratio]]));
    assert.deepEqual(values(records(nothing, nothing)), {
      p50: [1, 1],
      p99: [1, 1],
      'p50-of-second': 1,
      sent: 3,
      lost: 0,
    });
    assert.deepEqual(values(records({ ...sallyport, loss: 0.01 }, nothing)), {
      'p50-lossy': [3, 3],
      'added-p50-lossy': 2,
      'p99-lossy': [3, 3],
      'added-p99-lossy': 2,
      'p50-of-second-lossy': 1,
      'sent-lossy': 4,
      'lost-lossy': 1,
    });
  });

  it('has policies for both directions, by names and by addresses', () => {
    for (const peer of ['names', '10.1.0.0/16']) {
      const { file, text } = ingressAndEgress('bench/Unit/server', peer);
      const { policies, problems } = parsePolicyFile(file, Buffer.from(text));
      assert.deepEqual(problems, []);
      assert.deepEqual(
        policies.map(({ policy }) => [policy.ingress?.rules.length, policy.egress?.rules.length]),
        [[1, 1]],
      );
    }
  });
});
