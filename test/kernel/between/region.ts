/** Several nodes on one kernel, each with its own agent: its namespace, cgroups, pins, keys and certificate. */

// Certificates are made with a library that makes globals: before anybody counts them.
import 'reflect-metadata';
import '@peculiar/x509';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PeerAgentView } from '../../../src/agent/api/between-contract.ts';
import { type Authority, createAuthority, issueCertificate } from '../../../src/trust/authority.ts';
import { writeTrusted } from '../../../src/trust/files.ts';
import { writeTagKeys } from '../../../src/trust/tag-key-file.ts';
import { firstTagKeys } from '../../../src/trust/tag-keys.ts';
import { closeOnExit, waitFor } from '../../rig/cleanup.ts';
import { type BehindNat, putBehindNat } from '../../rig/nat.ts';
import type { Place } from '../../rig/netns.ts';
import { createNode, type Endpoint, type Node } from '../../rig/node.ts';
import { createSegment, type Segment, type Uplink } from '../../rig/segment.ts';
import { buildTraffic, serve } from '../../rig/traffic.ts';
import { Station } from '../agent/station.ts';

export const DOMAIN = 'test';
export const HANDSHAKE_PORT = 7350;

export interface RegionPlan {
  /** Node name → names of its endpoints; each has an echo server on TCP and UDP 80 and 8080. */
  readonly nodes: Readonly<Record<string, readonly string[]>>;
  /** Nodes behind NAT; the others reach each other's endpoints by routes. */
  readonly behind?: Readonly<Record<string, NatPlan>>;
  /** Node name → names of containers on its own network, which is the others' to ask for then. They serve nothing by themselves. */
  readonly onHost?: Readonly<Record<string, readonly string[]>>;
  /** What a node's configuration has besides, or instead. */
  readonly settings?: (member: Member, region: Region) => object;
}

/** What a node is behind. Its agent is reached at the outermost address, as are the forwarded ports. */
export interface NatPlan {
  readonly layers: number;
  /** Port of the outermost address → endpoint and its port. */
  readonly forwards?: Readonly<Record<number, readonly [endpoint: string, port: number]>>;
}

/** A node of the region. */
export interface Member {
  readonly name: string;
  readonly node: Node;
  readonly uplink: Uplink;
  /** Undefined: its endpoints are reached by routes. */
  readonly nat: BehindNat | undefined;
  readonly station: Station;
  /** By name. */
  readonly onHost: ReadonlyMap<string, Place>;
}

export class Region {
  readonly directory: string;
  readonly segment: Segment;
  readonly authority: Authority;
  readonly members = new Map<string, Member>();
  readonly close: () => void;

  private constructor(segment: Segment, authority: Authority) {
    this.segment = segment;
    this.authority = authority;
    this.directory = mkdtempSync(join(tmpdir(), 'sallyport-test-region-'));
    this.close = closeOnExit(() => {
      for (const { station, nat } of this.members.values()) {
        station.close();
        nat?.close();
      }
      segment.close();
      rmSync(this.directory, { recursive: true, force: true });
    });
  }

  /** Builds it all and starts no agent. */
  static async create(plan: RegionPlan): Promise<Region> {
    await buildTraffic();
    const authority = await createAuthority({ domain: DOMAIN, years: 1 });
    const region = new Region(await createSegment(), authority);
    writeTagKeys(region.tagKeys, firstTagKeys(), { force: false });
    for (const [name, endpoints] of Object.entries(plan.nodes)) {
      await region.#add(name, endpoints, plan.onHost?.[name] ?? [], plan.behind?.[name]);
    }
    await region.#route();
    for (const member of region.members.values()) {
      member.station.configure(merge(region.settingsOf(member), plan.settings?.(member, region) ?? {}));
    }
    return region;
  }

  get tagKeys(): string {
    return this.#at('tag-keys.json');
  }

  member(name: string): Member {
    const member = this.members.get(name);
    if (member === undefined) throw new Error(`no node ${name}`);
    return member;
  }

  station(name: string): Station {
    return this.member(name).station;
  }

  /** `node/endpoint`. */
  endpoint(path: string): Endpoint {
    const [node = '', endpoint = ''] = path.split('/');
    return this.station(node).endpoint(endpoint);
  }

  /** The same of a container on its node's own network. */
  onHost(path: string): Place {
    const [node = '', name = ''] = path.split('/');
    const place = this.member(node).onHost.get(name);
    if (place === undefined) throw new Error(`nobody on the network of ${node} is ${name}`);
    return place;
  }

  /** Starts every agent and waits until all endpoints are enforced and every agent hears every other. */
  async start(): Promise<void> {
    await Promise.all([...this.members.values()].map(({ station }) => station.start()));
    await this.connected();
  }

  /** Waits until every agent is connected with every agent it is configured with. */
  async connected(): Promise<void> {
    for (const { name, station } of this.members.values()) {
      await waitFor(
        `${name} is connected`,
        async () => {
          const agents = await station.json<readonly PeerAgentView[]>(['peer', 'agents']);
          return agents.every(({ state }) => state === 'connected');
        },
        30_000,
      );
    }
  }

