import assert from 'node:assert/strict';
import { Compiler } from '../../../src/compile/compiler.ts';
import { evaluate } from '../../../src/compile/evaluate.ts';
import type { KnownIdentity } from '../../../src/compile/input.ts';
import { lookup } from '../../../src/compile/lookup.ts';
import { ruleCovers } from '../../../src/model/coverage.ts';
import type { Endpoint } from '../../../src/model/endpoint.ts';
import { deriveIdentity, type Identity } from '../../../src/model/identity.ts';
import { toPolicy } from '../../../src/model/manifest.ts';
import type { Policy, Rule } from '../../../src/model/policy.ts';
import { PROTOCOLS } from '../../../src/model/protocol.ts';
import { selects } from '../../../src/model/selector.ts';
import { SelectorIndex } from '../../../src/model/selector-index.ts';
import { Slot } from '../../../src/model/slot.ts';
import { verdictName } from '../../../src/model/verdict.ts';
import { formatWorkload, parseWorkload } from '../../../src/model/workload.ts';
import { Aliases, nameEndpoint } from '../../../src/sources/kubernetes/aliases.ts';
import { NodePeers } from '../../../src/sources/kubernetes/node-peers.ts';
import { makerOf } from '../../../src/sources/kubernetes/pods.ts';
import { projectService, serviceAddresses } from '../../../src/sources/kubernetes/services.ts';
import { podLabels } from '../../../src/sources/naming.ts';

const credentials = { serviceAccount: 'web', hostNetwork: false };

function identity(
  name: string,
  labels: Record<string, string>,
  runs: { serviceAccount?: string; hostNetwork?: boolean } | null = {},
  namespace = 'shop',
): Identity {
  const workload = { namespace, kind: 'Deployment', name };
  const own = podLabels(labels, runs === null ? undefined : { ...credentials, ...runs });
  return deriveIdentity('test', { workload, container: 'app', labels: own });
}

const service = (name: string, selector: Record<string, string> | undefined, namespace = 'shop') => ({
  namespace,
  name,
  ...(selector === undefined ? {} : { selector }),
});

const namesOf = (aliases: Aliases, one: Identity): string[] => aliases.of(one).map(formatWorkload);

const means = (reference: string, one: Identity, namespace = 'shop'): boolean =>
  selects({ workload: parseWorkload(reference, namespace)!, container: '*', labels: {} }, one);

describe('what else a pod is called', () => {
  it('is its account, and the Services whose whole selector its labels meet', () => {
    const aliases = new Aliases([
      service('web', { app: 'web' }),
      service('canary', { app: 'web', track: 'canary' }),
      service('api', { app: 'api' }),
    ]);
    assert.deepEqual(namesOf(aliases, identity('web', { app: 'web' })), [
      'shop/Service/web',
      'shop/ServiceAccount/web',
    ]);
  });

  it('is never a Service of another namespace, nor one that selects nothing, or by what tells pods apart', () => {
    const aliases = new Aliases([
      service('theirs', { app: 'web' }, 'other'),
      service('manual', undefined),
      service('first', { app: 'web', 'statefulset.kubernetes.io/pod-name': 'web-0' }),
      service('ours', { app: 'web', 'sallyport.dev/service-account': 'web' }),
    ]);
    assert.deepEqual(namesOf(aliases, identity('web', { app: 'web' })), ['shop/ServiceAccount/web']);
  });

  it('is nothing where the API server has not told of it, whatever its labels say', () => {
    const labels = { app: 'web', 'sallyport.dev/service-account': 'admin', 'sallyport.dev/host-network': 'true' };
    const guessed = identity('web', labels, null);
    assert.deepEqual(guessed.labels, { app: 'web' });
    assert.deepEqual(namesOf(new Aliases([service('web', { app: 'web' })]), guessed), []);
    assert.deepEqual(identity('web', labels, { serviceAccount: 'web' }).labels, {
      app: 'web',
      'sallyport.dev/service-account': 'web',
    });
  });

  it('is kept however many labels it has', () => {
    const many = Object.fromEntries(Array.from({ length: 80 }, (_, n) => [`a${n}`, '']));
    assert.deepEqual(namesOf(new Aliases([]), identity('web', many)), ['shop/ServiceAccount/web']);
  });

  it('is no part of who it is, but another account is another identity', () => {
    const web = identity('web', { app: 'web' });
    assert.equal(new Aliases([service('web', { app: 'web' })]).name(web).id, web.id);
    assert.notEqual(identity('web', { app: 'web' }, { serviceAccount: 'admin' }).id, web.id);
  });

  it('is the node where it shares its network, on that node and nowhere else', () => {
    const one = identity('proxy', {}, { hostNetwork: true });
    const endpoint = { identity: one, containers: [{ identity: one }] } as unknown as Endpoint;
    const named = nameEndpoint(endpoint, new Aliases([]), 'node1');
    assert.equal(means('Node/node1', named.identity), true);
    assert.equal(means('Node/node2', named.identity), false);
    assert.equal(means('Node/*', named.containers[0]!.identity), true);
    const inside = { identity: identity('web', {}), containers: [] } as unknown as Endpoint;
    assert.equal(means('Node/*', nameEndpoint(inside, new Aliases([]), 'node1').identity), false);
  });
});

