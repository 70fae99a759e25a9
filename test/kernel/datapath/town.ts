/** Endpoints of real namespaces behind a real datapath, in this process's network namespace. */
import { mkdtempSync, rmSync } from 'node:fs';
import { Compiler } from '../../../src/compile/compiler.ts';
import { diff } from '../../../src/compile/diff.ts';
import type { KnownIdentity } from '../../../src/compile/input.ts';
import { openDatapath } from '../../../src/datapath/index.ts';
import type { Between, Datapath, DatapathOptions, DatapathSizes } from '../../../src/datapath/port.ts';
import { mountBpffs } from '../../../src/libbpf/index.ts';
import type { Container, Endpoint as ModelEndpoint, ServiceAddress } from '../../../src/model/endpoint.ts';
import { deriveIdentity, type Identity } from '../../../src/model/identity.ts';
import { parsePolicyFile } from '../../../src/model/policy-file.ts';
import { formatProblem } from '../../../src/model/problem.ts';
import type { Cgroup } from '../../rig/cgroup.ts';
import type { Place } from '../../rig/netns.ts';
import { createNode, type Endpoint, type Node } from '../../rig/node.ts';
import { OBJECTS, SIZES } from './laboratory.ts';

export const NAMESPACE = 'shop';

/** A policy for one service, of the namespace `shop` unless another one is said. */
export function shopPolicy(name: string, subject: string, spec: string, namespace = NAMESPACE): string {
  return `---
apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: {name: ${name}, namespace: ${namespace}}
spec:
  subject: {workload: Service/${subject}}
${spec}
`;
}

export class Town {
  readonly node: Node;
  readonly options: DatapathOptions;
  readonly #endpoints = new Map<string, ModelEndpoint>();
  readonly #strangers: Identity[] = [];
  readonly #pins: string;
  readonly #compiler = new Compiler();
  #datapath: Datapath;
  #yaml = '';
  #services: readonly ServiceAddress[] = [];

  private constructor(node: Node, pins: string, between?: Between, sizes: DatapathSizes = SIZES) {
    this.node = node;
    this.#pins = pins;
    this.options = {
      objects: OBJECTS,
      pins,
      cgroupRoot: node.cgroup.path.slice(0, -node.cgroup.name.length - 1),
      sizes,
      events: { ratePerSecond: 1000, burst: 1000 },
      ...(between === undefined ? {} : { between }),
    };
    try {
      this.#datapath = openDatapath(this.options);
    } catch (error) {
      rmSync(pins, { recursive: true, force: true });
      node.close();
      throw error;
    }
  }

  static async create(attach: 'routed' | 'bridged', between?: Between, sizes?: DatapathSizes): Promise<Town> {
    mountBpffs('/sys/fs/bpf');
    const pins = mkdtempSync('/sys/fs/bpf/sallyport-test-');
    return new Town(await createNode({ namespace: 'current', attach }), pins, between, sizes);
  }

  get datapath(): Datapath {
    return this.#datapath;
  }

  /** Tells the datapath of a rig's endpoint under a service's name (`namespace/name`, or one of the shop's); with `containers`, of a pod's. */
  settle(name: string, endpoint: Endpoint, containers?: Readonly<Record<string, Cgroup>>): void {
    const sandbox = this.#identity(name, containers === undefined ? name : '');
    const list = containers ?? { [name]: endpoint.cgroup };
    this.#endpoints.set(name, {
      id: endpoint.name,
      mode: 'interface',
      identity: sandbox,
      containers: Object.entries(list).map(([container, cgroup]) => this.#container(name, container, cgroup)),
      netns: 1,
      interfaces: [endpoint.outside],
      addresses: [endpoint.ipv4, endpoint.ipv6],
      ports: [],
    });
  }

  /** The same for a process group on the host's network. */
  settleHost(name: string, cgroup: Cgroup, pid?: number, netns = Number(this.node.namespace.inode)): void {
    const identity = this.#identity(name, name);
    const containers = [this.#container(name, name, cgroup, pid)];
    this.#endpoints.set(name, {
      id: name,
      mode: 'cgroup',
      identity,
      containers,
      netns,
      interfaces: [],
      addresses: [],
      ports: [],
    });
  }

  /** Somebody of another node, by the service's name and, in a pod, the container's. */
  know(name: string, container = name): bigint {
    const identity = this.#identity(name, container);
    this.#strangers.push(identity);
    return identity.id;
  }

  /** Tells the datapath of the addresses of Services; with the next `enforce`. */
  serve(...services: ServiceAddress[]): void {
    this.#services = services;
  }

  leave(name: string): void {
    this.#endpoints.delete(name);
  }

  /**
   * Enforces exactly these policies on those who have settled; returns what the tables needed.
   * @param room rows they may have. Default: as many as an agent gives them
   */
  async enforce(yaml = this.#yaml, room = this.#datapath.room): Promise<string[]> {
    this.#yaml = yaml;
    const { policies, problems } = parsePolicyFile('test.yaml', Buffer.from(yaml));
    if (problems.length > 0) throw new Error(problems.map(formatProblem).join('\n'));
    const endpoints = [...this.#endpoints.values()];
    const here = endpoints.flatMap(({ identity, containers }) => [identity, ...containers.map((one) => one.identity)]);
    const all = [...here, ...this.#strangers];
    const identities = new Map<number, KnownIdentity>();
    for (const [id, slot] of this.#datapath.assignSlots(all)) {
      const identity = all.find((one) => one.id === id);
      if (identity !== undefined) identities.set(slot, { ...identity, ports: [] });
    }
    const desired = this.#compiler.compile({ policies: policies.map(({ policy }) => policy), identities, room });
    const plan = diff(this.#datapath.currentTables(), desired);
    this.#datapath.applyPlan(plan);
    await this.#datapath.applyEndpoints(endpoints, [], { services: this.#services });
    return plan.steps.map(({ op }) => op);
  }

  /** The agent dies and another takes over. */
  restart(): void {
    this.#datapath.close();
    this.#datapath = openDatapath(this.options);
  }

  /** The agent is dead until `restart`. */
  die(): void {
    this.#datapath.close();
  }

  close(): void {
    this.#datapath.remove();
    rmSync(this.#pins, { recursive: true, force: true });
    this.node.close();
  }

  #identity(name: string, container: string) {
    const [service = '', namespace = NAMESPACE] = name.split('/').reverse();
    return deriveIdentity('test', { workload: { namespace, kind: 'Service', name: service }, container, labels: {} });
  }

  #container(name: string, container: string, cgroup: Cgroup, pid = 1): Container {
    const level = cgroup.name.split('/').length;
    const identity = this.#identity(name, container);
    const place = { id: cgroup.id, path: cgroup.name, level };
    return {
      id: `${name}-${container}`,
      name: container,
      runtime: 'cgroup',
      identity,
      cgroup: place,
      pid,
      startedAt: 0,
    };
  }
}

export type { Place };
