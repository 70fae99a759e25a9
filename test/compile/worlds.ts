/** Random identities, policies and questions, small enough that they meet. */
import fc from 'fast-check';
import type { CompileInput, KnownIdentity, Question } from '../../src/compile/input.ts';
import { type Address, maskAddress, type Network, parseAddress, parseNetwork } from '../../src/model/address.ts';
import type { NamedPort } from '../../src/model/endpoint.ts';
import { deriveIdentity } from '../../src/model/identity.ts';
import type { DirectionPolicy, Peer, Policy, PortMatch, Rule } from '../../src/model/policy.ts';
import type { WorkloadSelector } from '../../src/model/selector.ts';
import { Slot } from '../../src/model/slot.ts';

export interface World {
  readonly input: CompileInput;
  readonly questions: readonly Question[];
}

/** Plain objects: parsed ones have prototypes too. */
function record<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record<T, keyof T>(model, { noNullPrototype: true });
}

const NAMESPACES = ['a', 'b'];
const KINDS = ['Service', 'Unit'];
const NAMES = ['web', 'web2', 'api'];
const CONTAINERS = ['', 'app'];
const PORTS = [0, 1, 8, 53, 79, 80, 81, 1023, 1024, 8080, 65_535];
const PROTOCOLS = [1, 6, 17, 58, 47, 132];
const PORT_NAMES = ['http', 'dns'];

export function address(text: string): Address {
  const parsed = parseAddress(text);
  if (parsed === undefined) throw new TypeError(`no address: ${text}`);
  return parsed;
}

export function network(text: string): Network {
  const parsed = parseNetwork(text);
  if (!('family' in parsed)) throw new TypeError(`no network: ${text}: ${parsed.reason}`);
  return parsed;
}

const ADDRESSES = [
  '0.0.0.0',
  '9.255.255.255',
  '10.0.0.0',
  '10.0.0.1',
  '10.1.0.0',
  '10.1.2.3',
  '10.1.2.4',
  '10.128.0.1',
  '255.255.255.255',
  '::',
  '::1',
  '::8000:0:1',
  'fd00::1',
  'fd00:1::1',
  'fe80::1',
  'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
].map(address);

const V4_LENGTHS = [0, 1, 8, 9, 16, 24, 30, 31, 32];
const V6_LENGTHS = [0, 1, 8, 16, 32, 80, 81, 96, 127, 128];

const networkAround = fc
  .constantFrom(...ADDRESSES)
  .chain((near) =>
    fc.constantFrom(...V6_LENGTHS, ...V4_LENGTHS.map((n) => n + 96)).map((prefix): Network | undefined => {
      const family = near[10] === 0xff && near[11] === 0xff && near[0] === 0 ? 4 : 6;
      if (family === 4 && prefix < 96) return { family, address: maskAddress(near, 96), prefix: 96 };
      const masked = maskAddress(near, prefix);
      return { family, address: masked, prefix };
    }),
  )
  .filter((made) => made !== undefined);

const networkPeer: fc.Arbitrary<Peer> = networkAround.chain((outer) =>
  fc
    .array(networkAround, { maxLength: 3 })
    .map((inner) => inner.filter((one) => one.family === outer.family && one.prefix > outer.prefix))
    .map((inner) => inner.filter((one) => Buffer.compare(maskAddress(one.address, outer.prefix), outer.address) === 0))
    .map((except): Peer => ({ type: 'network', network: outer, except })),
);

const labels = fc.constantFrom<Readonly<Record<string, string>>>({}, {}, { tier: 'x' }, { tier: 'y' });

const selector: fc.Arbitrary<WorkloadSelector> = record({
  workload: record({
    namespace: fc.constantFrom(...NAMESPACES, '*', '?'),
    kind: fc.constantFrom(...KINDS, '*', '*'),
    name: fc.constantFrom(...NAMES, '*', 'w*', 'web?', '*i'),
  }),
  container: fc.constantFrom('*', '*', '*', 'app', '', 'a?p'),
  labels,
});

const peer: fc.Arbitrary<Peer> = fc.oneof(
  selector.map((made): Peer => ({ type: 'workload', selector: made })),
  networkPeer,
  fc.constantFrom<Peer>({ type: 'entity', entity: 'world' }, { type: 'entity', entity: 'host' }),
);

const ports = fc.constantFrom(...PORTS);

const portMatch: fc.Arbitrary<PortMatch> = fc.constantFrom(...PROTOCOLS).chain((protocol): fc.Arbitrary<PortMatch> => {
  const whole = fc.constant<PortMatch>({ protocol });
  if (protocol === 47) return whole;
  if (protocol === 1 || protocol === 58) {
    return fc.oneof(
      whole,
      fc.constantFrom(0, 8, 255).map((port): PortMatch => ({ protocol, port })),
    );
  }
  return fc.oneof(
    whole,
    ports.map((port): PortMatch => ({ protocol, port })),
    fc.tuple(ports, ports).map(([a, b]): PortMatch => ({ protocol, port: Math.min(a, b), endPort: Math.max(a, b) })),
    fc.constantFrom(...PORT_NAMES).map((port): PortMatch => ({ protocol: protocol === 132 ? 6 : protocol, port })),
  );
});