describe('a selector', () => {
  const web = new Aliases([service('front', { app: 'web' })]).name(identity('web', { app: 'web' }));

  it('means other names only where it writes out their kind', () => {
    for (const [reference, meant] of [
      ['Service/front', true],
      ['Service/fr*', true],
      ['ServiceAccount/web', true],
      ['Service/web', false],
      ['*/front', false],
      ['Servic?/front', false],
      ['Service*/front', false],
      ['other/Service/front', false],
      ['*/Service/front', true],
    ] as const) {
      assert.equal(means(reference, web), meant, reference);
    }
  });

  it('is found in an index under every name of an identity', () => {
    const policies = new SelectorIndex<string>();
    for (const name of ['Service/front', 'ServiceAccount/web', 'Deployment/web', '*/front', 'Service/other']) {
      policies.add({ workload: parseWorkload(name, 'shop')!, container: '*', labels: {} }, name);
    }
    assert.deepEqual([...policies.selecting(web)].sort(), ['Deployment/web', 'Service/front', 'ServiceAccount/web']);
  });

  it('covers other names only where it means whoever has them', () => {
    const rule = (reference: string): Rule => {
      const selector = { workload: parseWorkload(reference, 'shop')!, container: '*', labels: {} };
      return { action: 'Allow', peers: [{ type: 'workload', selector }] };
    };
    for (const [outer, inner, covers] of [
      ['*/web', 'Service/web', false],
      ['*/*', 'Service/web', true],
      ['other/*/*', 'Service/web', false],
      ['Service/*', 'Service/web', true],
      ['Service/web', 'Deployment/web', false],
      ['*/*/*', 'Node/node1', false],
      ['Node/*', 'Node/node1', true],
    ] as const) {
      assert.equal(ruleCovers(rule(outer), rule(inner)), covers, `${outer} ${inner}`);
    }
  });

  it('gives a node no namespace', () => {
    assert.deepEqual(parseWorkload('Node/node1', 'shop'), { namespace: '', kind: 'Node', name: 'node1' });
    assert.deepEqual(parseWorkload('Node/node1'), { namespace: '', kind: 'Node', name: 'node1' });
    assert.equal(parseWorkload('shop/Node/node1'), undefined);
    assert.equal(formatWorkload({ namespace: '', kind: 'Node', name: 'node1' }), 'Node/node1');
  });
});

describe('the maker of a pod', () => {
  for (const kind of ['Service', 'ServiceAccount', 'Node']) {
    it(`is never a ${kind}, which nobody may pass himself off as`, () => {
      const owner = (of: string) => ({ apiVersion: 'v1', kind: of, name: 'x', uid: 'u', controller: true });
      assert.equal(makerOf({ ownerReferences: [owner(kind)] }), undefined);
      assert.equal(makerOf({ ownerReferences: [owner('StatefulSet')] })?.kind, 'StatefulSet');
    });
  }
});

