/** What containers may be seen to do, at random. */
import fc from 'fast-check';
import type { Observation } from '../../../src/hardening/learn/observation.ts';
import type { LearnOptions } from '../../../src/hardening/learn/policy.ts';
import { FILE_ACCESSES, MOUNT_OPERATIONS, OPERATIONS } from '../../../src/model/hardening.ts';

export const OPTIONS: LearnOptions = {
  namespace: 'shop',
  name: 'web-learnt',
  subject: { workload: { namespace: 'shop', kind: 'Service', name: 'web' }, container: '*', labels: {} },
  mode: 'Stage',
  children: 4,
};

const name = fc.oneof(
  fc.constantFrom('etc', 'passwd', 'lib', 'data', '*', '[x]', 'é', 'a b'),
  fc.stringMatching(/^[a-zA-Z0-9._@,{}-]{1,10}$/).filter((one) => one !== '.' && one !== '..'),
  fc.nat().map(String),
);
const path = fc.array(name, { minLength: 1, maxLength: 6 }).map((names) => `/${names.join('/')}`);

export const observation: fc.Arbitrary<Observation> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      type: fc.constant('path' as const),
      access: fc.constantFrom(...FILE_ACCESSES),
      path,
      cut: fc.constant(false),
    }),
  },
  fc.record({
    type: fc.constant('path' as const),
    access: fc.constantFrom('connect', 'bind'),
    path: fc.stringMatching(/^@[a-zA-Z0-9/._-]{1,40}$/),
    cut: fc.constant(false),
  }),
  fc.record({
    type: fc.constant('capability' as const),
    capability: fc.nat(40),
    within: fc.constantFrom('container', 'user-namespace'),
  }),
  fc.record({ type: fc.constant('operation' as const), operation: fc.constantFrom(...OPERATIONS) }),
  fc.record({
    type: fc.constant('socket' as const),
    family: fc.constantFrom(1, 2, 10, 16, 38),
    kind: fc.constantFrom(1, 2, 3),
    protocol: fc.constantFrom(0, 6, 17),
  }),
  fc.record({ type: fc.constant('mount' as const), operation: fc.constantFrom(...MOUNT_OPERATIONS) }),
  fc.record({
    type: fc.constant('network' as const),
    protocol: fc.constantFrom(6, 17, 1, 200),
    port: fc.integer({ min: 0, max: 65_535 }),
    address: fc.oneof(fc.ipV4(), fc.constantFrom('2001:db8::1', '::1')),
  }),
);