  /** Applies a policy at every node. */
  async apply(yaml: string): Promise<void> {
    await Promise.all([...this.members.values()].map(({ station }) => station.apply(yaml)));
  }

  /** The settings of a member before the plan's own. */
  settingsOf(member: Member): Record<string, unknown> {
    const { name, station, uplink, nat } = member;
    const others = [...this.members.values()].filter((other) => other !== member);
    return {
      ...station.settings,
      node: name,
      domain: DOMAIN,
      network: { publicAddresses: nat === undefined ? [] : [nat.visible.ipv4, nat.visible.ipv6] },
      tags: { keys: this.tagKeys },
      handshake: {
        listen: `${uplink.ipv4}:${HANDSHAKE_PORT}`,
        certificate: this.#at(`${name}/agent.crt`),
        key: this.#at(`${name}/agent.key`),
        authority: this.#at(`${name}/authority.crt`),
        agents: others.map((other) => ({
          name: other.name,
          address: `${seenAt(other).ipv4}:${HANDSHAKE_PORT}`,
          cidrs: networksOf(other),
        })),
      },
    };
  }

  /** Nodes that are not behind NAT know the way to each other's endpoints; those that are, to everybody's. */
  async #route(): Promise<void> {
    const open = [...this.members.values()].filter(({ nat }) => nat === undefined);
    const doors = [...this.members.values()].flatMap(({ nat }) => nat?.boxes.at(-1)?.outside ?? []);
    for (const to of open) {
      for (const from of [...open.map(({ uplink }) => uplink), ...doors]) {
        if (from !== to.uplink) await this.segment.routeTo(from, to.uplink);
      }
    }
  }

  async #add(
    name: string,
    endpoints: readonly string[],
    onHost: readonly string[],
    plan: NatPlan | undefined,
  ): Promise<void> {
    const node = await createNode({ name });
    const nat = plan === undefined ? undefined : await putBehindNat(node, this.segment, { layers: plan.layers });
    const uplink = nat?.uplink ?? (await this.segment.connect(node));
    await this.#issue(name);
    const sources = {
      docker: { enabled: 'false' },
      cri: { enabled: 'false' },
      cgroups: [{ path: `/${node.cgroup.name}/*`, workload: 'shop/Service/{name}' }],
    };
    const station = new Station(node.host, sources, node);
    const places = new Map(onHost.map((one) => [one, node.createHostContainer(one)]));
    this.members.set(name, { name, node, uplink, nat, station, onHost: places });
    for (const endpoint of endpoints) {
      await serve(await node.createEndpoint(endpoint), { tcp: '80,8080', udp: '80,8080' });
    }
    await nat?.forward(HANDSHAKE_PORT, { ...uplink, port: HANDSHAKE_PORT });
    for (const [port, [endpoint, inner]] of Object.entries(plan?.forwards ?? {})) {
      await nat?.forward(Number(port), { ...station.endpoint(endpoint), port: inner });
    }
  }

  #at(path: string): string {
    return join(this.directory, path);
  }

  /** What `sallyport ca issue` does, without a process for it. */
  async #issue(node: string): Promise<void> {
    const issued = await issueCertificate(this.authority, { domain: DOMAIN, node, days: 1 });
    const file = (name: string, text: string, mode: 0o600 | 0o644) => ({
      path: this.#at(`${node}/${name}`),
      text,
      mode,
    });
    writeTrusted(
      [
        file('agent.key', issued.key, 0o600),
        file('agent.crt', issued.certificate, 0o644),
        file('authority.crt', issued.authority, 0o644),
      ],
      { force: false },
    );
  }
}

/** The address others see a node at. */
export function seenAt({ uplink, nat }: Member): { readonly ipv4: string; readonly ipv6: string } {
  return nat?.visible ?? uplink;
}

/** Where a node's endpoints are, as others see it. */
function networksOf(member: Member): string[] {
  const { node, nat, uplink, onHost } = member;
  if (nat !== undefined) return [`${nat.visible.ipv4}/32`, `${nat.visible.ipv6}/128`];
  const own = onHost.size === 0 ? [] : [`${uplink.ipv4}/32`, `${uplink.ipv6}/128`];
  return [node.ipv4Network, node.ipv6Network, ...own];
}

/** Sections of `over` go over those of `base`; lists and values replace. */
function merge(base: Record<string, unknown>, over: object): Record<string, unknown> {
  const result = { ...base };
  for (const [key, value] of Object.entries(over)) {
    const before = result[key];
    result[key] = isSection(before) && isSection(value) ? merge(before, value) : value;
  }
  return result;
}

function isSection(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A policy for one service of the region. */
export function servicePolicy(name: string, service: string, spec: string): string {
  return `apiVersion: sallyport.dev/v1alpha1
kind: WorkloadNetworkPolicy
metadata: {name: ${name}, namespace: shop}
spec:
  subject: {workload: Service/${service}}
${spec}
`;
}