describe('what is kept of a Service', () => {
  it('is whom it selects and where it is reached', () => {
    const ports = [
      { port: 80, targetPort: 'http' },
      { port: 53, protocol: 'UDP', nodePort: 30_053 },
    ];
    const spec = { selector: { app: 'web' }, clusterIP: '10.96.0.9', clusterIPs: ['10.96.0.9', 'fd00::9'], ports };
    const status = { loadBalancer: { ingress: [{ ip: '192.0.2.1' }, { hostname: 'x' }] } };
    assert.deepEqual(projectService({ metadata: { namespace: 'shop', name: 'web' }, spec, status }), {
      namespace: 'shop',
      name: 'web',
      selector: { app: 'web' },
      addresses: ['10.96.0.9', 'fd00::9', '192.0.2.1'],
      ports: [
        { protocol: 'TCP', port: 80, target: 'http' },
        { protocol: 'UDP', port: 53, target: 53, nodePort: 30_053 },
      ],
    });
  });

  it('stands for whoever is behind it, at its own addresses and at the ports of this node', () => {
    const ports = [
      { protocol: 'TCP', port: 80, target: 'http' },
      { protocol: 'UDP', port: 53, target: 5353, nodePort: 30_053 },
    ] as const;
    const web = { namespace: 'shop', name: 'web', addresses: ['10.96.0.9'], ports };
    assert.deepEqual(serviceAddresses([web], ['192.0.2.1']), [
      { address: '10.96.0.9', protocol: 'TCP', port: 80, targetPort: 0 },
      { address: '10.96.0.9', protocol: 'UDP', port: 53, targetPort: 5353 },
      { address: '192.0.2.1', protocol: 'UDP', port: 30_053, targetPort: 5353 },
    ]);
  });

  it('is nobody where it is headless, selects nothing, leads elsewhere or cannot be read', () => {
    const kept = (spec: unknown) => projectService({ metadata: { namespace: 'shop', name: 'web' }, spec });
    assert.deepEqual(kept({ clusterIP: 'None', selector: {} }).addresses, []);
    assert.equal(kept({ selector: {} }).selector, undefined);
    assert.equal(kept({ type: 'ExternalName', selector: { app: 'web' } }).selector, undefined);
    assert.equal(kept({ selector: { app: 7 } }).selector, undefined);
    assert.equal(kept('nonsense').selector, undefined);
  });
});

const policy = (spec: object): Policy =>
  toPolicy({
    apiVersion: 'sallyport.dev/v1alpha1',
    kind: 'WorkloadNetworkPolicy',
    metadata: { name: 'p', namespace: 'shop' },
    spec,
  } as Parameters<typeof toPolicy>[0]);

/** What an identity may open to another's port 80, by the tables; the evaluator must say the same. */
class Town {
  readonly #compiler = new Compiler();
  readonly #slots = new Map<bigint, number>();
  #tables = this.#compiler.compile({ policies: [], identities: new Map() });