const action = fc.constantFrom('Allow', 'Deny', 'Alert');

function maybe<T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> {
  return fc.option(arbitrary, { nil: undefined, freq: 3 });
}

export const rule: fc.Arbitrary<Rule> = record({
  name: maybe(fc.constantFrom('first', 'second', 'third')),
  action,
  peers: maybe(fc.array(peer, { minLength: 1, maxLength: 3 })),
  ports: maybe(fc.array(portMatch, { minLength: 1, maxLength: 3 })),
}).map(({ name, action, peers, ports }) => ({
  action,
  ...(name === undefined ? {} : { name }),
  ...(peers === undefined ? {} : { peers }),
  ...(ports === undefined ? {} : { ports }),
}));

const direction: fc.Arbitrary<DirectionPolicy> = record({
  default: action,
  rules: fc.uniqueArray(rule, { maxLength: 4, comparator: (a, b) => a.name !== undefined && a.name === b.name }),
});

const policyBody = record({
  namespace: fc.constantFrom('', ...NAMESPACES),
  subject: selector,
  priority: fc.constantFrom(0, 10, 1000, 1000, 65_535),
  mode: fc.constantFrom('Enforce', 'Enforce', 'Stage'),
  ingress: maybe(direction),
  egress: maybe(direction),
});

export const policies: fc.Arbitrary<Policy[]> = fc.array(policyBody, { maxLength: 6 }).map((bodies) =>
  bodies.map(({ ingress, egress, ...body }, i): Policy => {
    const kind = body.namespace === '' ? 'ClusterWorkloadNetworkPolicy' : 'WorkloadNetworkPolicy';
    return {
      kind,
      name: `p${i}`,
      labels: {},
      annotations: {},
      explicitPriority: false,
      ...body,
      ...(ingress === undefined ? {} : { ingress }),
      ...(egress === undefined ? {} : { egress }),
    };
  }),
);

const namedPort: fc.Arbitrary<NamedPort> = record({
  name: fc.constantFrom(...PORT_NAMES),
  protocol: fc.constantFrom('TCP', 'UDP', 'SCTP'),
  port: fc.constantFrom(53, 80, 8080),
});

export const identity: fc.Arbitrary<KnownIdentity> = record({
  namespace: fc.constantFrom(...NAMESPACES),
  kind: fc.constantFrom(...KINDS),
  name: fc.constantFrom(...NAMES),
  container: fc.constantFrom(...CONTAINERS),
  labels,
  ports: fc.array(namedPort, { maxLength: 3 }),
}).map(({ namespace, kind, name, container, labels, ports }) => ({
  ...deriveIdentity('test', { workload: { namespace, kind, name }, container, labels }),
  ports,
}));

export const identities: fc.Arbitrary<ReadonlyMap<number, KnownIdentity>> = fc
  .uniqueArray(identity, { minLength: 1, maxLength: 6, selector: (one) => one.id })
  .map((list) => new Map(list.map((one, i) => [Slot.First + i, one])));

/** The same identities in the same slots, their ports listening elsewhere. */
export function moved(known: ReadonlyMap<number, KnownIdentity>): ReadonlyMap<number, KnownIdentity> {
  const shift = (port: NamedPort): NamedPort => ({ ...port, port: port.port + 1 });
  return new Map([...known].map(([slot, one]) => [slot, { ...one, ports: one.ports.map(shift) }]));
}

/** A slot that is nobody's. */
export const UNLISTED = 4711;

export function questionsAbout(slots: readonly number[]): fc.Arbitrary<Question> {
  return record({
    subject: fc.constantFrom(...slots),
    direction: fc.constantFrom('ingress', 'egress'),
    slot: fc.constantFrom(...slots, Slot.Host, Slot.World, UNLISTED),
    address: fc.option(fc.constantFrom(...ADDRESSES), { nil: undefined, freq: 8 }),
    protocol: fc.constantFrom(...PROTOCOLS, 2, 6, 17, 6),
    // Named ports are among the last three.
    port: fc.oneof(ports, fc.constantFrom(255, 2000), fc.constantFrom(53, 80, 8080)),
  }).map(({ slot, address: at, ...question }) => ({
    ...question,
    port: question.protocol === 47 || question.protocol === 2 ? 0 : question.port,
    peer: { slot, ...(at === undefined ? {} : { address: at }) },
  }));
}

export const inputs: fc.Arbitrary<CompileInput> = record({ policies, identities });

export const worlds: fc.Arbitrary<World> = inputs.chain((input) =>
  record({
    input: fc.constant(input),
    questions: fc.array(questionsAbout([...input.identities.keys()]), { minLength: 20, maxLength: 20 }),
  }),
);