  verdict(policies: readonly Policy[], services: Aliases, at: Identity, from: Identity | Uint8Array): string {
    const all = [at, ...('id' in from ? [from] : [])];
    const identities = new Map<number, KnownIdentity>();
    for (const one of all) {
      const slot = this.#slots.get(one.id) ?? Slot.First + this.#slots.size;
      this.#slots.set(one.id, slot);
      identities.set(slot, { ...services.name(one), ports: [] });
    }
    const input = { policies, identities };
    this.#tables = this.#compiler.compile(input);
    const peer = 'id' in from ? { slot: this.#slots.get(from.id)! } : { slot: Slot.World, address: from };
    const subject = this.#slots.get(at.id)!;
    const question = { subject, direction: 'ingress', peer, protocol: PROTOCOLS.TCP, port: 80 } as const;
    const found = verdictName(lookup(this.#tables, question).verdict);
    assert.equal(evaluate(input, question).enforced.action, found);
    return found;
  }
}

describe('a policy that names a Service', () => {
  const [web, api] = [identity('web', { app: 'web' }), identity('api', { app: 'api' })];

  it('follows it as a peer: its selector changes, it goes, and then it is nobody', () => {
    const town = new Town();
    const fromFront = [
      policy({ subject: { workload: 'Deployment/api' }, ingress: [{ from: [{ workload: 'Service/front' }] }] }),
    ];
    const steps: [services: ReturnType<typeof service>[], verdict: string][] = [
      [[service('front', { app: 'web' })], 'Allow'],
      [[service('front', { app: 'web', track: 'new' })], 'Deny'],
      [[service('front', { app: 'web' })], 'Allow'],
      [[service('front', undefined)], 'Deny'],
      [[service('front', { app: 'web' }, 'other')], 'Deny'],
      [[service('front', { app: 'web' })], 'Allow'],
      [[], 'Deny'],
    ];
    for (const [services, verdict] of steps) {
      assert.equal(town.verdict(fromFront, new Aliases(services), api, web), verdict, JSON.stringify(services));
    }
  });

  it('follows it as a subject', () => {
    const town = new Town();
    const closed = [policy({ subject: { workload: 'Service/back' }, ingress: [] })];
    const steps: [services: ReturnType<typeof service>[], verdict: string][] = [
      [[], 'Allow'],
      [[service('back', { app: 'api' })], 'Deny'],
      [[service('back', { app: 'web' })], 'Allow'],
      [[service('back', { app: 'api' }), service('more', { app: 'api' })], 'Deny'],
      [[service('more', { app: 'api' })], 'Allow'],
    ];
    for (const [services, verdict] of steps) {
      assert.equal(town.verdict(closed, new Aliases(services), api, web), verdict, JSON.stringify(services));
    }
  });

  it('tells apart pods of one Deployment that run as different accounts', () => {
    const town = new Town();
    const rules = [
      policy({ subject: { workload: 'Deployment/api' }, ingress: [{ from: [{ workload: 'ServiceAccount/web' }] }] }),
    ];
    assert.equal(town.verdict(rules, new Aliases([]), api, web), 'Allow');
    const other = identity('web', { app: 'web' }, { serviceAccount: 'default' });
    assert.equal(town.verdict(rules, new Aliases([]), api, other), 'Deny');
  });
});

describe('a policy that names a node', () => {
  const written = policy({
    subject: { workload: 'Deployment/api' },
    ingress: [{ from: [{ workload: 'Node/node2' }, { workload: 'Deployment/web' }] }],
  });
  const api = identity('api', { app: 'api' });
  const nodes = (entries: Record<string, string[]>, own = 'node1') =>
    new NodePeers(new Map(Object.entries(entries).map(([name, addresses]) => [name, { addresses }])), own);
  const at = (last: number) => new Uint8Array([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, last]);

  it('follows its addresses, and means nobody when it goes', () => {
    const town = new Town();
    const steps: [peers: NodePeers, verdicts: [string, string]][] = [
      [nodes({ node2: ['192.0.2.2'] }), ['Allow', 'Deny']],
      [nodes({ node2: ['192.0.2.3'], node3: ['192.0.2.2'] }), ['Deny', 'Allow']],
      [nodes({ node3: ['192.0.2.2'] }), ['Deny', 'Deny']],
      [nodes({}), ['Deny', 'Deny']],
    ];
    for (const [peers, verdicts] of steps) {
      const meant = peers.resolve([written]);
      const found = [at(2), at(3)].map((address) => town.verdict(meant, new Aliases([]), api, address));
      assert.deepEqual(found, verdicts);
    }
  });

  it('means the host itself on that node, and none of its addresses elsewhere', () => {
    const [meant] = nodes({ node2: ['192.0.2.2'] }, 'node2').resolve([written]);
    const peers = meant!.ingress!.rules[0]!.peers!;
    assert.deepEqual(
      peers.map((peer) => (peer.type === 'entity' ? peer.entity : peer.type)),
      ['workload', 'host', 'workload'],
    );
  });

  it('is the same object where nothing names one, and while nodes stay', () => {
    const peers = nodes({ node2: ['192.0.2.2'] });
    const other = policy({ subject: { workload: 'Deployment/api' }, ingress: [] });
    const [first, second] = [peers.resolve([written, other]), peers.resolve([written, other])];
    assert.equal(first[1], other);
    assert.equal(first[0], second[0]);
  });
});
